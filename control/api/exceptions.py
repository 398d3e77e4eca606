"""Exceptions from a hit: `/v1/audit/{id}/exceptions` proposes the smallest one for what a rule found there, says what else it
would let pass, puts it into the tenant's layer, and takes it out again.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from aiohttp import web

from contract.decision import Completion, Decision, Fired, Found
from contract.unwrap import placeholder_key
from control import auth
from control.api.audit import found_of, kept_prompt, reading
from control.api.bodies import body_of
from control.api.layers import (
    Reason,
    changed_meanwhile,
    one_proof,
    prove_new,
    take_effect,
)
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
    `becomes` counts what these would be then, where that differs. `unknown`: what was found there is not recorded, or what a score
    comes to without the rule. `cut`: there are more exchanges.
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
    with one_proof(request.app[STATE], (await auth.caller(request)).key):
        return answer(await _create(request))


async def _create(request: web.Request) -> Proposal:
    state = request.app[STATE]
    wanted = await body_of(request, NewException, EXAMPLE)
    row, wrapped, prompt = await found_of(request)
    tenant = row.decision.tenant
    hit = _hit(row, wanted.rule)
    there = await layers.in_force(state.pool)
    judging = await _judging(state, tenant, hit.fired.rule, wrapped, there.sources)
    # What is kept is the call: it says nothing of what stood in the answer.
    of_call = isinstance(hit.record, Decision)
    said = (kept_prompt(request, prompt, wrapped) or []) if of_call else []
    name = source_of("exceptions", tenant)
    before = await layers.one(state.pool, name)
    version = before.version if before is not None else 0
    if wanted.after not in (None, version):
        raise changed_meanwhile(wanted.after)
    async with state.proving:
        groups = await asyncio.to_thread(_groups, judging, hit, wanted, said)
        made = await asyncio.to_thread(_made, judging, wanted.by, groups)
    text, override = before.text if before is not None else "", ""
    for one in made:
        text = added(text, judging.rule.id, {**one, "from": row.decision.id})
        override = added(override, judging.rule.id, one)
    new = New(name, tenant, text, wanted.reason, version)
    effect = await _effect(request, judging, hit, wanted.by, groups)
    if wanted.dry_run:
        await prove_new(state, new, there.sources)
        admin_audit.is_dry_run()
    else:
        await take_effect(state, new)
        version += 1
    return Proposal(row.decision.id, hit.fired.rule, wanted.by, override, name, version, effect)  # fmt: skip


async def delete(request: web.Request) -> web.Response:
    """Take out the exceptions that were made from a decision."""
    state, row = request.app[STATE], (await found_of(request))[0]
    id, tenant = row.decision.id, row.decision.tenant
    name = source_of("exceptions", tenant)
    before = await layers.one(state.pool, name)
    text, count = removed(before.text if before is not None else "", id)
    if before is None or not count:
        raise ApiError(
            404,
            "not_found",
            "No exception was made from this exchange.",
            f"GET /v1/tenants/{tenant}/rules/exceptions has all.",
        )
    new = New(name, tenant, text, f"undone: from {id}", before.version)
    with one_proof(state, (await auth.caller(request)).key):
        await take_effect(state, new)
    return answer(Undone(id, count, before.version + 1))


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
    own = source_of("own", tenant)
    if rule not in known or known[rule].match is None or known[rule].at.file == own:
        message = f"{rule} has no exceptions: it is a score, a known secret, a rule of the tenant's own layer, or gone."
        raise ApiError(
            400,
            "no_exceptions",
            message,
            "Name one of the rules behind a score; change a known secret or an own rule where it is.",
        )
    key = placeholder_key(state.vault.open(wrapped))
    return _Judging(book, known[rule], key)


def _groups(
    judging: _Judging, hit: _Hit, wanted: NewException, said: Sequence[Said]
) -> dict[Place, set[str]]:
    """Where the rule found something, and what: as it is kept, or as the caller says. Raises ApiError."""
    groups: dict[Place, set[str]] = {}
    for found in hit.fired.findings:
        values = {wanted.value} if wanted.value is not None else _kept(judging, found, said)  # fmt: skip
        if wanted.value is None or _is(judging, wanted.value, found):
            groups.setdefault(_place(hit, found), set()).update(values)
    if wanted.by not in ("value", "anywhere"):
        return groups
    if wanted.value is not None and not groups:
        message = "That is not what was found in this exchange."
        hint = "It has another placeholder, or another length."
        raise ApiError(400, "other_value", message, hint)
    known = {place: values for place, values in groups.items() if values}
    if not known:
        message = "What was found is not known here: the prompt is not kept, or it stood in the answer."
        hint = "Send it as `value`: only its hash under the tenant's key is stored."
        raise ApiError(400, "value_needed", message, hint)
    return known


def _place(hit: _Hit, found: Found) -> Place:
    return Place(found.role, found.kind, found.tool, hit.path)


def _is(judging: _Judging, value: str, found: Found) -> bool:
    """Whether this may be what was found: by its placeholder, or by its length where that says nothing."""
    if found.placeholder and "{hash}" in judging.rule.redact.placeholder:
        return found.placeholder == _stand_in(judging, value)
    return len(value) == found.length


def _kept(judging: _Judging, found: Found, said: Sequence[Said]) -> set[str]:
    """The value of a finding, in a kept text in which the rule finds something at that place."""
    values: set[str] = set()
    for one in said:
        if one.role != found.role or len(one.text) < found.offset + found.length:
            continue
        part = Part(one.text, one.role, found.kind, 0)._replace(tool=found.tool)  # type: ignore[arg-type]
        verdict = evaluate(judging.book, Exchange(parts=(part,)), key=judging.key)
        place = (0, found.offset, found.offset + found.length)
        for fired in verdict.fired:
            if fired.rule.id == judging.rule.id:
                at = (one for one in fired.findings if place in one.places)
                values |= {one.value for one in at if one.value is not None}
    return {value for value in values if _is(judging, value, found)}


def _made(
    judging: _Judging, by: By, groups: Mapping[Place, set[str]]
) -> list[dict[str, object]]:
    """The exceptions, one for each place where that matters. Raises ApiError."""
    book, rule, key = judging
    try:
        if by == "anywhere":
            return [for_values(book, rule, set().union(*groups.values()), key, None)]
        if by == "value":
            return [for_values(book, rule, values, key, place) for place, values in groups.items()]  # fmt: skip
        made = [for_place(book, rule, by, place) for place in groups]
        return [one for number, one in enumerate(made) if one not in made[:number]]
    except Cannot as error:
        raise ApiError(400, "no_exception", str(error)) from None


def _stand_in(judging: _Judging, value: str) -> str:
    return stand_in(judging.rule.id, judging.rule.redact, value, judging.key)


async def _effect(
    request: web.Request,
    judging: _Judging,
    hit: _Hit,
    by: By,
    groups: Mapping[Place, set[str]],
) -> Effect:
    """What records say of other exchanges in which the rule fired."""
    since = datetime.now(UTC) - timedelta(days=EFFECT_DAYS)
    tenant, rule = hit.record.tenant, hit.fired.rule
    sought = Sought(tenants=[tenant], rule=rule, since=since)
    named = "{hash}" in judging.rule.redact.placeholder
    excepted = {
        place: {_stand_in(judging, value) for value in values if named}
        for place, values in groups.items()
    }
    rows: list[Row] = []
    async with reading(request, [tenant]) as pool:
        while len(rows) < MOST_EXCHANGES:
            after = search.place_of(rows[-1]) if rows else None
            page = await search.search(pool, sought, limit=PAGE, after=after)
            rows += page
            if len(page) < PAGE:
                break
    passes = unknown = 0
    becomes = Counter[str]()
    for row in rows:
        fired = [one for one in _records(row) if any(that.rule == rule for that in one.rules)]  # fmt: skip
        covered = [_covers(rule, by, excepted, one, row.decision.path) for one in fired]
        passes += all(covered)
        # What a score comes to without one of its rules is in no record.
        scores = bool(judging.rule.score) and all(covered)
        unknown += scores or (None in covered and False not in covered)
        for record in fired if all(covered) and not scores else ():
            left = [one.action for one in record.rules if one.rule != rule and not one.would]  # fmt: skip
            now = strongest(left)
            if record.action is not None and now != record.action:
                becomes[now] += 1
    cut = len(rows) >= MOST_EXCHANGES
    return Effect(since, len(rows), passes, dict(becomes), unknown, cut)


def _covers(
    rule: str,
    by: By,
    excepted: Mapping[Place, set[str]],
    record: Decision | Completion,
    path: str,
) -> bool | None:
    """Whether the exceptions take away all that the rule found in a record; None where that is not recorded."""
    fired = next(one for one in record.rules if one.rule == rule)
    told: list[bool | None] = [None] * (fired.count > len(fired.findings))
    for found in fired.findings:
        here = Place(found.role, found.kind, found.tool, path)
        alike = [names for place, names in excepted.items() if _same(by, place, here)]
        if by in ("value", "anywhere") and alike:
            names = set().union(*alike)
            known = bool(found.placeholder and names)
            told.append(found.placeholder in names if known else None)
        else:
            told.append(bool(alike))
    if False in told:
        return False
    return None if None in told or not told or fired.would else True


def _same(by: By, one: Place, other: Place) -> bool:
    """Whether an exception for one place is one for the other, too."""
    match by:
        case "anywhere":
            return True
        case "value":
            return one[:3] == other[:3]
        case "tool":
            return (one.tool, one.kind) == (other.tool, other.kind)
        case "role":
            return one.role == other.role
        case "path":
            return one.path == other.path
