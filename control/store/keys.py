"""Keys. Of a secret only the digest is stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from contract.keys import Role
from control.permissions import Caller
from control.store.admin_audit import changed, changing
from control.store.database import Connection, Pool
from control.store.tenants import bump


class Key(NamedTuple):
    """A key. Past `not_after` it does not work. `bound_to`: the tenants that one of staff is for; None: all."""

    id: str
    role: Role
    tenant: str | None
    bound_to: Sequence[str] | None
    name: str
    created: datetime
    not_after: datetime | None
    replaced_by: str | None
    last_used: datetime | None


# How long before its end the users of a key hear of it.
SOON = timedelta(days=7)
COLUMNS = "id, role, tenant, bound_to, name, created, not_after, replaced_by, last_used"


class Known(NamedTuple):
    """A key as the keyring needs it: its role, its tenant (for the role tenant) or those
    it is bound to, and the digest of its secret.
    """

    id: str
    role: Role
    tenant: str | None
    bound_to: Sequence[str] | None
    digest: str
    not_after: datetime | None

    @property
    def caller(self) -> Caller:
        """Who calls with it."""
        tenants = [self.tenant] if self.tenant is not None else self.bound_to
        seen = frozenset(tenants) if tenants is not None else None
        return Caller(self.role, seen, self.id)


class Minted(NamedTuple):
    """A new key, as it is stored."""

    id: str
    digest: str


class Rotated(NamedTuple):
    """A tenant's old keys, which end at `not_after`, and the new one."""

    tenant: str
    old: Sequence[str]
    new: str
    not_after: datetime


async def known(pool: Pool) -> tuple[list[Known], int]:
    """All keys that work now or for a while, and the version of the snapshot that has
    them.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )
        version = await (
            await connection.execute("SELECT version FROM snapshot")
        ).fetchone()
        rows = await connection.execute(
            "SELECT k.id, k.role, k.tenant, k.bound_to, k.digest, k.not_after FROM api_key k LEFT JOIN tenant t ON t.id = k.tenant "
            "WHERE t.deleted IS NULL AND (k.not_after IS NULL OR k.not_after > now()) "
            "AND NOT EXISTS (SELECT FROM restored)"
        )
        return [Known(**row) for row in await rows.fetchall()], version[
            "version"
        ] if version else 0


async def forget_signed_in(connection: Connection, days: int) -> None:
    """Delete the keys of sign-ins that ended so long ago: they bear a person's name."""
    await connection.execute(
        "DELETE FROM api_key k WHERE k.signed_in AND k.not_after < now() - make_interval(days => %s) "
        "AND NOT EXISTS (SELECT FROM sign_in s WHERE s.key = k.id)",
        (days,),
    )


async def note_used(pool: Pool, used: Mapping[str, datetime]) -> None:
    """Store when keys were last used, unless a later time is known."""
    async with pool.connection() as connection, connection.transaction():
        await mark_used(connection, used)


async def mark_used(connection: Connection, used: Mapping[str, datetime]) -> None:
    """As `note_used`, in the caller's transaction."""
    await connection.execute(
        "UPDATE api_key k SET last_used = u.at FROM unnest(%s::text[], %s::timestamptz[]) AS u (id, at) "
        "WHERE k.id = u.id AND (k.last_used IS NULL OR k.last_used < u.at)",
        (sorted(used), [used[id] for id in sorted(used)]),
    )


async def of_tenant(
    pool: Pool,
    tenant: str | None,
    *,
    search: str = "",
    after: str | None = None,
    limit: int | None = None,
) -> list[Key]:
    """The keys that a tenant has or had, oldest first; for None, those without a
    tenant, and of sign-ins those that still work. `search` looks in their ids and names.
    """
    async with pool.connection() as connection:
        rows = await connection.execute(
            f"SELECT {COLUMNS} FROM api_key WHERE tenant IS NOT DISTINCT FROM %(tenant)s "
            "AND NOT (signed_in AND not_after <= now()) AND (%(search)s = '' OR strpos(lower(id || ' ' || name), lower(%(search)s)) > 0) "
            "AND (%(after)s::text IS NULL OR (created, id) > "
            "(SELECT a.created, a.id FROM api_key a WHERE a.id = %(after)s AND a.tenant IS NOT DISTINCT FROM %(tenant)s)) "
            "ORDER BY created, id LIMIT %(limit)s".encode(),
            {"tenant": tenant, "search": search, "after": after, "limit": limit},
        )
        return [Key(**row) for row in await rows.fetchall()]


async def add(
    pool: Pool,
    tenant: str | None,
    role: Role,
    name: str,
    minted: Minted,
    not_after: datetime | None,
    bound_to: Sequence[str] | None = None,
) -> Key | None:
    """Add a key to a tenant, or with another role to none; raise the snapshot's version
    in the same transaction.

    None: there is no such tenant, or one of those that it is `bound_to` is not there.
    """
    async with changing(pool) as connection:
        return await insert(connection, tenant, role, name, minted, not_after, bound_to)


