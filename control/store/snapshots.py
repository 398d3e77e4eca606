"""What proxies are served: the version, and the content of a snapshot."""

from datetime import UTC, datetime
from typing import NamedTuple

from contract.snapshot import KeyEntry, Rate, Snapshot, TenantEntry
from control.store.database import Pool
from control.store.tenants import bump


class Served(NamedTuple):
    """The version that is served, and the hash of its rule sources."""

    version: int
    rules: str


async def served(pool: Pool) -> Served:
    """The current state."""
    async with pool.connection() as connection:
        row = await (
            await connection.execute("SELECT version, rules FROM snapshot")
        ).fetchone()
    return Served(int(row["version"]), str(row["rules"])) if row else Served(0, "")


async def note_rules(pool: Pool, hash: str) -> None:
    """Raise the version where the rule sources differ from those last served."""
    async with pool.connection() as connection, connection.transaction():
        changed = await connection.execute(
            "UPDATE snapshot SET rules = %s WHERE rules <> %s", (hash, hash)
        )
        if changed.rowcount:
            await bump(connection)


async def overtake(pool: Pool, version: int) -> None:
    """Raise our version above one that a proxy has, as after a restored backup: a proxy
    takes no lower one.
    """
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE snapshot SET version = %s WHERE version <= %s",
            (version + 1, version),
        )


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
