"""Sign-ins: keys of staff that people got from the organisation's provider; and commands that wait for one."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from contract.keys import StaffRole
from control.sign_in.roles import Grant
from control.store import keys, tenants
from control.store.admin_audit import Act, acting, changing
from control.store.database import Pool
from control.store.keys import Key, Minted

# A key lasts a working day, unless the provider said nothing of its person for an hour, or nobody used it for as long.
LONGEST, UNHEARD = timedelta(hours=12), timedelta(hours=1)
# How often the provider is asked; and when again where it did not answer, or the control that asks ended.
RENEW, AGAIN = timedelta(minutes=5), timedelta(minutes=1)
# How long after its end a sign-in is known to be somebody's, so that a form that they had begun waits for them.
REMEMBERED = timedelta(hours=1)
AT_ONCE = 20  # renewals of one look
# Commands wait so long for somebody; of more than these the oldest waits no more.
PATIENCE, MOST_WAITING, MOST_OF_ONE = timedelta(minutes=10), 1_000, 100
PAUSE = timedelta(seconds=1)  # between two polls of one command


class NewSignIn(NamedTuple):
    """What a sign-in is made of. `tenants`: those that the role is bound to; None: all. `tokens` are wrapped."""

    subject: str
    name: str
    role: StaffRole
    tenants: Sequence[str] | None
    tokens: str
    renewable: bool


class Due(NamedTuple):
    """A sign-in of which the provider is to be asked. `unheard`: it said nothing for too long."""

    key: str
    subject: str
    role: StaffRole
    tenants: Sequence[str] | None
    tokens: str
    unheard: bool


class Polled(NamedTuple):
    """A command's login: too often asked for, or what was granted (wrapped), if somebody signed in."""

    address: str
    too_often: bool
    granted: str | None


async def begin(pool: Pool, new: NewSignIn, minted: Minted) -> Key | None:
    """Let a key work that somebody signed in for. None where it would be bound to tenants alone that are not there."""
    async with changing(pool) as connection:
        bound = new.tenants
        if bound is not None:
            rows = await connection.execute(
                "SELECT id FROM tenant WHERE id = ANY (%s) AND deleted IS NULL ORDER BY id",
                (list(bound),),
            )
            bound = [row["id"] for row in await rows.fetchall()]
            if not bound:
                return None
        now = datetime.now(UTC)
        ends = now + (LONGEST if new.renewable else UNHEARD)
        key = await keys.insert(
            connection, None, new.role, new.name, minted, ends, bound, new.subject
        )
        if key is not None:
            await connection.execute(
                "INSERT INTO sign_in (key, subject, tokens, renew_after) VALUES (%s, %s, %s, %s)",
                (key.id, new.subject, new.tokens, now + RENEW if new.renewable else None),
            )  # fmt: skip
        return key


async def grants_there(pool: Pool, grants: Sequence[Grant]) -> list[Grant]:
    """Those of the grants that are for all tenants, or for one that is there."""
    named = sorted({one.tenant for one in grants if one.tenant is not None})
    there = {one.id for one in await tenants.judged(pool, named)} if named else set()
    return [one for one in grants if one.tenant is None or one.tenant in there]


async def due(pool: Pool) -> list[Due]:
    """Sign-ins whose time has come, for the caller alone to ask about."""
    async with pool.connection() as connection, connection.transaction():
        rows = await connection.execute(
            "UPDATE sign_in s SET renew_after = now() + %(again)s FROM api_key k WHERE k.id = s.key AND s.key IN ("
            "SELECT w.key FROM sign_in w JOIN api_key a ON a.id = w.key WHERE w.renew_after <= now() AND a.not_after > now() "
            "ORDER BY w.renew_after LIMIT %(most)s FOR UPDATE OF w SKIP LOCKED) "
            "RETURNING s.key, s.subject, k.role, k.bound_to AS tenants, s.tokens, "
            "s.heard < now() - %(unheard)s OR greatest(s.began, k.last_used) < now() - %(unheard)s AS unheard",
            {"again": AGAIN, "most": AT_ONCE, "unheard": UNHEARD},
        )
        return [Due(**row) for row in await rows.fetchall()]


async def keep_tokens(pool: Pool, key: str, before: str, tokens: str) -> None:
    """The tokens to ask with next time, in place of those before."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE sign_in SET tokens = %s WHERE key = %s AND tokens = %s",
            (tokens, key, before),
        )


async def heard(pool: Pool, key: str) -> None:
    """The provider still knows the person, with the role that the key has."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE sign_in SET heard = now(), renew_after = now() + %s WHERE key = %s",
            (RENEW, key),
        )


