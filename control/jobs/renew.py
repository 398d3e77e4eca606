"""Asks the provider again about those who signed in: somebody who left, or has another role now, is signed out within minutes."""

import asyncio
import logging

import msgspec

from contract.unwrap import WrongMasterKey
from control.errors import DATABASE_AWAY
from control.sign_in import attempt
from control.sign_in.provider import Away, Provider, Refused, SignedIn
from control.sign_in.roles import Granted, granted
from control.sign_in.tokens import BadToken
from control.state import State
from control.store import sign_ins
from control.store.sign_ins import Due

logger = logging.getLogger("earthflow.sign_in")

EVERY = 10.0  # seconds


async def run(state: State) -> None:
    """Ask until cancelled."""
    while True:
        try:
            await renew(state)
        except DATABASE_AWAY as error:
            logger.warning("sign-ins are not renewed now (%s)", type(error).__name__)
        await asyncio.sleep(EVERY)


async def renew(state: State) -> None:
    """Ask once about those whose time has come. Without a provider nobody who signed in is let in any longer than their key says."""
    if state.provider is not None:
        due = await sign_ins.due(state.pool)
        await asyncio.gather(*(_renew(state, state.provider, one) for one in due))
    await sign_ins.forget(state.pool)


async def _renew(state: State, provider: Provider, one: Due) -> None:
    if one.unheard:
        await _end(
            state,
            one,
            "it was not used for an hour, or the provider said nothing for one",
        )
        return
    try:
        now = await _known_now(state, provider, one)
    except Away as error:
        logger.warning("the provider is asked again in a minute: %s", error)
        return
    except (Refused, BadToken, WrongMasterKey, msgspec.MsgspecError) as error:
        await _end(state, one, f"the provider lets them in no more ({error or 'refused'})")  # fmt: skip
        return
    gets = granted(state.settings.oidc_roles, now.person.groups or ())
    if gets is None or not _same(one, gets):
        await _end(state, one, "their groups give another role")
        return
    await sign_ins.heard(state.pool, one.key)


async def _known_now(state: State, provider: Provider, one: Due) -> SignedIn:
    """The person as the provider knows them now. New tokens are kept at once."""
    tokens = attempt.tokens_of(one.tokens, state.vault)
    if tokens.refresh_token is None:
        raise Refused
    fresh = await provider.refresh(tokens.refresh_token)
    kept = attempt.Tokens(tokens.id_token, fresh.refresh_token)
    wrapped = state.vault.wrap(msgspec.json.encode(kept))
    await sign_ins.keep_tokens(state.pool, one.key, wrapped)
    return await provider.again(fresh, attempt.before(one.subject, tokens))


def _same(one: Due, gets: Granted) -> bool:
    """Whether the role is still what it was. Tenants that ended meanwhile are not in the key any more."""
    if one.role != gets.role or (one.tenants is None) != (gets.tenants is None):
        return False
    return one.tenants is None or set(one.tenants) <= set(gets.tenants or ())


async def _end(state: State, one: Due, why: str) -> None:
    await sign_ins.end(state.pool, one.key, why)
    await state.tell_proxies()
