"""Layers: rules that admins keep in PostgreSQL, every version of them. The newest version of a layer is in force."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from control.store.admin_audit import UNDER_WAY, changed, changing
from control.store.database import Connection, Pool
from control.store.tenants import bump

# Of one layer: versions, and bytes of all that are kept. A rule file may have one of these megabytes.
MOST_VERSIONS, MOST_HISTORY = 200, 8 * 1024 * 1024
# Of all layers in force, since each snapshot has them all.
MOST_BYTES = 16 * 1024 * 1024


class Version(NamedTuple):
    """One version of a layer, by whom, and why. `text` is empty where the layer says nothing."""

    layer: str
    tenant: str | None
    version: int
    text: str
    reason: str
    actor: str
    at: datetime


class InForce(NamedTuple):
    """All layers in force, by the names of their sources, and the number of the last change."""

    sources: Mapping[str, str]
    change: int


class New(NamedTuple):
    """A new version. `after`: it is only put where this is the version in force; None: whatever is."""

    layer: str
    tenant: str | None
    text: str
    reason: str
    after: int | None = None


class Conflict(Exception):
    """Another version is in force than the author saw."""


class TooLarge(Exception):
    """All layers together would have more than MOST_BYTES."""


async def in_force(pool: Pool) -> InForce:
    """The layers in force, of tenants that did not end."""
    async with pool.connection() as connection:
        return await in_force_by(connection)


async def in_force_by(connection: Connection) -> InForce:
    """As `in_force`, in a transaction of the caller's."""
    rows = await connection.execute(
        "SELECT DISTINCT ON (v.layer) v.layer, v.text, t.deleted IS NOT NULL AS ended FROM layer_version v "
        "LEFT JOIN tenant t ON t.id = v.tenant ORDER BY v.layer, v.version DESC"
    )
    sources = {
        row["layer"]: row["text"]
        for row in await rows.fetchall()
        if row["text"] and not row["ended"]
    }
    return InForce(sources, await last_change(connection))


async def last_change(connection: Connection) -> int:
    """The number of the last change of any layer."""
    row = await (
        await connection.execute(
            "SELECT coalesce(max(id), 0) AS change FROM layer_version"
        )
    ).fetchone()
    assert row is not None
    return int(row["change"])


async def takes_effect(
    connection: Connection, hash: str, *, always: bool = True
) -> str:
    """Serve files of this hash, in the caller's transaction, and raise the version, `always` or where they were others. Whoever
    changes rules waits here for one another. The hash that was served before.
    """
    row = await (
        await connection.execute("SELECT rules FROM snapshot FOR UPDATE")
    ).fetchone()
    assert row is not None
    if always or row["rules"] != hash:
        await connection.execute("UPDATE snapshot SET rules = %s", (hash,))
        await bump(connection)
    return str(row["rules"])


async def newest(pool: Pool, tenants: Sequence[str] | None) -> list[Version]:
    """The newest version of each layer, by name; of everybody's and of these tenants', or of all."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT DISTINCT ON (layer) layer, tenant, version, text, reason, actor, at FROM layer_version "
            "WHERE %(tenants)s::text[] IS NULL OR tenant IS NULL OR tenant = ANY (%(tenants)s) ORDER BY layer, version DESC",
            {"tenants": tenants},
        )
        return [Version(**row) for row in await rows.fetchall()]


async def changes(pool: Pool, names: Sequence[str]) -> list[tuple[str, str]]:
    """All changes of these layers that are kept, in their order: each a source and its new text."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT layer, text FROM layer_version WHERE layer = ANY (%s) ORDER BY id",
            (list(names),),
        )
        return [(row["layer"], row["text"]) for row in await rows.fetchall()]


async def versions(pool: Pool, layer: str) -> list[Version]:
    """All versions of a layer that are kept, the newest first, with the text of none."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT layer, tenant, version, '' AS text, reason, actor, at FROM layer_version WHERE layer = %s ORDER BY version DESC",
            (layer,),
        )
        return [Version(**row) for row in await rows.fetchall()]


async def one(pool: Pool, layer: str, version: int | None = None) -> Version | None:
    """One version of a layer; without its number the newest."""
    async with pool.connection() as connection:
        return await _one(connection, layer, version)


async def put(pool: Pool, new: New, proven: int, files: str, served: str) -> bool:
    """Put a version in force, and raise the snapshot's version, in one transaction. It was proven together with the files of
    that hash and the layers as of the change `proven`; False where there are others by now, or other files are served than
    those of the hash `served`. Raises Conflict, TooLarge.
    """
    try:
        await _put(pool, new, proven, files, served)
    except _Outdated:
        return False
    return True


class _Outdated(Exception):
    """The rules are others than those that were proven."""


async def _put(pool: Pool, new: New, proven: int, files: str, served: str) -> None:
    act = UNDER_WAY.get()
    async with changing(pool) as connection:
        before_files = await takes_effect(connection, files)
        there = await in_force_by(connection)
        if there.change != proven or before_files != served:
            raise _Outdated
        others = sum(len(text.encode()) for name, text in there.sources.items() if name != new.layer)  # fmt: skip
        if others + len(new.text.encode()) > MOST_BYTES:
            raise TooLarge
        before = await _one(connection, new.layer)
        version = before.version if before is not None else 0
        if new.after is not None and new.after != version:
            raise Conflict
        await connection.execute(
            "INSERT INTO layer_version (layer, tenant, version, text, reason, actor) VALUES (%s, %s, %s, %s, %s, %s)",
            (
                new.layer,
                new.tenant,
                version + 1,
                new.text,
                new.reason,
                act.actor if act is not None else "",
            ),
        )
        await connection.execute(
            "DELETE FROM layer_version WHERE layer = %(layer)s AND version < (SELECT min(version) FROM (SELECT version, "
            "row_number() OVER w AS number, sum(octet_length(text)) OVER w AS bytes FROM layer_version WHERE layer = %(layer)s "
            "WINDOW w AS (ORDER BY version DESC)) kept WHERE number = 1 OR (number <= %(most)s AND bytes <= %(bytes)s))",
            {"layer": new.layer, "most": MOST_VERSIONS, "bytes": MOST_HISTORY},
        )
        old = {"version": version, "hash": _hash(before.text)} if before else None
        told = {"version": version + 1, "hash": _hash(new.text), "reason": new.reason}
        changed(new.layer, new.tenant, old, told)


async def _one(
    connection: Connection, layer: str, version: int | None = None
) -> Version | None:
    rows = await connection.execute(
        "SELECT layer, tenant, version, text, reason, actor, at FROM layer_version WHERE layer = %(layer)s "
        "AND (%(version)s::integer IS NULL OR version = %(version)s) ORDER BY version DESC LIMIT 1",
        {"layer": layer, "version": version},
    )
    row = await rows.fetchone()
    return Version(**row) if row is not None else None


def _hash(text: str) -> str:
    """What tells a text from others, and says nothing of it: a layer may name what is secret."""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""
