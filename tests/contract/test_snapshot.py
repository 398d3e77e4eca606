"""The snapshot travels sealed."""

from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet

from contract.snapshot import KeyEntry, Snapshot, TenantEntry, seal, unseal
from contract.unwrap import WrongMasterKey, derive, seal_key, unwrap

MASTER = Fernet.generate_key().decode()
SNAPSHOT = Snapshot(
    version=3,
    made=datetime.now(UTC),
    pepper="p",
    tenants=(TenantEntry("t", "default", "k"),),
    keys=(KeyEntry("id", "t", "d"),),
    rules={"a": "b"},
)


def test_a_snapshot_comes_back_and_shows_nothing_on_the_way() -> None:
    sealed = seal(SNAPSHOT, seal_key(MASTER))
    assert unseal(sealed, MASTER) == SNAPSHOT
    assert b"default" not in sealed


def test_another_master_key_or_a_changed_byte_does_not_open_it() -> None:
    sealed = seal(SNAPSHOT, seal_key(MASTER))
    for data, master in (
        (sealed, Fernet.generate_key().decode()),
        (sealed[:-4] + b"AAAA", MASTER),
        (b"", MASTER),
    ):
        with pytest.raises(WrongMasterKey):
            unseal(data, master)


def test_derived_keys_differ_by_purpose_and_master() -> None:
    assert (
        len(
            {
                derive(MASTER, "a"),
                derive(MASTER, "b"),
                derive(Fernet.generate_key().decode(), "a"),
            }
        )
        == 3
    )


def test_a_wrapped_secret_needs_its_master_key() -> None:
    assert unwrap(MASTER, Fernet(MASTER).encrypt(b"x").decode()) == b"x"
    with pytest.raises(WrongMasterKey):
        unwrap(MASTER, Fernet(Fernet.generate_key()).encrypt(b"x").decode())
