"""`/v1/rules/replays`: what recorded exchanges would have become under other rules, a page at a time, the newest first."""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Annotated, NamedTuple

import msgspec
from aiohttp import web

from contract.decision import Action
from contract.unwrap import WrongMasterKey
from control import auth
from control.api.audit import reading
from control.api.bodies import body_of
from control.api.keys import TenantId
from control.api.layers import kept_version, one_proof
from control.api.paging import BAD_CURSOR
from control.errors import NO_TENANT, ApiError, answer
from control.replay.replayer import Replayed, Replayer, Tally, Whose, tally, times_of
from control.state import STATE, State
from control.store import known_values, layers, search, tenants
from control.store.admin_audit import UNDER_WAY
from control.store.search import Kept, Place, Sought
from rules.complaint import BadRules
from rules.exchange import Direction
from rules.known import KnownValue, KnownValues, mark_of
from rules.layers import ALL, Kind, source_of, sources_of

# Exchanges that are read at a time; half a megabyte each, where their prompts are as long as may be.
PAGE = 100
SECONDS = 2.0  # of judging for one page: a caller sees that it moves on
IDLE = 60.0  # after which the rules of a replay are forgotten
SINCE = timedelta(days=7)
MOST_CHANGED = 20  # exchanges of a page that are named
LONGEST_CURSOR = 1000
EXAMPLE = '{"text": "earthflow: 1\\nrules: …"}'
Cursor = Annotated[str, msgspec.Meta(max_length=LONGEST_CURSOR)]


OTHER_PAGE = ApiError(
    409,
    "changed_meanwhile",
    "The rules in force, or those to compare with, changed since the first page.",
    "Begin again, without a cursor.",
)


