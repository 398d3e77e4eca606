"""Exceptions from a hit: `/v1/audit/{id}/exceptions` proposes the smallest one for what a rule found there, says what else it
would let pass, puts it into the tenant's layer, and takes it out again.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from aiohttp import web

from contract.decision import Completion, Decision, Fired, Found
from contract.unwrap import placeholder_key
from control.api.audit import found_of, kept_prompt, reading
from control.api.bodies import body_of
from control.api.layers import Reason, prove_new, take_effect
from control.api.records import Said
from control.errors import NO_TENANT, ApiError, answer
from control.state import STATE, State
from control.store import admin_audit, layers, search, tenants
from control.store.layers import New
from control.store.search import Row, Sought
from rules.complaint import BadRules, likely
from rules.evaluate import evaluate
from rules.exception import (
    By,
    Cannot,
    Place,
    added,
    for_place,
    for_values,
    removed,
    strongest,
)
from rules.exchange import Exchange, Part
from rules.layers import source_of
from rules.load import Library
from rules.model import Rule
from rules.redact import stand_in
from rules.rulebook import Rulebook

# What is looked at to say what an exception would let pass.
EFFECT_DAYS, MOST_EXCHANGES, PAGE = 7, 10_000, 500
EXAMPLE = '{"by": "value", "reason": "our own test card"}'


class NewException(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an exception. `rule`: where several fired. `value`: what was found, where the prompt is not kept; only its hash
    under the tenant's key is stored. With `dry_run` it is only proposed; with `after` only made where the layer has that version.
    """

    by: By
    reason: Reason
    rule: str | None = None
    value: str | None = None
    dry_run: bool = False
    after: int | None = None


class Effect(msgspec.Struct):
    """What records of the last days say: of `exchanges` in which the rule fired, it would find nothing in `passes`, and
    `becomes` counts what these would be then, where that differs. `unknown`: what was found there is not recorded.
    """

    since: datetime
    exchanges: int
    passes: int
    becomes: dict[str, int]
    unknown: int
    cut: bool


class Proposal(msgspec.Struct):
    """An exception that was made, or proposed: the override, and the layer with its version in force."""

    id: str
    rule: str
    by: By
    override: str
    layer: str
    version: int
    effect: Effect


class Undone(msgspec.Struct):
    """How many exceptions that were made from a decision are no more."""

    id: str
    removed: int
    version: int


class _Hit(NamedTuple):
    """What a rule found in an exchange: in the call or in its answer."""

    record: Decision | Completion
    fired: Fired
    path: str


class _Judging(NamedTuple):
    """The rules of the exchange's tenant as they are now, and its key for placeholders."""

    book: Rulebook
    rule: Rule
    key: bytes


async def create(request: web.Request) -> web.Response:
    """Make the smallest exception for what a rule found in an exchange; it takes effect on every proxy at once."""
    state = request.app[STATE]
    wanted = await body_of(request, NewException, EXAMPLE)
    row, wrapped, prompt = await found_of(request)
    tenant = row.decision.tenant
    hit = _hit(row, wanted.rule)
    there = await layers.in_force(state.pool)
    judging = await _judging(state, tenant, hit.fired.rule, wrapped, there.sources)
    said = kept_prompt(request, prompt, wrapped) or []
    async with state.proving:
        values = await asyncio.to_thread(_values, judging, hit, wanted, said)
        made = await asyncio.to_thread(_made, judging, hit, wanted.by, values)
    name = source_of("exceptions", tenant)
    kept = await layers.versions(state.pool, name)
    version = kept[0].version if kept else 0
    text = added(kept[0].text if kept else "", hit.fired.rule, {**made, "from": row.decision.id})  # fmt: skip
    new = New(name, tenant, text, wanted.reason, wanted.after if wanted.after is not None else version)  # fmt: skip
    effect = await _effect(request, judging, hit, wanted.by, values)
    if wanted.dry_run:
        await prove_new(state, new, there.sources)
        admin_audit.is_dry_run()
    else:
        await take_effect(state, new)
        version += 1
    override = added("", hit.fired.rule, made)
    return answer(Proposal(row.decision.id, hit.fired.rule, wanted.by, override, name, version, effect))  # fmt: skip


