"""Asks the provider again about those who signed in: somebody who left, or has another role now, is signed out within minutes."""

import asyncio
import logging

import msgspec

from contract.unwrap import WrongMasterKey
from control.sign_in import attempt
from control.sign_in.provider import Away, Fresh, Provider, Refused
from control.sign_in.roles import Grant, Granted, granted
from control.sign_in.tokens import BadToken, UnknownKey
from control.state import State
from control.store import sign_ins
from control.store.sign_ins import AGAIN, Due

logger = logging.getLogger("earthflow.sign_in")

EVERY = 10.0  # seconds
# For one renewal: before AGAIN has passed, when another control would begin it, too.
LONGEST = AGAIN.total_seconds() - 20


async def run(state: State) -> None:
    """Ask until cancelled. Nothing that a provider says ends it: keys of people who left would live on."""
    while True:
        try:
            await renew(state)
        except Exception as error:
            logger.warning("sign-ins are not renewed now (%s)", type(error).__name__)
        await asyncio.sleep(EVERY)


async def renew(state: State) -> None:
    """Ask once about those whose time has come. Without a provider nobody who signed in is let in any longer than their key says."""
    if state.provider is not None and (due := await sign_ins.due(state.pool)):
        grants = await sign_ins.grants_there(state.pool, state.settings.oidc_roles)
        work = (_in_time(state, state.provider, grants, one) for one in due)
        for done in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(done, Exception):
                logger.warning("a sign-in is not renewed now (%s)", type(done).__name__)
    await sign_ins.forget(state.pool)


async def _in_time(
    state: State, provider: Provider, grants: list[Grant], one: Due
) -> None:
    async with asyncio.timeout(LONGEST):
        await _renew(state, provider, grants, one)


async def _renew(
    state: State, provider: Provider, grants: list[Grant], one: Due
) -> None:
    if one.unheard:
        await _end(state, one, "it was not used for an hour, or the provider said nothing for one")  # fmt: skip
        return
    try:
        tokens = attempt.tokens_of(one.tokens, state.vault)
        fresh = await _refreshed(state, provider, one, tokens)
        before = attempt.before(one.subject, tokens)
        now = await provider.again(fresh, before)
    except (Away, UnknownKey) as error:
        logger.warning("the provider is asked again in a minute: %s", error)
        return
    except Refused:
        # unless another control has new tokens meanwhile
        if await sign_ins.tokens_of(state.pool, one.key) == one.tokens:
            await _end(state, one, "the provider lets them in no more")
        return
    except (BadToken, WrongMasterKey, msgspec.MsgspecError) as error:
        await _end(state, one, f"what the provider says of them is not believed ({error})")  # fmt: skip
        return
    if now.person.groups is None:
        await _end(state, one, "the provider names none of their groups any more")
        return
    gets = granted(grants, now.person.groups)
    if gets is None or not _same(one, gets):
        await _end(state, one, "their groups give another role")
        return
    await sign_ins.heard(state.pool, one.key)


async def _refreshed(
    state: State, provider: Provider, one: Due, tokens: attempt.Tokens
) -> Fresh:
    """New tokens, which are kept at once: the old ones may be worth nothing now, so that this is done to its end even where we end."""
    if tokens.refresh_token is None:
        raise Refused
    refresh_token = tokens.refresh_token

    async def work() -> Fresh:
        fresh = await provider.refresh(refresh_token)
        kept = attempt.Tokens(tokens.id_token, fresh.refresh_token)
        wrapped = state.vault.wrap(msgspec.json.encode(kept))
        await sign_ins.keep_tokens(state.pool, one.key, one.tokens, wrapped)
        return fresh

    task = asyncio.create_task(work())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _same(one: Due, gets: Granted) -> bool:
    """Whether the groups give the role, for all that the key is bound to and is there; more they give from the next sign-in on."""
    if one.role != gets.role or (one.tenants is None) != (gets.tenants is None):
        return False
    return one.tenants is None or set(one.tenants) <= set(gets.tenants or ())


async def _end(state: State, one: Due, why: str) -> None:
    await sign_ins.end(state.pool, one.key, why)
    await state.tell_proxies()
