"""What proxies are served: the version, and the content of a snapshot."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from contract.snapshot import (
    KeyEnd,
    KeyEntry,
    KnownKeys,
    Rate,
    Snapshot,
    TenantEntry,
)
from control.store.database import Connection, Pool
from control.store.tenants import bump


class Served(NamedTuple):
    """The version that is served, and the hash of its rule sources. `held`: nothing is
    served, since the database was restored and its keys may be revoked ones.
    """

    version: int
    rules: str
    held: bool = False


async def served(pool: Pool) -> Served:
    """The current state."""
    async with pool.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT version, rules, EXISTS (SELECT FROM restored) AS held FROM snapshot"
            )
        ).fetchone()
    return Served(**row) if row else Served(0, "")


async def note_rules(pool: Pool, hash: str) -> None:
    """Raise the version where the rule sources differ from those last served."""
    async with pool.connection() as connection, connection.transaction():
        changed = await connection.execute(
            "UPDATE snapshot SET rules = %s WHERE rules <> %s", (hash, hash)
        )
        if changed.rowcount:
            await bump(connection)


async def hold(pool: Pool) -> None:
    """Serve nothing until `settle`: a proxy knows more than this database, as after a
    restored backup.
    """
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO restored DEFAULT VALUES ON CONFLICT DO NOTHING"
        )


async def settle(pool: Pool, known: KnownKeys | None) -> int | None:
    """Serve again, above the version that a proxy has. Keys that it does not know end, and
    none lasts longer than it knows; how many were ended.

    Without `known` all keys are accepted as they are. None: nothing was held, or the proxy
    knows less than this database.
    """
    async with pool.connection() as connection, connection.transaction():
        row = await (
            await connection.execute("SELECT version FROM snapshot FOR UPDATE")
        ).fetchone()
        version = row["version"] if row else 0
        if known is not None and known.version < version:
            return None
        done = await connection.execute("DELETE FROM restored")
        if not done.rowcount:
            return None
        ended = 0
        if known is not None:
            ended += await _end(connection, "role = 'tenant'", known.keys)
            if known.others is not None:
                ended += await _end(connection, "role <> 'tenant'", known.others)
        await connection.execute(
            "UPDATE snapshot SET version = %s",
            (max(version, known.version if known else 0) + 1,),
        )
        return ended


async def _end(connection: Connection, which: str, known: Sequence[KeyEnd]) -> int:
    """End keys that are not known, or later than known; how many."""
    ends = {key.id: key.not_after for key in known}
    done = await connection.execute(
        f"UPDATE api_key k SET not_after = least(now(), k.not_after) WHERE {which} "
        "AND (k.not_after IS NULL OR k.not_after > now()) AND k.id <> ALL(%s)".encode(),
        (list(ends),),
    )
    await connection.execute(
        "UPDATE api_key k SET not_after = e.at FROM unnest(%s::text[], %s::timestamptz[]) AS e (id, at) "
        f"WHERE {which} AND k.id = e.id AND e.at IS NOT NULL AND (k.not_after IS NULL OR k.not_after > e.at)".encode(),
        (list(ends), list(ends.values())),
    )
    return done.rowcount


async def read(
    pool: Pool,
    rules: dict[str, str],
    hash: str,
    rate: Rate,
    data_key: str,
    *,
    keep_prompts: bool,
) -> Snapshot | None:
    """A consistent snapshot, with the given rule sources and wrapped data key.

    None where another process serves other rules by now.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )
        state = await (
            await connection.execute(
                "SELECT s.version, s.rules, p.wrapped FROM snapshot s, pepper p"
            )
        ).fetchone()
        tenants = await (
            await connection.execute(
                "SELECT id, preset, prompt_key, unknown_hosts, max_requests_per_minute, max_tokens_per_day "
                "FROM tenant WHERE deleted IS NULL"
            )
        ).fetchall()
        others = await (
            await connection.execute(
                "SELECT id, not_after FROM api_key WHERE role <> 'tenant'"
            )
        ).fetchall()
        keys = await (
            await connection.execute(
                "SELECT k.id, k.tenant, k.digest, k.not_after FROM api_key k JOIN tenant t ON t.id = k.tenant WHERE t.deleted IS NULL"
            )
        ).fetchall()
    if state is None or state["rules"] != hash:
        return None
    return Snapshot(
        version=state["version"],
        made=datetime.now(UTC),
        pepper=state["wrapped"],
        tenants=tuple(TenantEntry(**row) for row in tenants),
        keys=tuple(KeyEntry(**row) for row in keys),
        rules=rules,
        rate=rate,
        data_key=data_key,
        keep_prompts=keep_prompts,
        others=tuple(KeyEnd(**row) for row in others),
    )


async def pepper(pool: Pool, wrapped_if_none: str) -> str:
    """The wrapped pepper; the given one becomes it where there is none."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO pepper (wrapped) VALUES (%s) ON CONFLICT DO NOTHING",
            (wrapped_if_none,),
        )
        row = await (await connection.execute("SELECT wrapped FROM pepper")).fetchone()
    assert row is not None
    return str(row["wrapped"])
