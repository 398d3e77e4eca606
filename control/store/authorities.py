"""The roots of interception: which are in use, and what they sign."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509

from contract.authority import (
    Authority,
    certificate_pem,
    certify_root,
    fingerprint,
    make_root,
    read_authority,
    sign_issuer,
    signs_leaves_only,
)
from control.store.admin_audit import changed, changing
from control.store.database import Connection, Pool
from control.vault import Vault

LOCK = 0x726F6F7473


class NotNow(Exception):
    """The request does not fit which roots there are; the sentence says what does."""


class RootOffline(NotNow):
    """Control has no key of the root in use, so others must sign."""


class Root(NamedTuple):
    """A root by its fingerprint; PEM, and the key wrapped."""

    sha256: str
    certificate: str
    certified: str | None
    key: str | None
    added: datetime
    retired: datetime | None

    @property
    def parsed(self) -> x509.Certificate:
        """Its certificate."""
        return x509.load_pem_x509_certificate(self.certificate.encode())


async def every(pool: Pool) -> list[Root]:
    """All roots that ever were, oldest first."""
    async with pool.connection() as connection:
        return await _read(connection)


async def add(
    pool: Pool, vault: Vault, certificate: x509.Certificate | None, *, beside: bool
) -> list[Root]:
    """Make a root, or take in one whose key is offline; all roots.

    `beside` another one, which it will replace. Raises NotNow.
    """
    async with changing(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        found = [root for root in await _read(connection) if root.retired is None]
        if found and not beside:
            raise NotNow(
                "There is a CA already: `earthflow ca show` names it. To replace it: `earthflow ca renew --root`."
            )
        if len(found) > 1:
            raise NotNow(
                "The CA is being replaced already. End that first: `earthflow ca renew --finish`."
            )
        made = make_root() if certificate is None else None
        new = made.certificate if made else certificate
        assert new is not None
        if any(root.sha256 == fingerprint(new) for root in await _read(connection)):
            raise NotNow("That root is known already.")
        certified = _certified(vault, found[0], new) if found else None
        await connection.execute(
            "INSERT INTO authority (sha256, generation, certificate, certified, key) "
            "SELECT %s, coalesce(max(generation), 0) + 1, %s, %s, %s FROM authority",
            (
                fingerprint(new),
                certificate_pem(new).decode(),
                certified,
                vault.wrap(made.key_pem) if made else None,
            ),
        )
        changed(fingerprint(new), None, {}, {"key": "sealed" if made else "offline"})
        return await _read(connection)


async def retire(pool: Pool) -> list[Root]:
    """End a change: only the newest root stays in use; all roots. Raises NotNow."""
    async with changing(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        found = [root for root in await _read(connection) if root.retired is None]
        if len(found) < 2:
            raise NotNow("The CA is not being replaced.")
        await connection.execute(
            "UPDATE authority SET retired = now() WHERE retired IS NULL AND sha256 <> %s",
            (found[-1].sha256,),
        )
        used = [root.sha256 for root in found]
        changed(used[-1], None, {"in_use": used}, {"in_use": used[-1:]})
        return await _read(connection)


def issued(
    vault: Vault, roots: Sequence[Root], request: bytes, hosts: Sequence[str]
) -> str:
    """What a proxy sends below its leaves (PEM): the issuer that the newest root signs,
    and that root as the one before certifies it. Raises NotNow or ValueError.
    """
    used = [root for root in roots if root.retired is None]
    if not used:
        raise NotNow("There is no CA yet. Make one with: earthflow ca init")
    newest = used[-1]
    if newest.key is None:
        raise RootOffline(
            "The key of the root is not here. Sign the request where it is: earthflow ca sign REQUEST --root FILE"
        )
    issuer = sign_issuer(_authority(vault, newest), request, hosts).decode()
    return issuer + (newest.certified or "" if len(used) > 1 else "")


def _authority(vault: Vault, root: Root) -> Authority:
    assert root.key is not None
    return read_authority(vault.open(root.key) + root.certificate.encode())


def _certified(vault: Vault, old: Root, new: x509.Certificate) -> str | None:
    """The new root as the old one certifies it; None where that one cannot."""
    if signs_leaves_only(old.parsed):
        return None  # the new root will certify that one's key
    if old.key is None:
        raise NotNow(
            "The key of the root in use is not here, so it cannot certify a new one."
        )
    return certificate_pem(certify_root(_authority(vault, old), new)).decode()


async def _read(connection: Connection) -> list[Root]:
    rows = await connection.execute(
        "SELECT sha256, certificate, certified, key, added, retired FROM authority ORDER BY generation"
    )
    return [Root(**row) for row in await rows.fetchall()]