async def delete(request: web.Request) -> web.Response:
    """Take out the exceptions that were made from a decision."""
    state, row = request.app[STATE], (await found_of(request))[0]
    id, tenant = row.decision.id, row.decision.tenant
    name = source_of("exceptions", tenant)
    kept = await layers.versions(state.pool, name)
    text, count = removed(kept[0].text if kept else "", id)
    if not count:
        raise ApiError(
            404,
            "not_found",
            "No exception was made from this exchange.",
            f"GET /v1/tenants/{tenant}/rules/exceptions has all.",
        )
    version = kept[0].version
    await take_effect(state, New(name, tenant, text, f"undone: from {id}", version))
    return answer(Undone(id, count, version + 1))


def _hit(row: Row, wanted: str | None) -> _Hit:
    """The rule that is meant, and what it found. Raises ApiError where none is, or several may be."""
    hits = {
        fired.rule: _Hit(record, fired, row.decision.path)
        for record in reversed(_records(row))
        for fired in record.rules
        if fired.findings
    }
    if not hits:
        raise ApiError(
            400,
            "nothing_found",
            "No rule found anything in this exchange.",
            "Rules that fire on a call as a whole are changed by an override.",
        )
    if wanted is not None:
        if wanted not in hits:
            message = "That rule found nothing in this exchange."
            raise ApiError(400, "not_fired", message, likely(wanted, hits))
        return hits[wanted]
    decisive = [one for one in hits.values() if one.fired.action == one.record.action and not one.fired.would]  # fmt: skip
    chosen = decisive or list(hits.values())
    if len(chosen) > 1:
        names = ", ".join(sorted(one.fired.rule for one in chosen))
        raise ApiError(
            400,
            "several_fired",
            f"Several rules did this: {names}.",
            "Name one as `rule`; make one exception after the other.",
        )
    return chosen[0]


def _records(row: Row) -> list[Decision | Completion]:
    """What an exchange has: its decision, and its completion once it ended."""
    return [row.decision] if row.completion is None else [row.decision, row.completion]


async def _judging(
    state: State, tenant: str, rule: str, wrapped: str, there: Mapping[str, str]
) -> _Judging:
    row = await tenants.one(state.pool, tenant)
    if row is None:
        raise NO_TENANT
    library = Library({**state.rules, **there}, portable=True)
    try:
        async with state.proving:
            book = await asyncio.to_thread(library.rulebook, row.preset, tenant)
    except BadRules as error:
        raise ApiError(
            503,
            "bad_rules",
            f"The rules do not fit together: {error.places}.",
            "See /health/ready.",
        ) from None
    known = library.written.assemble(row.preset, tenant).rules
    if rule not in known or known[rule].match is None:
        message = f"{rule} is no rule with exceptions: it is a score, a known secret, or gone."
        raise ApiError(
            400,
            "no_exceptions",
            message,
            "Name one of the rules behind a score; remove a known secret by its name.",
        )
    key = placeholder_key(state.vault.open(wrapped))
    return _Judging(book, known[rule], key)


def _values(
    judging: _Judging, hit: _Hit, wanted: NewException, said: Sequence[Said]
) -> set[str]:
    """What the rule found: as it is kept, or as the caller says. Raises ApiError."""
    kept = {value for found in hit.fired.findings for value in _kept(judging, found, said)}  # fmt: skip
    if wanted.by not in ("value", "anywhere"):
        return kept
    if wanted.value is None:
        if kept:
            return kept
        message = "The prompt is not kept, so what was found is not known here."
        raise ApiError(
            400,
            "value_needed",
            message,
            "Send it as `value`: only its hash under the tenant's key is stored.",
        )
    own = _stand_in(judging, wanted.value)
    for found in hit.fired.findings:
        alike = not found.placeholder and len(wanted.value) == found.length
        if found.placeholder == own or alike:
            return {wanted.value}
    raise ApiError(
        400,
        "other_value",
        "That is not what was found in this exchange.",
        "It has another placeholder, or another length.",
    )