async def end(pool: Pool, key: str, why: str) -> None:
    """Revoke the key of a sign-in that control ends by itself."""
    with acting(Act("sign_ins.end", actor="control", role="control")):
        await keys.revoke(pool, None, key, why)


async def tokens_of(pool: Pool, key: str) -> str | None:
    """The wrapped tokens of a sign-in; None where the key is from none."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT tokens FROM sign_in WHERE key = %s", (key,)
        )
        row = await rows.fetchone()
        return row["tokens"] or None if row else None


async def of_same_person(pool: Pool, key: str) -> list[str]:
    """The keys that work now of whoever got this one by signing in; none where it is from no sign-in."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT s.key FROM sign_in s JOIN sign_in o ON o.subject = s.subject JOIN api_key k ON k.id = s.key "
            "WHERE o.key = %s AND k.not_after > now() ORDER BY 1",
            (key,),
        )
        return [row["key"] for row in await rows.fetchall()]


async def same_person(pool: Pool, one: str, other: str) -> bool:
    """Whether two keys are of sign-ins of the same person."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT 1 AS same FROM sign_in a JOIN sign_in b ON b.subject = a.subject WHERE a.key = %s AND b.key = %s",
            (one, other),
        )
        return await rows.fetchone() is not None


async def forget(pool: Pool) -> None:
    """Forget the tokens of sign-ins that ended, whose they were an hour later, and commands that waited long enough."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE sign_in s SET tokens = '', renew_after = NULL FROM api_key k "
            "WHERE k.id = s.key AND k.not_after <= now() AND s.tokens <> ''"
        )
        await connection.execute(
            "DELETE FROM sign_in s USING api_key k WHERE k.id = s.key AND k.not_after <= now() - %s",
            (REMEMBERED,),
        )
        await connection.execute("DELETE FROM command_login WHERE ends <= now()")


async def wait(pool: Pool, code: str, user_code: str, address: str) -> None:
    """A command waits for somebody to sign in. Of one address only the newest do, and of all."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO command_login (code, user_code, address, ends) VALUES (%s, %s, %s, now() + %s)",
            (_digest(code), user_code, address, PATIENCE),
        )
        for where, most in (("address = %(address)s", MOST_OF_ONE), ("true", MOST_WAITING)):  # fmt: skip
            await connection.execute(
                "DELETE FROM command_login WHERE code IN (SELECT code FROM command_login "
                f"WHERE {where} ORDER BY ends DESC OFFSET %(most)s)".encode(),
                {"address": address, "most": most},
            )


async def waits(pool: Pool, user_code: str) -> str | None:
    """The address of the command that waits with this code; None where none does."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT address FROM command_login WHERE user_code = %s AND ends > now() AND granted IS NULL",
            (user_code,),
        )
        row = await rows.fetchone()
        return row["address"] if row else None


async def grant(pool: Pool, user_code: str, granted: str) -> str | None:
    """Somebody signed in for a command; its address, or None where it does not wait any more."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "UPDATE command_login SET granted = %s WHERE user_code = %s AND ends > now() AND granted IS NULL RETURNING address",
            (granted, user_code),
        )
        row = await rows.fetchone()
        return row["address"] if row else None


async def refuse(pool: Pool, user_code: str) -> None:
    """Whoever signed in for a command gets no entry: it waits no more."""
    async with pool.connection() as connection:
        await connection.execute(
            "DELETE FROM command_login WHERE user_code = %s", (user_code,)
        )


async def poll(pool: Pool, code: str) -> Polled | None:
    """Whether somebody signed in for a command; what was granted is given once. None where nobody waits with this code."""
    async with pool.connection() as connection, connection.transaction():
        rows = await connection.execute(
            "SELECT address, granted, polled > now() - %(pause)s AS too_often FROM command_login "
            "WHERE code = %(code)s AND ends > now() FOR UPDATE",
            {"pause": PAUSE, "code": _digest(code)},
        )
        row = await rows.fetchone()
        if row is None:
            return None
        done = row["granted"] is not None and not row["too_often"]
        await connection.execute(
            "DELETE FROM command_login WHERE code = %s"
            if done
            else "UPDATE command_login SET polled = now() WHERE code = %s",
            (_digest(code),),
        )
        return Polled(row["address"], bool(row["too_often"]), row["granted"])


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
