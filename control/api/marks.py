"""Marks: `/v1/audit/{id}/marks` says whether rules were right to fire on an exchange, `/v1/audit/marks` counts that by rule."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from control import auth
from control.api.audit import found_of, times_of
from control.api.bodies import SHOWN, body_of
from control.errors import ApiError, answer
from control.state import STATE
from control.store import marks
from control.store.marks import Verdict
from rules.complaint import likely

FILTERS = ("tenant", "from", "to")
Note = Annotated[str, msgspec.Meta(max_length=200, pattern=rf"^{SHOWN}*\Z")]


class NewMark(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a mark: of one `rule`, or of all that fired. `none` takes it away. The note is shown to whoever reads the audit."""

    verdict: Verdict | Literal["none"]
    rule: str | None = None
    note: Note = ""


class MarkView(msgspec.Struct):
    """What somebody, by the id of a key, said of a rule in an exchange."""

    rule: str
    verdict: Verdict
    note: str
    actor: str
    at: datetime


class Marks(msgspec.Struct):
    """The marks of an exchange, by rule."""

    marks: list[MarkView]


class RuleMarks(msgspec.Struct):
    """How often a rule was marked either way."""

    rule: str
    false_positives: int
    true_positives: int


class MarkCounts(msgspec.Struct):
    """By rule, those with the most false positives first."""

    rules: list[RuleMarks]


async def put(request: web.Request) -> web.Response:
    """Say of rules that fired on an exchange, or on its answer, that they were right to, or not."""
    wanted = await body_of(request, NewMark, '{"verdict": "false_positive"}')
    decision, completion, *_ = (await found_of(request))[0]
    records = (decision, completion) if completion is not None else (decision,)
    fired = dict.fromkeys(one.rule for record in records for one in record.rules)
    if not fired:
        raise ApiError(400, "nothing_fired", "No rule fired on this exchange.")
    if wanted.rule is not None and wanted.rule not in fired:
        message = "That rule did not fire on this exchange."
        raise ApiError(400, "not_fired", message, likely(wanted.rule, fired))
    made = await marks.put(
        request.app[STATE].pool,
        decision.id,
        decision.tenant,
        fired if wanted.rule is None else [wanted.rule],
        None if wanted.verdict == "none" else wanted.verdict,
        wanted.note,
    )
    return answer(Marks([MarkView(*one) for one in made]))


async def of_exchange(request: web.Request) -> web.Response:
    """The marks of an exchange."""
    row, *_ = await found_of(request)
    found = await marks.of(request.app[STATE].pool, row.decision.id)
    return answer(Marks([MarkView(*one) for one in found]))


async def counts(request: web.Request) -> web.Response:
    """How often each rule was marked as right to fire, or not, with `from` and `to` by when that was said."""
    who = await auth.caller(request)
    wanted = request.query.get("tenant")
    found = await marks.counts(
        request.app[STATE].pool, auth.tenants_of(who, wanted), *times_of(request)
    )
    return answer(MarkCounts([RuleMarks(*one) for one in found]))
