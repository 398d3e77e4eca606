"""`/v1/master`: the master keys that open this database, and the rotation from one to
the next.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from cryptography.fernet import Fernet

from contract.unwrap import WrongMasterKey, key_id
from control.api.bodies import body_of
from control.errors import ApiError, answer
from control.state import STATE, State
from control.store import master_keys
from control.store.database import Pool
from control.store.master_keys import Masters, NotNow
from control.vault import Vault

EXAMPLE = '{"new_key": "<44 characters of a Fernet key>"}'


class MasterKey(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a rotation, and of its verification."""

    new_key: Annotated[str, msgspec.Meta(min_length=44, max_length=44)]

    def __repr__(self) -> str:
        return "MasterKey(****)"


class MasterView(msgspec.Struct):
    """A master key that opens the database, by its id."""

    id: str
    added_at: datetime


class Standing(msgspec.Struct):
    """Where a rotation stands:

    `steady` with one key, `pending` with two. `in_use` is the id of control's own.
    """

    state: Literal["steady", "pending"]
    in_use: str
    keys: list[MasterView]


class Verified(msgspec.Struct):
    """How many secrets a key opened."""

    id: str
    opened: int


async def status(request: web.Request) -> web.Response:
    """Where a rotation stands."""
    state = request.app[STATE]
    return answer(_shown(state, await master_keys.every(state.pool)))


async def rotate(request: web.Request) -> web.Response:
    """Begin a rotation: the old and the new key both open everything until it is
    finalized or aborted.
    """
    state, new = request.app[STATE], await _new_key(request)
    try:
        found = await master_keys.rotate(state.pool, state.vault, new)
    except (NotNow, WrongMasterKey) as error:
        raise ApiError(409, "not_now", str(error)) from None
    await master_keys.verify(state.pool, new)  # again, now committed
    return answer(_shown(state, found))


async def verify(request: web.Request) -> web.Response:
    """Open every stored secret with the key in the body, and do nothing else."""
    state, key = request.app[STATE], await _new_key(request)
    try:
        return answer(Verified(key_id(key), await master_keys.verify(state.pool, key)))
    except WrongMasterKey as error:
        raise ApiError(
            409,
            "wrong_master_key",
            str(error),
            "GET /v1/master says which ids open it.",
        ) from None


async def finalize(request: web.Request) -> web.Response:
    """End a rotation with the new key."""
    return await _end(request, master_keys.finalize)


async def abort(request: web.Request) -> web.Response:
    """End a rotation with the old key."""
    return await _end(request, master_keys.abort)


async def _end(
    request: web.Request, how: Callable[[Pool, Vault], Awaitable[Masters]]
) -> web.Response:
    state = request.app[STATE]
    try:
        return answer(_shown(state, await how(state.pool, state.vault)))
    except (NotNow, WrongMasterKey) as error:
        raise ApiError(409, "not_now", str(error)) from None


async def _new_key(request: web.Request) -> str:
    key = (await body_of(request, MasterKey, EXAMPLE)).new_key
    try:
        Fernet(key)
    except ValueError:
        raise ApiError(
            400,
            "bad_key",
            "new_key is not a Fernet key: it has 44 base64 characters holding exactly 32 bytes.",
        ) from None
    return key


def _shown(state: State, found: Masters) -> Standing:
    keys = [MasterView(row.id, row.added) for row in found.rows]
    return Standing(
        "pending" if found.pending else "steady", key_id(state.vault.master), keys
    )