async def insert(
    connection: Connection,
    tenant: str | None,
    role: Role,
    name: str,
    minted: Minted,
    not_after: datetime | None,
    bound_to: Sequence[str] | None,
    subject: str = "",
) -> Key | None:
    """As `add`, in the caller's transaction. `subject`: who signed in for it, by the provider's id."""
    named = [tenant] if tenant is not None else sorted({*(bound_to or ())})
    # Who ends the tenant waits until the key is there, and ends one of its own, too.
    there = await connection.execute(
        "SELECT id FROM tenant WHERE id = ANY (%s) AND deleted IS NULL FOR SHARE",
        (named,),
    )
    if len(await there.fetchall()) < len(named):
        return None
    rows = await connection.execute(
        "INSERT INTO api_key (id, digest, role, name, not_after, tenant, bound_to, signed_in) "
        "VALUES (%(id)s, %(digest)s, %(role)s, %(name)s, %(not_after)s, %(tenant)s, %(bound_to)s, %(signed_in)s) "
        f"RETURNING {COLUMNS}".encode(),
        {
            **minted._asdict(),
            "role": role,
            "name": name,
            "not_after": not_after,
            "tenant": tenant,
            "bound_to": named if bound_to is not None else None,
            "signed_in": bool(subject),
        },
    )
    row = await rows.fetchone()
    assert row is not None
    await bump(connection)
    told = {"role": role, "name": name, "not_after": not_after, "bound_to": row["bound_to"], "subject": subject}  # fmt: skip
    changed(minted.id, tenant, {}, told)
    return Key(**row)


async def revoke(pool: Pool, tenant: str | None, key: str, why: str = "") -> bool:
    """Revoke a key. Whether it worked until now."""
    async with changing(pool) as connection:
        rows = await connection.execute(
            "UPDATE api_key k SET not_after = now() FROM api_key b WHERE b.id = k.id AND k.id = %s "
            "AND k.tenant IS NOT DISTINCT FROM %s AND (k.not_after IS NULL OR k.not_after > now()) "
            "RETURNING b.not_after AS before, k.not_after AS after",
            (key, tenant),
        )
        row = await rows.fetchone()
        if row is not None:
            await bump(connection)
            after = {"not_after": row["after"], "why": why}
            changed(key, tenant, {"not_after": row["before"]}, after)
        return row is not None


async def exists(pool: Pool, tenant: str | None, key: str) -> bool:
    """Whether a tenant has or had this key."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT id FROM api_key WHERE id = %s AND tenant IS NOT DISTINCT FROM %s",
            (key, tenant),
        )
        return await rows.fetchone() is not None


class Ending(NamedTuple):
    """Keys that end within SOON: how many, how many of them were used in the last day, and the seconds until the first ends."""

    soon: int
    used: int
    first: float | None


async def ending(pool: Pool) -> Ending:
    """The keys that end soon, without those of sign-ins, which always do."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT count(*) AS soon, count(*) FILTER (WHERE k.last_used > now() - interval '1 day') AS used, "
            "extract(epoch FROM min(k.not_after) - now())::float8 AS first "
            "FROM api_key k LEFT JOIN tenant t ON t.id = k.tenant "
            "WHERE t.deleted IS NULL AND k.not_after > now() AND k.not_after <= now() + %s "
            "AND NOT k.signed_in",
            (SOON,),
        )
        row = await rows.fetchone()
    assert row is not None
    return Ending(**row)


async def to_tell(connection: Connection, most: int) -> list[Key]:
    """Keys of tenants that end soon though they are used, of which nobody heard yet; they count as told now.

    One that was replaced is used where it is used after that.
    """
    rows = await connection.execute(
        f"UPDATE api_key SET end_told = now() WHERE id IN (SELECT k.id FROM api_key k JOIN tenant t ON t.id = k.tenant "
        "LEFT JOIN api_key r ON r.id = k.replaced_by WHERE t.deleted IS NULL AND k.end_told IS NULL "
        "AND k.not_after > now() AND k.not_after <= now() + %s "
        "AND k.last_used > coalesce(r.created, now() - interval '1 day') LIMIT %s FOR UPDATE OF k SKIP LOCKED) "
        f"RETURNING {COLUMNS}".encode(),
        (SOON, most),
    )
    return [Key(**row) for row in await rows.fetchall()]


async def to_rotate(pool: Pool, within: Sequence[str] | None) -> list[str]:
    """The tenants whose keys would be rotated: these, or all."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT id FROM tenant WHERE deleted IS NULL AND (%(ids)s::text[] IS NULL OR id = ANY (%(ids)s)) ORDER BY created, id",
            {"ids": within},
        )
        return [row["id"] for row in await rows.fetchall()]


async def rotate(
    pool: Pool, minted: dict[str, Minted], revoke_after: int
) -> list[Rotated]:
    """Give each tenant a new key; the old ones still work for `revoke_after` seconds.

    All in one transaction.
    """
    async with changing(pool) as connection:
        rotated = [
            await _rotate(connection, tenant, new, revoke_after)
            for tenant, new in minted.items()
        ]
        await bump(connection)
    return rotated


async def _rotate(
    connection: Connection, tenant: str, new: Minted, revoke_after: int
) -> Rotated:
    await connection.execute(
        "INSERT INTO api_key (id, tenant, digest) VALUES (%s, %s, %s)",
        (new.id, tenant, new.digest),
    )
    rows = await connection.execute(
        "UPDATE api_key SET replaced_by = %(new)s, not_after = least(not_after, now() + make_interval(secs => %(seconds)s)) "
        "WHERE tenant = %(tenant)s AND id <> %(new)s AND (not_after IS NULL OR not_after > now()) RETURNING id",
        {"new": new.id, "tenant": tenant, "seconds": revoke_after},
    )
    old = [row["id"] for row in await rows.fetchall()]
    row = await (
        await connection.execute(
            "SELECT now() + make_interval(secs => %s) AS ends", (revoke_after,)
        )
    ).fetchone()
    assert row is not None
    ending = {"keys": [new.id], "old": old, "old_until": row["ends"]}
    changed(new.id, tenant, {"keys": old}, ending)
    return Rotated(tenant, old, new.id, row["ends"])