class NewReplay(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a replay: a layer with another `text`, or as of a `version`. `tenant`: whose layer, and whose exchanges; none: of
    all. `cursor` is the `next` of the page before, with the same body otherwise.
    """

    layer: Kind = "all"
    tenant: TenantId | None = None
    text: str | None = None
    version: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: Cursor | None = None


class Outcomes(msgspec.Struct):
    """How many calls, or answers, that were `was` become at least `low` and at most `high`."""

    of: Direction
    was: Action
    low: Action
    high: Action
    count: int


class Changed(msgspec.Struct):
    """An exchange that would surely become something else."""

    id: str
    tenant: str
    of: Direction
    was: Action
    now: Action


class ReplayPage(msgspec.Struct, rename={"since": "from", "until": "to"}):
    """What `exchanges` would have become; of `judged_again` the kept prompt was judged. `unknown` counts why it is not known of
    others what exactly. `next` is the `cursor` of the following page.
    """

    since: datetime
    until: datetime
    exchanges: int
    judged_again: int
    outcomes: list[Outcomes]
    unknown: dict[str, int]
    changed: list[Changed]
    next: str | None


class _Rules(NamedTuple):
    """The rules in force and those to compare with, and a hash of all."""

    mark: str
    before: Mapping[str, str]
    after: Mapping[str, str]


class _Position(msgspec.Struct):
    """Where a replay is, and of what; sealed in the cursor."""

    replay: str
    since: datetime
    until: datetime
    day: date
    id: str


async def create(request: web.Request) -> web.Response:
    """What recorded exchanges would have become under other rules. Nothing is changed."""
    state, who = request.app[STATE], await auth.caller(request)
    wanted = await body_of(request, NewReplay, EXAMPLE)
    within = auth.tenants_of(who, wanted.tenant)
    if wanted.layer != "all" and wanted.tenant is None:
        raise ApiError(400, "bad_request", "Name the tenant whose layer it is.", f"Send {EXAMPLE}.")  # fmt: skip
    if wanted.tenant is not None and not await tenants.judged(state.pool, [wanted.tenant]):  # fmt: skip
        raise NO_TENANT
    before, after = await _rules(state, wanted)
    rules = _Rules(_mark(before, after), before, after)
    replay = f"{rules.mark} {who.key} {wanted.layer} {wanted.tenant or ''}"
    position = _position(state, wanted, replay)
    _note(wanted, position, rules)
    with one_proof(state, who.key):
        async with state.replaying:
            page = await _replayed(request, rules, within, position)
    asyncio.get_running_loop().call_later(IDLE, _forget, state)
    return answer(page)


def _note(wanted: NewReplay, position: _Position, rules: _Rules) -> None:
    """Have the first page be the entry of all."""
    act = UNDER_WAY.get()
    if act is not None and wanted.cursor is not None:
        act.noted = True
    elif act is not None:
        layer = source_of(wanted.layer, wanted.tenant or "")
        act.tenant = wanted.tenant or act.tenant
        act.told |= {
            "layer": layer,
            "version": wanted.version,
            "rules": rules.mark[:12],
            "since": position.since,
            "until": position.until,
        }


async def _replayed(
    request: web.Request,
    rules: _Rules,
    within: Sequence[str] | None,
    position: _Position,
) -> ReplayPage:
    """The page at a position. Raises ApiError."""
    state = request.app[STATE]
    sought = Sought(tenants=within, reason="policy", since=position.since, until=position.until)  # fmt: skip
    place = Place(position.day, position.id) if position.id else None
    async with reading(request, within) as pool:
        rows = await search.with_prompts(pool, sought, limit=PAGE, after=place)
    ids = {row.decision.tenant for row in rows}
    whose, past = await _whose(state, ids), await _past(state, rules.mark, ids)
    work = asyncio.create_task(asyncio.to_thread(_judged, state, rules, rows, whose, past))  # fmt: skip
    try:
        done, told, changed = await asyncio.shield(work)
    except asyncio.CancelledError:  # the thread continues, and nobody else begins one
        await asyncio.wait([work])
        raise
    except BadRules as error:
        places = "\n".join(map(str, error.complaints[:MOST_CHANGED]))
        raise ApiError(400, "bad_rules", f"These rules do not fit together:\n{places}") from None  # fmt: skip
    following = None
    if done and (done < len(rows) or len(rows) == PAGE):
        day, id = search.place_of(rows[done - 1])
        following = msgspec.structs.replace(position, day=day, id=id)
    return _page(state, position, done, told, changed, following)


async def _rules(
    state: State, wanted: NewReplay
) -> tuple[dict[str, str], dict[str, str]]:
    """All rules that are in force; and with the layer that is wanted. Raises ApiError."""
    if (wanted.text is None) == (wanted.version is None):
        raise ApiError(400, "bad_request", "Give either `text` or `version`.", f"Send {EXAMPLE}.")  # fmt: skip
    name = source_of(wanted.layer, wanted.tenant or "")
    text = wanted.text or ""
    if wanted.version is not None:
        text = (await kept_version(state, name, wanted.version)).text
    before = {**state.rules, **(await layers.in_force(state.pool)).sources}
    after = {**before, name: text}
    if not text.strip():
        del after[name]
    return before, after


def _mark(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Which rules are compared: a replay is of the same ones from its first page to its last."""
    content = hashlib.sha256()
    for sources in (before, after):
        for name in sorted(sources):
            content.update(f"{name}\0{sources[name]}\0".encode())
    return content.hexdigest()


def _position(state: State, wanted: NewReplay, mark: str) -> _Position:
    """Where to continue, or begin. Raises ApiError for a cursor that is none, or of other rules."""
    if wanted.cursor is None:
        until = _aware(wanted.until) or datetime.now(UTC)
        since = _aware(wanted.since) or until - SINCE
        if since >= until:
            raise ApiError(400, "bad_range", "`since` is not before `until`.")
        return _Position(mark, since, until, until.date(), "")
    try:
        read = msgspec.json.decode(state.vault.open(wanted.cursor), type=_Position)
    except (WrongMasterKey, ValueError):  # as msgspec's errors are
        raise BAD_CURSOR from None
    if read.replay != mark:
        raise OTHER_PAGE
    return read


def _aware(time: datetime | None) -> datetime | None:
    if time is not None and not 1970 < time.year < 3000:
        raise ApiError(
            400, "bad_time", "`since` and `until` are between 1971 and 3000."
        )
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time  # fmt: skip


async def _whose(state: State, ids: set[str]) -> dict[str, Whose]:
    """What the tenants of a page are judged by."""
    found: dict[str, Whose] = {}
    for one in await tenants.judged(state.pool, sorted(ids)):
        sealed = await known_values.sealed(state.pool, one.id)
        values = [KnownValue(name, state.vault.open(value).decode(), any_case) for name, value, any_case in sealed]  # fmt: skip
        known = KnownValues(mark_of(sealed), tuple(values))
        found[one.id] = Whose(one.preset, known, state.vault.open(one.prompt_key))
    return found


async def _past(
    state: State, mark: str, ids: set[str]
) -> dict[str, Sequence[Mapping[str, str]]]:
    """The layers that concern tenants as of each time, of those that the replay does not know yet."""
    known = state.replayer[1].past if state.replayer and state.replayer[0] == mark else {}  # fmt: skip
    return {
        id: times_of(await layers.changes(state.pool, (ALL, *sources_of(id))))
        for id in sorted(ids - known.keys())
    }


def _judged(
    state: State,
    rules: _Rules,
    rows: list[Kept],
    whose: Mapping[str, Whose],
    past: Mapping[str, Sequence[Mapping[str, str]]],
) -> tuple[int, Tally, list[Changed]]:
    """How many rows were replayed within the time, and their outcomes. Raises BadRules."""
    if state.replayer is not None and state.replayer[0] == rules.mark:
        replayer = state.replayer[1]
    else:
        state.replayer = None  # two of them would take twice the memory
        replayer = Replayer(rules.before, rules.after)
        state.replayer = (rules.mark, replayer)
    began, done = time.monotonic(), 0
    replayer.past.update(past)
    replayed: list[Replayed] = []
    for row in rows:
        replayed += replayer.replay([row], whose.get)
        done += 1
        if time.monotonic() - began > SECONDS:
            break
    state.replayed = time.monotonic()
    surely = (one for one in replayed if one.now.low == one.now.high != one.was)
    changed = [
        Changed(one.record.id, one.record.tenant, one.direction, one.was, one.now.low)
        for one in islice(surely, MOST_CHANGED)
    ]
    return done, tally(replayed), changed


def _forget(state: State) -> None:
    if time.monotonic() - state.replayed >= IDLE:
        state.replayer = None


def _page(
    state: State,
    position: _Position,
    done: int,
    told: Tally,
    changed: list[Changed],
    following: _Position | None,
) -> ReplayPage:
    cursor = state.vault.wrap(msgspec.json.encode(following)) if following else None
    outcomes = [Outcomes(*key, count) for key, count in sorted(told.outcomes.items())]
    return ReplayPage(
        position.since,
        position.until,
        done,
        told.again,
        outcomes,
        dict(sorted(told.unknown.items())),
        changed,
        cursor,
    )
