"""The snapshot: all that a proxy needs to know of tenants, keys and rules, as one
immutable value.

Control serves it sealed (encrypted and authenticated under a key derived from the
master key); the proxy keeps exactly those bytes on disk. The secrets in it are wrapped
once more, under the data key that the master key opens, and unwrapped only for use.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from contract.unwrap import WrongMasterKey, seal_key

SCHEMA = 1
MARK = "Earthflow-Snapshot-Mark"


class KnownEntry(msgspec.Struct, frozen=True):
    """A known value of a tenant, wrapped, and the name by which audit and placeholders speak
    of it. `any_case`: in capitals and small letters alike.
    """

    name: str
    value: str
    any_case: bool = False


class TenantEntry(msgspec.Struct, frozen=True):
    """A tenant. `preset` names its rulebook; `prompt_key` (wrapped) is the HMAC key of
    its prompt hashes. `known` are its known values.

    `unknown_hosts` (tunnel or deny) overrules the proxy's own setting,
    `max_requests_per_minute` the common rate; `max_tokens_per_day` counts what
    providers count.
    """

    id: str
    preset: str
    prompt_key: str
    unknown_hosts: str = ""
    max_requests_per_minute: int | None = None
    max_tokens_per_day: int | None = None
    known: tuple[KnownEntry, ...] = ()


class Rate(msgspec.Struct, frozen=True):
    """The rate limit of a tenant: calls a minute, and `burst` times what falls into a
    window at once.
    """

    per_minute: int = 1000
    burst: float = 1.5
    window_seconds: int = 60


class KeyEntry(msgspec.Struct, frozen=True):
    """A key. `digest` is HMAC-SHA256(pepper, secret) in hex; the proxy refuses it past
    `not_after`.
    """

    id: str
    tenant: str
    digest: str
    not_after: datetime | None = None


class KeyEnd(msgspec.Struct, frozen=True):
    """A key by its id, and when it ends."""

    id: str
    not_after: datetime | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot. Its version only rises.

    `rules` maps a source's name to its YAML text. `pepper` is wrapped under `data_key`,
    and that under the master key. `keep_prompts`: records hold prompts, sealed. Old
    versions of control have no data key: then the master key takes its place. `others` are
    the keys of no tenant (old versions of control do not say); proxies only keep them.
    `mark` tells this version from the same one of another database; a proxy gives it back
    in the header MARK.
    """

    version: int
    made: datetime
    pepper: str
    tenants: tuple[TenantEntry, ...]
    keys: tuple[KeyEntry, ...]
    rules: dict[str, str]
    schema: int = SCHEMA
    rate: Rate = Rate()
    data_key: str = ""
    keep_prompts: bool = False
    others: tuple[KeyEnd, ...] | None = None
    mark: str = ""


class KnownKeys(msgspec.Struct, frozen=True):
    """The keys that a proxy knows, for a control whose database was restored from a backup:
    what is not among them, and was there when the snapshot was `made`, was revoked since.
    """

    version: int
    made: datetime
    keys: tuple[KeyEnd, ...]
    others: tuple[KeyEnd, ...] | None = None
    mark: str = ""


def known_keys(snapshot: Snapshot) -> KnownKeys:
    """The keys of a snapshot that have not ended, without their digests."""
    now = datetime.now(UTC)

    def live(keys: Iterable[KeyEntry | KeyEnd]) -> tuple[KeyEnd, ...]:
        return tuple(
            KeyEnd(key.id, key.not_after)
            for key in keys
            if key.not_after is None or key.not_after > now
        )

    others = live(snapshot.others) if snapshot.others is not None else None
    return KnownKeys(
        snapshot.version, snapshot.made, live(snapshot.keys), others, snapshot.mark
    )


_decoder = msgspec.json.Decoder(Snapshot)


def seal(snapshot: Snapshot, key: bytes) -> bytes:
    """Bytes that only a holder of the master key can read or make.

    `key` is its `seal_key`.
    """
    return Fernet(key).encrypt(msgspec.json.encode(snapshot))


def unseal(data: bytes, master: str) -> Snapshot:
    """Inverse of `seal`. Raises WrongMasterKey for anything not sealed with this master key."""
    try:
        return _decoder.decode(Fernet(seal_key(master)).decrypt(data))
    except (InvalidToken, msgspec.DecodeError):
        raise WrongMasterKey(WrongMasterKey.__doc__) from None
