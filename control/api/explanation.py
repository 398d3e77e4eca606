"""`/v1/audit/{id}/explanation`: what led to a decision, in sentences, and where the rules that fired are now."""

import asyncio
from collections.abc import Iterator, Mapping

import msgspec
from aiohttp import web

from contract.decision import Completion, Decision, Fired, Found, Reason
from control.api.audit import found_of
from control.errors import answer
from control.state import STATE, State
from control.store import known_values, layers, tenants
from rules.complaint import Mark
from rules.known import AT, mark_of, rule_of
from rules.model import Override, Rule
from rules.sources import Assembled, Sources, version_of

REASONS: Mapping[Reason, str] = {
    "policy": "Its rules decided.",
    "too_large": "It was larger than EARTHFLOW_MAX_BODY, or than what can be read in time; it was refused unread.",
    "too_slow": "Its body came more slowly than is waited for.",
    "too_many_headers": "Its head was larger, or had more lines, than is allowed.",
    "engine_error": "Earthflow itself failed on it; EARTHFLOW_FAIL_MODE says what then happens.",
    "no_snapshot": "The proxy had no rules and keys yet, or older ones than EARTHFLOW_SNAPSHOT_MAX_AGE.",
    "internal_address": "Its host's name led to an address inside your network.",
    "authority_mismatch": "It named another host than the connection was opened for.",
    "malformed": "It was no HTTP that two readers would read alike.",
    "key_revoked": "Its key had ended.",
    "upgrade": "It asked for a protocol that Earthflow does not read.",
    "tunnelled": "Its host is no AI provider's: it was passed on unopened, and counted.",
    "unknown_host": "Its host is no AI provider's, and unknown_hosts of its tenant is deny.",
    "distrust": "Its client did not trust Earthflow's CA: it sent nothing.",
    "rate_limit": "Its tenant had sent as many calls as it may.",
    "token_budget": "Its tenant had used the tokens that it may in a day.",
    "audit_full": "It could not be recorded, since the proxy's spool was full.",
    "audit_gap": "This is no exchange: it says how many could not be recorded.",
}  # fmt: skip
# What else than the rule decided what became of a finding (docs/audit-log.md).
WHY = {
    "monitor": "the rule is in monitor mode, so nothing was changed",
    "head": "it stands in the head of the call, which is not edited",
    "signed": "it is bound to a provider's signature, so it was not edited",
    "history": "it was judged in an earlier call, and was taken out",
    "decoded": "it stood there encoded",
    "elsewhere": "it has the value of another finding",
}
FORMS = {"full": "All of it was read.", "none": "None of it was read."}


class FiredRule(msgspec.Struct, kw_only=True):
    """A rule that fired. `where`: a sentence for each finding that is recorded. Of the rule as it is now: `source` is its file and
    line, `changes` the overrides that apply to it with theirs, `action_now` what it does; all are empty where it is not there any more.
    """

    rule: str
    action: str
    severity: str
    count: int
    would: bool
    on_answer: bool
    where: list[str]
    message: str = ""
    source: str = ""
    changes: list[str] = []
    action_now: str | None = None


class Explanation(msgspec.Struct, kw_only=True):
    """What led to a decision. `rules_changed`: whether its tenant's rules are others today; null: that is not known."""

    id: str
    tenant: str
    status: str
    why: list[str]
    rulebook: str
    rules_changed: bool | None
    rules: list[FiredRule]


async def explain(request: web.Request) -> web.Response:
    """What led to a decision: in sentences, by its record and by the rules of today."""
    decision, completion, *_ = (await found_of(request))[0]
    book, version = await _rules_of(request.app[STATE], decision.tenant)
    fired = [
        _fired(one, book, on_answer=on_answer)
        for record, on_answer in ((decision, False), (completion, True))
        if record is not None
        for one in record.rules
    ]
    changed = version != decision.rulebook if version and decision.rulebook else None
    return answer(
        Explanation(
            id=decision.id,
            tenant=decision.tenant,
            status=decision.action,
            why=list(_why(decision, completion)),
            rulebook=decision.rulebook,
            rules_changed=changed,
            rules=fired,
        )
    )


async def _rules_of(state: State, tenant: str) -> tuple[Assembled | None, str]:
    """The rules of a tenant as they are now, and their version; nothing of one that ended."""
    row = await tenants.one(state.pool, tenant)
    if row is None:
        return None, ""
    known = await known_values.sealed(state.pool, tenant)
    layered = (await layers.in_force(state.pool)).sources
    sources, own = {**state.rules, **layered}, [rule_of(one.name) for one in known]
    book = await asyncio.to_thread(Sources(sources).assemble, row.preset, tenant, own)
    return book, version_of(row.preset, sources, tenant, mark_of(known))


def _fired(fired: Fired, book: Assembled | None, *, on_answer: bool) -> FiredRule:
    told = FiredRule(
        rule=fired.rule,
        action=fired.action,
        severity=fired.severity,
        count=fired.count,
        would=fired.would,
        on_answer=on_answer,
        where=[_where(one) for one in fired.findings],
    )
    rule = book.rules.get(fired.rule) if book is not None else None
    if rule is not None and book is not None:
        told.message, told.source = rule.message, _at(rule.at)
        told.changes = [_change(one) for one in book.patches.get(rule.id, ())]
        told.action_now = _now(rule)
    return told


def _now(rule: Rule) -> str:
    action = rule.action or "score"
    return action if rule.mode == "enforce" else f"{action}, in mode {rule.mode}"


def _change(override: Override) -> str:
    told = ", ".join(
        "an exception" if name == "except_" else f"{name}: {value}"
        for name, value in override.changes
    )
    return f"{_at(override.at)}: {told}"


def _at(mark: Mark) -> str:
    return f"{mark.file}:{mark.line}" if mark != AT else "the tenant's known secrets"


def _where(found: Found) -> str:
    whose = f"the {found.kind} of {found.tool}" if found.tool else f"a {found.kind}"
    place = f"in text {found.part}, {whose}, role {found.role}, characters {found.offset} to {found.offset + found.length}"
    became = f"; it became {found.placeholder}" if found.placeholder else ""
    return f"{place}{became}{f'; {WHY.get(found.why, found.why)}' if found.why else ''}"


def _why(decision: Decision, completion: Completion | None) -> Iterator[str]:
    yield REASONS[decision.reason]
    yield from _read("call", decision)
    if decision.would:
        yield f"It would be {decision.would} if rules in monitor mode were enforced."
    if decision.would_strict:
        yield f"It would be {decision.would_strict} under the preset strict."
    if completion is None:
        yield "How it ended is not recorded yet."
        return
    ended = f" ({completion.error})" if completion.error else ""
    yield f"It ended with {completion.outcome}{ended}."
    if completion.action is not None:
        yield f"The answer was judged, too: {completion.action}."
        yield from _read("answer", completion)


def _read(what: str, record: Decision | Completion) -> Iterator[str]:
    """How much of a call or an answer was read."""
    if record.coverage in FORMS and not record.unreadable:
        yield f"Of the {what}: {FORMS[record.coverage]}"
    else:
        unread = f" Not read: {', '.join(record.unreadable)}." if record.unreadable else ""  # fmt: skip
        yield f"Of the {what}: coverage is {record.coverage}.{unread}"
