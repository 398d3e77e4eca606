"""`/v1/rules/tries`: what the rules in force say of a text or of a recorded body. Nothing of it is stored."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from aiohttp import web

from control import auth
from control.api.bodies import body_of
from control.api.keys import TenantId
from control.errors import NO_TENANT, ApiError, answer
from control.state import STATE
from control.store import layers, tenants
from control.store.admin_audit import is_dry_run
from rules.complaint import BadRules
from rules.evaluate import evaluate
from rules.exchange import Part
from rules.load import Library
from rules.redact import Edit
from rules.sample_exchange import exchange_from
from rules.verdict import Fired

LONGEST = (
    200_000  # characters of a text: judged in tens of milliseconds, while others wait
)
MOST_PLACES = 200  # of a rule
Preset = Literal["default", "strict", "monitor"]


class NewTry(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a try: a text, or a recorded JSON body; by the rules of a `tenant`, else by a preset; `answer`: as an answer."""

    text: str
    tenant: TenantId | None = None
    preset: Preset = "default"
    model: str = ""
    answer: bool = False


class Found(msgspec.Struct):
    """Something found: characters of the text of a part, from `start` to before `end`."""

    part: int
    start: int
    end: int


class TriedRule(msgspec.Struct):
    """A rule that fires: what it would do, what it says of itself, and where. `only_monitored`: it changes nothing."""

    rule: str
    action: str
    severity: str
    message: str
    only_monitored: bool
    places: list[Found]


class TriedPart(msgspec.Struct):
    """A text of the exchange, and what a provider would get of it."""

    role: str
    kind: str
    text: str
    edited: str


class Tried(msgspec.Struct):
    """The verdict. Known secrets of a tenant are not looked for: whoever tries could guess at them."""

    action: str
    would: str | None
    unreadable: list[str]
    rules: list[TriedRule]
    parts: list[TriedPart]


async def create(request: web.Request) -> web.Response:
    """What the rules in force say of a text or a recorded body. It is not sent anywhere, and not stored."""
    state, who = request.app[STATE], await auth.caller(request)
    wanted = await body_of(request, NewTry, '{"text": "my password is …"}')
    if len(wanted.text) > LONGEST:
        message = f"That is longer than {LONGEST:,} characters."
        raise ApiError(413, "too_long", message, "Try `earthflow rules try` on it.")
    preset: str = wanted.preset
    if wanted.tenant is not None:
        auth.tenants_of(who, wanted.tenant)
        row = await tenants.one(state.pool, wanted.tenant)
        if row is None:
            raise NO_TENANT
        preset = row.preset
    layered = (await layers.in_force(state.pool)).sources
    sources = {**state.rules, **layered}
    async with state.proving:
        tried = await asyncio.to_thread(_tried, sources, preset, wanted)
    is_dry_run()
    return answer(tried)


def _tried(sources: dict[str, str], preset: str, wanted: NewTry) -> Tried:
    try:
        # hyperscan would compile for seconds what is asked once
        book = Library(sources, portable=True).rulebook(preset, wanted.tenant or "")
    except BadRules as error:
        message = f"The rules do not fit together: {error.places}."
        raise ApiError(503, "bad_rules", message, "See /health/ready.") from None
    exchange = exchange_from(
        wanted.text,
        datetime.now(UTC),
        answer=wanted.answer,
        tenant=wanted.tenant or "",
        model=wanted.model,
    )
    verdict = evaluate(book, exchange, key=bytes(32))
    return Tried(
        verdict.action,
        verdict.would,
        list(verdict.unreadable),
        [_rule(one) for one in verdict.fired],
        [
            TriedPart(one.role, one.kind, one.text, _edited(one, verdict.edits))
            for one in exchange.parts
        ],
    )


def _rule(fired: Fired) -> TriedRule:
    places = [Found(*place) for one in fired.findings for place in one.places]
    rule = fired.rule
    return TriedRule(
        rule.id,
        (rule.action or "score").upper(),
        rule.severity,
        rule.message,
        rule.monitor,
        places[:MOST_PLACES],
    )


def _edited(part: Part, edits: Sequence[Edit]) -> str:
    """A text as a provider would get it."""
    text = part.text
    own = [one for one in edits if one.literal == part.literal]
    for edit in sorted(own, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
