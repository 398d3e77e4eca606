"""Replay of recorded exchanges: judged again it is what the proxy did; by records alone it says rightly what it cannot know."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from cli.rules.replay import REASONS
from contract.decision import encode
from contract.kept import KeptCall, KeptText, opened, seal
from contract.unwrap import placeholder_key
from control.api import replays
from control.app import application
from control.replay.outcomes import ORDER
from control.replay.replayer import Replayer, Whose
from control.state import State
from control.store import admin_audit, audit, search, tenants
from control.store.admin_audit import Wanted
from control.store.audit import Arrival, Partitions
from control.store.search import Kept, Sought
from rules.evaluate import evaluate
from rules.exchange import Exchange
from rules.known import NONE
from rules.layers import ALL
from rules.load import Library
from rules.sources import shipped
from tests.support.recorded import completion, decision, traffic
from tests.support.shared import scaled

ADMIN = {"X-API-Key": "a" * 40}
CALLS = scaled(1_500)
# Layers to replay under: actions alone, modes, exceptions, a new rule, one that lets pass, history and thresholds.
LAYERS = {
    "the same": "",
    "actions": 'earthflow: 1\noverrides: {"credentials.*": {action: flag}, "personal.*": {action: block}}\n',
    "modes": 'earthflow: 1\noverrides: {"credentials.*": {mode: monitor}, "injection.*": {mode: "off"}}\n',
    "exceptions": 'earthflow: 1\noverrides: {"personal.*": {except: [{when: {role: tool}}]}}\n',
    "a new rule": "earthflow: 1\nrules:\n  - {id: acme.the, action: block, message: The, match: {keywords: [the]}, tests: [{match: the end}, {ok: an end}]}\n",
    "an allow": "earthflow: 1\nrules:\n  - {id: acme.pass, action: allow, allows: ['credentials.*'], when: {model: gpt-5.2}}\n",
    "history": "earthflow: 1\nhistory: block\n",
}  # fmt: skip


class Recorded:
    """Two tenants with the same traffic: of one the prompts are kept."""

    def __init__(self, client: TestClient[Any, Any], state: State):
        self.client, self.state = client, state
        self.calls: list[Exchange] = []
        self.keys: dict[str, bytes] = {}

    async def fill(self, count: int) -> None:
        for name in ("kept", "bare"):
            await self.post("/v1/tenants", {"id": name, "name": name}, 201)
        for one in await tenants.judged(self.state.pool, ["kept", "bare"]):
            self.keys[one.id] = self.state.vault.open(one.prompt_key)
        book = Library(shipped(), portable=True).rulebook("default")
        self.calls = list(traffic(count, 1, ""))
        arrivals, partitions = [], Partitions()
        for number, call in enumerate(self.calls):
            for name, key in self.keys.items():
                whose = Exchange(**{**call.__dict__, "tenant": name})
                made = decision(whose, book, key, prompt=name == "kept", seq=2 * number)
                for one in (made, completion(made, 2 * number + 1)):
                    arrivals.append(Arrival(one.id, encode(one), one))
        async with self.state.pool.connection() as connection:
            await audit.store(connection, partitions, arrivals, [])

    async def post(self, path: str, body: dict[str, Any], status: int = 200, key: str = "a" * 40) -> dict[str, Any]:  # fmt: skip
        answer = await self.client.post(path, json=body, headers={"X-API-Key": key})
        told: dict[str, Any] = await answer.json()
        assert answer.status == status, told
        return told

    async def replay(self, tenant: str, text: str, **more: Any) -> tuple[Counter[tuple[str, str, str]], Counter[str], int]:  # fmt: skip
        """What all pages say of calls."""
        outcomes, unknown = Counter[tuple[str, str, str]](), Counter[str]()
        cursor, exchanges = None, 0
        while True:
            page = await self.post("/v1/rules/replays", {"tenant": tenant, "text": text, "cursor": cursor, **more})  # fmt: skip
            exchanges += page["exchanges"]
            unknown.update(page["unknown"])
            for one in page["outcomes"]:
                if one["of"] == "request":
                    outcomes[one["was"], one["low"], one["high"]] += one["count"]
            cursor = page["next"]
            if cursor is None:
                return outcomes, unknown, exchanges

    async def rows(self, tenant: str) -> list[Kept]:
        """All of a tenant, in the order of the traffic."""
        found = await search.with_prompts(self.state.pool, Sought(tenants=[tenant]), limit=10 * CALLS)  # fmt: skip
        return sorted(found, key=lambda row: row.decision.place.seq)


def truth_of(calls: list[Exchange], sources: dict[str, str], key: bytes) -> list[str]:
    """What each call truly becomes."""
    book = Library(sources, portable=True).rulebook("default")
    return [evaluate(book, call, key=placeholder_key(key)).action for call in calls]


@pytest.fixture
async def recorded(state: State) -> AsyncIterator[Recorded]:
    async with TestClient(TestServer(application(state))) as client:
        made = Recorded(client, state)
        await made.fill(CALLS)
        yield made


@pytest.mark.parametrize("change", LAYERS)
async def test_replay_says_what_truly_would_have_become(recorded: Recorded, change: str) -> None:  # fmt: skip
    text = LAYERS[change]
    sources = {**shipped(), **({ALL: text} if text else {})}
    truths = truth_of(recorded.calls, sources, recorded.keys["kept"])
    outcomes, unknown, exchanges = await recorded.replay("kept", text)
    assert exchanges == sum(outcomes.values()) == CALLS
    whose = Whose("default", NONE, recorded.keys["kept"])
    replayer = Replayer(dict(shipped()), sources)
    for name in ("kept", "bare"):
        rows = await recorded.rows(name)
        mine = whose._replace(prompt_key=recorded.keys[name])
        told = [one for one in replayer.replay(rows, {name: mine}.get) if one.direction == "request"]  # fmt: skip
        assert [one.record.action for one in told] == [row.decision.action for row in rows]  # fmt: skip
        for one, truth in zip(told, truths, strict=True):
            assert ORDER.index(one.now.low) <= ORDER.index(truth) <= ORDER.index(one.now.high), (one.now, one.was, truth)  # type: ignore[arg-type]  # fmt: skip
            assert bool(one.now.why) == (one.now.low != one.now.high)
            assert not one.now.why or one.now.why in REASONS
        again = sum(one.again for one in told)
        if name == "kept":  # what is not judged again has something in its head
            assert again == sum(not any(found.kind == "head" for fired in row.decision.rules for found in fired.findings) for row in rows)  # fmt: skip
            assert Counter((one.was, one.now.low, one.now.high) for one in told) == outcomes  # fmt: skip
        else:
            assert again == 0
        if change == "the same":
            assert all(one.now.low == one.now.high == one.was for one in told)
    assert set(unknown) <= {"head"}


async def test_by_records_most_is_known_where_only_actions_change(recorded: Recorded) -> None:  # fmt: skip
    for change, at_least in (("actions", 0.9), ("modes", 0.9), ("a new rule", 0.0)):
        outcomes, unknown, exchanges = await recorded.replay("bare", LAYERS[change])
        known = sum(count for (_, low, high), count in outcomes.items() if low == high)
        assert known >= at_least * exchanges, (change, outcomes, unknown)
        assert known + sum(unknown.values()) == exchanges
    assert known < exchanges and unknown["new_rules"]


async def test_pages_go_on_where_they_ended_and_are_one_entry(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    whole = await recorded.replay("kept", LAYERS["actions"])
    for name, value in (("PAGE", 97), ("SECONDS", 0.0)):
        monkeypatch.setattr(replays, name, value)
        if name == "SECONDS":
            body = {"tenant": "kept", "text": ""}
            first = await recorded.post("/v1/rules/replays", body)
            assert first["exchanges"] == 1
            again = await recorded.post("/v1/rules/replays", {**body, "cursor": first["next"]})  # fmt: skip
            assert (again["exchanges"], again["from"], again["to"]) == (1, first["from"], first["to"])  # fmt: skip
        else:
            assert await recorded.replay("kept", LAYERS["actions"]) == whole
    entries = await admin_audit.search(recorded.state.pool, Wanted(action="replays.create"), limit=100, after=None)  # fmt: skip
    assert len(entries) == 3
    assert {one.after["layer"] for one in entries} == {"tenants/kept/layer.yaml"} or {one.after["layer"] for one in entries} == {ALL}  # fmt: skip


async def test_other_rules_in_between_end_a_replay(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(replays, "PAGE", 10)
    body = {"tenant": "bare", "text": LAYERS["modes"]}
    first = await recorded.post("/v1/rules/replays", body)
    await recorded.post("/v1/rules/replays", {**body, "text": "", "cursor": first["next"]}, 409)  # fmt: skip
    await recorded.post("/v1/rules/layers/all", {"text": LAYERS["actions"], "reason": "x"})  # fmt: skip
    await recorded.post("/v1/rules/replays", {**body, "cursor": first["next"]}, 409)
    for cursor in ("x", "", first["next"][:-4] + "AAAA"):
        await recorded.post("/v1/rules/replays", {**body, "cursor": cursor}, 400)
    # What was recorded before the change was so under other rules: nothing is claimed of it.
    page = await recorded.post("/v1/rules/replays", body)
    assert page["unknown"] == {"other_rules": 20}  # calls and answers
    assert {(one["low"], one["high"]) for one in page["outcomes"]} == {("ALLOW", "BLOCK")}  # fmt: skip


async def test_what_cannot_be_replayed_is_refused_with_a_sentence(recorded: Recorded) -> None:  # fmt: skip
    for body, status, code in (
        ({}, 400, "bad_request"),
        ({"text": "", "version": 1}, 400, "bad_request"),
        ({"text": "rules: 7"}, 400, "bad_rules"),
        ({"text": "", "layer": "own"}, 400, "bad_request"),
        ({"text": "", "tenant": "nobody"}, 200, None),
        ({"version": 7}, 404, "not_found"),
        ({"text": "", "since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 400, "bad_range"),
    ):  # fmt: skip
        told = await recorded.post("/v1/rules/replays", body, status)
        assert code is None or told["error"]["code"] == code, body


async def test_only_whoever_may_open_prompts_may_replay(recorded: Recorded) -> None:
    for role, bound, status in (("operator", ["kept"], 200), ("auditor+prompts", None, 200), ("auditor", None, 403), ("metrics", None, 403)):  # fmt: skip
        key = (await recorded.post("/v1/keys", {"role": role, "tenants": bound}, 201))["api_key"]  # fmt: skip
        told = await recorded.post("/v1/rules/replays", {"text": ""}, status, key)
        if bound:
            assert told["exchanges"] == min(CALLS, replays.PAGE)
            await recorded.post("/v1/rules/replays", {"text": "", "tenant": "bare"}, 404, key)  # fmt: skip


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_kept_calls_of_earlier_versions_are_opened_and_not_judged_again() -> None:
    import zlib

    from contract.unwrap import prompt_cipher

    old = prompt_cipher(b"k" * 32).encrypt(zlib.compress(b'[{"role":"user","text":"hi","cut":false}]')).decode()  # fmt: skip
    assert opened(b"k" * 32, old) == KeptCall([KeptText("user", "hi")], cut=True)
    new = KeptCall([KeptText("user", "hi", kind="document", fixed=True)], 2, "/v1/x", "m", "ada")  # fmt: skip
    assert opened(b"k" * 32, seal(b"k" * 32, new)) == new
    assert opened(b"j" * 32, seal(b"k" * 32, new)) is None
    assert opened(b"k" * 32, "made up") is None