def _kept(judging: _Judging, found: Found, said: Sequence[Said]) -> Iterator[str]:
    """The value of a finding, in a kept text in which the rule finds something at that place."""
    for one in said:
        if one.role != found.role or len(one.text) < found.offset + found.length:
            continue
        part = Part(one.text, one.role, found.kind, 0)._replace(tool=found.tool)  # type: ignore[arg-type]
        verdict = evaluate(judging.book, Exchange(parts=(part,)), key=judging.key)
        place = (0, found.offset, found.offset + found.length)
        for fired in verdict.fired:
            for finding in fired.findings if fired.rule.id == judging.rule.id else ():
                if place in finding.places and finding.value is not None:
                    yield finding.value


def _made(judging: _Judging, hit: _Hit, by: By, values: set[str]) -> dict[str, object]:
    found = hit.fired.findings[0]
    place = Place(found.role, found.kind, found.tool, hit.path)
    try:
        if by in ("value", "anywhere"):
            where = place if by == "value" else None
            return for_values(judging.book, judging.rule, values, judging.key, where)
        return for_place(judging.book, judging.rule, by, place)
    except Cannot as error:
        raise ApiError(400, "no_exception", str(error)) from None


def _stand_in(judging: _Judging, value: str) -> str:
    return stand_in(judging.rule.id, judging.rule.redact, value, judging.key)


async def _effect(
    request: web.Request, judging: _Judging, hit: _Hit, by: By, values: set[str]
) -> Effect:
    """What records say of other exchanges in which the rule fired."""
    since = datetime.now(UTC) - timedelta(days=EFFECT_DAYS)
    tenant, rule = hit.record.tenant, hit.fired.rule
    sought = Sought(tenants=[tenant], rule=rule, since=since)
    names = {_stand_in(judging, value) for value in values}
    rows: list[Row] = []
    async with reading(request, [tenant]) as pool:
        while len(rows) < MOST_EXCHANGES:
            after = search.place_of(rows[-1]) if rows else None
            page = await search.search(pool, sought, limit=PAGE, after=after)
            rows += page
            if len(page) < PAGE:
                break
    counts, becomes = Counter[str](), Counter[str]()
    for row in rows:
        for record in _records(row):
            covered = _covers(hit, by, names, record, row.decision.path)
            counts[str(covered)] += covered is not False
            if covered:
                left = [one.action for one in record.rules if one.rule != rule and not one.would]  # fmt: skip
                if (now := strongest(left)) != record.action:
                    becomes[now] += 1
    cut = len(rows) >= MOST_EXCHANGES
    return Effect(since, len(rows), counts["True"], dict(becomes), counts["None"], cut)


def _covers(
    hit: _Hit, by: By, names: set[str], record: Decision | Completion, path: str
) -> bool | None:
    """Whether the exception takes away all that the rule found in a record; None where that is not recorded."""
    fired = next((one for one in record.rules if one.rule == hit.fired.rule), None)
    if fired is None or fired.would:
        return False
    first = hit.fired.findings[0]
    told: list[bool | None] = [None] * (fired.count > len(fired.findings))
    for found in fired.findings:
        there = (found.role, found.kind, found.tool)
        if by == "value" and there != (first.role, first.kind, first.tool):
            told.append(False)
        elif by in ("value", "anywhere"):
            told.append(found.placeholder in names if found.placeholder else None)
        elif by == "tool":
            told.append((found.tool, found.kind) == (first.tool, first.kind))
        else:
            told.append(found.role == first.role if by == "role" else path == hit.path)
    if False in told:
        return False
    return None if None in told or not told else True
