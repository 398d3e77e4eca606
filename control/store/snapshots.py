"""What proxies are served: the version, and the content of a snapshot."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from contract.snapshot import (
    KeyEnd,
    KeyEntry,
    KnownEntry,
    KnownKeys,
    Rate,
    Snapshot,
    TenantEntry,
)
from control.store.admin_audit import Act, acting, changed, changing
from control.store.database import Connection, Pool
from control.store.layers import in_force_by, last_change, takes_effect
from control.store.tenants import bump


class Served(NamedTuple):
    """The version that is served, and the hash of its rule sources. `held`: nothing is
    served, since the database was restored and its keys may be revoked ones. `foreign`: the
    caller has a version that this database never made.
    """

    version: int
    rules: str
    held: bool = False
    foreign: bool = False

    def is_newer_than(self, have: int) -> bool:
        """Whether a caller who has that version gets this one."""
        return self.version > have and not self.held and not self.foreign


class Settled(NamedTuple):
    """How many keys ended; whether the database is served again. `ahead`: the snapshot is of
    a later time than now, so nothing can be told from it.
    """

    ended: int
    served: bool
    ahead: bool = False


# Each proxy asks again within a second, so by then all that can be reached have told.
GATHER = timedelta(seconds=5)
CLOCKS_DIFFER = timedelta(minutes=5)


async def served(pool: Pool, told: tuple[int, str] | None = None) -> Served:
    """The current state; with the version and mark that the caller has `told`."""
    version, mark = told or (None, "")
    async with pool.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT version, rules, EXISTS (SELECT FROM restored) AS held, %(version)s::bigint IS NOT NULL AND NOT EXISTS "
                "(SELECT FROM snapshot_mark m WHERE m.version = %(version)s AND m.mark = %(mark)s) AS foreign FROM snapshot",
                {"version": version, "mark": mark},
            )
        ).fetchone()
    return Served(**row) if row else Served(0, "")


async def note_rules(
    pool: Pool, hash: str, files: Mapping[str, str], proven: int
) -> bool:
    """Let rule files of this hash take effect. `files` are the hashes of the operator's own. They were proven together with the
    layers as of the change `proven`; False where there are others by now.
    """
    try:
        with acting(Act("rules.reload", actor="control", role="control")):
            async with changing(pool) as connection:
                before = await takes_effect(connection, hash, always=False)
                if await last_change(connection) != proven:
                    raise _Outdated
                if before != hash:
                    new = {"version": hash, "files": dict(files)}
                    changed("rules", None, {"version": before}, new)
    except _Outdated:
        return False
    return True


class _Outdated(Exception):
    """The layers are others than those that were proven."""


async def hold(pool: Pool) -> None:
    """Serve nothing until `settle`: a proxy knows more than this database, as after a
    restored backup.
    """
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO restored DEFAULT VALUES ON CONFLICT DO NOTHING"
        )


async def settle(pool: Pool, known: KnownKeys) -> Settled:
    """Take in what keys a proxy knows. Those that it does not know end, unless they were made
    later than its snapshot; none lasts longer than it knows. However old the snapshot is:
    what is not in it was revoked by then.

    GATHER after the first question the database is served again, above all versions that
    were told: by then each proxy that runs has told what it knows.
    """
    async with pool.connection() as connection, connection.transaction():
        row = await (
            await connection.execute(
                "SELECT version, (SELECT since FROM restored) AS since, now() AS now FROM snapshot FOR UPDATE"
            )
        ).fetchone()
        assert row is not None
        if row["since"] is None:
            return Settled(0, served=True)
        await connection.execute(
            "INSERT INTO snapshot_mark (version, mark, ours) VALUES (%s, %s, false) ON CONFLICT DO NOTHING",
            (known.version, known.mark),
        )
        if known.made > row["now"] + CLOCKS_DIFFER:
            return Settled(0, served=False, ahead=True)
        ended = await _end(connection, "role = 'tenant'", known.keys, known.made)
        if known.others is not None:
            ended += await _end(connection, "role <> 'tenant'", known.others, known.made)  # fmt: skip
        await connection.execute(
            "UPDATE snapshot SET version = greatest(version, %s)", (known.version,)
        )
        served = row["now"] - row["since"] >= GATHER
        if served:
            await connection.execute("DELETE FROM restored")
            await bump(connection)
        return Settled(ended, served=served)


async def _end(
    connection: Connection, which: str, known: Sequence[KeyEnd], made: datetime
) -> int:
    """End keys that are not known, or later than known; how many."""
    ends = {key.id: key.not_after for key in known}
    done = await connection.execute(
        f"UPDATE api_key k SET not_after = least(now(), k.not_after) WHERE {which} AND k.created <= %s "
        "AND (k.not_after IS NULL OR k.not_after > now()) AND k.id <> ALL(%s)".encode(),
        (made, list(ends)),
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
    """A consistent snapshot, with the given rule files, the layers in force, and the wrapped data key.

    None where another process serves other rules by now.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )
        state = await (
            await connection.execute(
                "SELECT s.version, s.rules, p.wrapped, coalesce(m.mark, '') AS mark "
                "FROM pepper p, snapshot s LEFT JOIN snapshot_mark m ON m.version = s.version AND m.ours"
            )
        ).fetchone()
        tenants = await _tenants(connection)
        layers = await in_force_by(connection)
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
        mark=state["mark"],
        made=datetime.now(UTC),
        pepper=state["wrapped"],
        tenants=tenants,
        keys=tuple(KeyEntry(**row) for row in keys),
        rules={**rules, **layers.sources},
        rate=rate,
        data_key=data_key,
        keep_prompts=keep_prompts,
        others=tuple(KeyEnd(**row) for row in others),
    )


async def _tenants(connection: Connection) -> tuple[TenantEntry, ...]:
    """All tenants, with their known values."""
    rows = await connection.execute(
        "SELECT id, preset, prompt_key, unknown_hosts, max_requests_per_minute, max_tokens_per_day FROM tenant WHERE deleted IS NULL"
    )
    values = await connection.execute(
        "SELECT tenant, name, value, any_case FROM known_value ORDER BY tenant, name"
    )
    known: defaultdict[str, list[KnownEntry]] = defaultdict(list)
    for value in await values.fetchall():
        known[value.pop("tenant")].append(KnownEntry(**value))
    return tuple(
        TenantEntry(**row, known=tuple(known[row["id"]]))
        for row in await rows.fetchall()
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
