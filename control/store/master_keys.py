"""The master keys that open the data key.

During a rotation there are two rows: a process may be started with either key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from contract.unwrap import WrongMasterKey, key_id, seal_key, unwrap
from control.store.admin_audit import changed, changing
from control.store.database import Connection, Pool
from control.vault import Vault, new_vault

LOCK = 0x6D6173746572


class NotNow(Exception):
    """The request does not fit where the rotation stands; the sentence says what does."""


class Master(NamedTuple):
    """A master key by its id.

    `token` and `seal` (wrapped) are there for one that is being replaced.
    """

    id: str
    wrapped: str
    token: str | None
    seal: str | None
    added: datetime


@dataclass(frozen=True)
class Masters:
    """The master keys that open the data key, oldest first."""

    rows: Sequence[Master]

    @property
    def pending(self) -> bool:
        """Whether a rotation is in progress."""
        return len(self.rows) > 1


async def open_vault(pool: Pool, master: str) -> Vault:
    """The vault of this database.

    A new database gets one, and what older versions kept under the master key is moved
    into it. Raises WrongMasterKey.
    """
    async with pool.connection() as connection, connection.transaction():
        await _lock(connection)
        found = await _read(connection)
        if not found.rows:
            return await _first(connection, master)
    for row in found.rows:
        if row.id == key_id(master):
            return Vault(master, row.wrapped)
    wanted = " or ".join(row.id for row in found.rows)
    raise WrongMasterKey(
        f"EARTHFLOW_MASTER_KEY is not the one of this database: its id is {key_id(master)}, and not {wanted}."
    )


async def every(pool: Pool) -> Masters:
    """All master keys that open the data key."""
    async with pool.connection() as connection:
        return await _read(connection)


async def rotate(pool: Pool, vault: Vault, new: str) -> Masters:
    """Let the new master key open everything, too.

    In one transaction, in which the new key has opened every secret. Raises NotNow.
    """
    async with changing(pool) as connection:
        await _lock(connection)
        found = await _read(connection)
        if found.pending:
            raise NotNow(
                "A rotation is in progress already. `earthflow keys master status` shows it; finalize or abort it first."
            )
        if found.rows[-1].id != key_id(vault.master):
            raise NotNow(
                "Control runs with a key that no longer opens this database. Set EARTHFLOW_MASTER_KEY to the one in use and start it again."
            )
        if key_id(new) == key_id(vault.master):
            raise NotNow("The new key is the one in use. Make another one.")
        await connection.execute(
            "UPDATE master_key SET token = %s, seal = %s WHERE id = %s",
            (
                vault.wrap(vault.proxy_token.encode()),
                vault.wrap(seal_key(vault.master)),
                key_id(vault.master),
            ),
        )
        await _add(connection, key_id(new), vault.under(new))
        await _open_all(connection, new)
        return await _changed(connection, found)


async def verify(pool: Pool, master: str) -> int:
    """Open every stored secret with this master key alone; how many.

    Raises WrongMasterKey.
    """
    async with pool.connection() as connection, connection.transaction():
        return await _open_all(connection, master)


async def finalize(pool: Pool, vault: Vault) -> Masters:
    """End a rotation: from now on only the new key, with which this process runs, opens.

    Raises NotNow.
    """
    async with changing(pool) as connection:
        await _lock(connection)
        found = await _read(connection)
        if not found.pending:
            raise NotNow("No rotation is in progress.")
        if found.rows[-1].id != key_id(vault.master):
            raise NotNow(
                f"Control still runs with the old key. Set EARTHFLOW_MASTER_KEY to the new one ({found.rows[-1].id}) and start it again."
            )
        await _open_all(connection, vault.master)
        await connection.execute(
            "DELETE FROM master_key WHERE id <> %s", (key_id(vault.master),)
        )
        return await _changed(connection, found)


async def abort(pool: Pool, vault: Vault) -> Masters:
    """Undo a rotation: only the old key opens, as before. Raises NotNow."""
    async with changing(pool) as connection:
        await _lock(connection)
        found = await _read(connection)
        if not found.pending:
            raise NotNow("No rotation is in progress.")
        if found.rows[0].id != key_id(vault.master):
            raise NotNow(
                "Control runs with the new key. Set EARTHFLOW_MASTER_KEY back to the old one and start it again, or finalize."
            )
        await connection.execute(
            "DELETE FROM master_key WHERE id <> %s", (key_id(vault.master),)
        )
        await connection.execute("UPDATE master_key SET token = NULL, seal = NULL")
        return await _changed(connection, found)


async def _lock(connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))


async def _read(connection: Connection) -> Masters:
    rows = await connection.execute(
        "SELECT id, wrapped, token, seal, added FROM master_key ORDER BY generation"
    )
    return Masters([Master(**row) for row in await rows.fetchall()])


async def _changed(connection: Connection, before: Masters) -> Masters:
    """The master keys as they are now, and an entry of what was changed."""
    after = await _read(connection)
    old, new = ([row.id for row in found.rows] for found in (before, after))
    changed(new[-1], None, {"keys": old}, {"keys": new})
    return after


async def _add(connection: Connection, id: str, wrapped: str) -> None:
    await connection.execute(
        "INSERT INTO master_key (id, generation, wrapped) SELECT %s, coalesce(max(generation), 0) + 1, %s FROM master_key",
        (id, wrapped),
    )


async def _first(connection: Connection, master: str) -> Vault:
    vault = new_vault(master)
    await _add(connection, key_id(master), vault.wrapped)
    for table, column in (
        ("pepper", "wrapped"),
        ("tenant", "prompt_key"),
    ):  # all that earlier versions kept
        rows = await (
            await connection.execute(
                f"SELECT DISTINCT {column} AS old FROM {table}".encode()
            )
        ).fetchall()
        for row in rows:
            new = vault.wrap(unwrap(master, row["old"]))
            await connection.execute(
                f"UPDATE {table} SET {column} = %s WHERE {column} = %s".encode(),
                (new, row["old"]),
            )
    return vault


SECRETS = (
    "SELECT wrapped FROM pepper UNION ALL SELECT prompt_key FROM tenant UNION ALL SELECT secret FROM webhook "
    "UNION ALL SELECT previous_secret FROM webhook WHERE previous_secret IS NOT NULL "
    "UNION ALL SELECT key FROM authority WHERE key IS NOT NULL UNION ALL SELECT value FROM known_value"
)


async def _open_all(connection: Connection, master: str) -> int:
    rows = await (
        await connection.execute(
            "SELECT wrapped FROM master_key WHERE id = %s", (key_id(master),)
        )
    ).fetchall()
    if not rows:
        raise WrongMasterKey(
            f"The key {key_id(master)} is not one that opens this database."
        )
    vault = Vault(master, rows[0]["wrapped"])
    secrets = await (await connection.execute(SECRETS)).fetchall()
    for row in secrets:
        vault.open(row["wrapped"])
    return len(secrets)
