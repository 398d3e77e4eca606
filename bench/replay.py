"""Replay of many recorded exchanges, by control's API over PostgreSQL, compared with judging each one: python -m bench.replay [COUNT]."""

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from bench.audit import state
from contract.decision import encode
from contract.unwrap import placeholder_key
from control.app import application
from control.replay.outcomes import ORDER
from control.replay.replayer import Replayer, Whose
from control.state import State
from control.store import audit, search, tenants
from control.store.audit import Arrival, Partitions
from control.store.search import Place, Sought
from rules.evaluate import evaluate
from rules.exchange import Exchange
from rules.known import NONE
from rules.layers import ALL
from rules.load import Library
from rules.sources import shipped
from tests.support.recorded import decision, traffic

COUNT, BATCH = 100_000, 1_000
LAYER = {
    "earthflow": 1,
    "rules": [{"id": "acme.the", "action": "block", "message": "The", "match": {"keywords": ["the"]}, "tests": [{"match": "the end"}, {"ok": "an end"}]}],
    "overrides": {"credentials.*": {"action": "flag"}, "personal.*": {"mode": "monitor"}, "injection.*": {"except": [{"when": {"role": "tool"}}]}},
}  # fmt: skip
ADMIN = {"X-API-Key": "a" * 40}


def processor() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def post(client: TestClient[Any, Any], path: str, body: object) -> Any:
    """The answer to an admin."""
    answer = await client.post(path, json=body, headers=ADMIN)
    assert answer.status in (200, 201), await answer.text()
    return await answer.json()


async def record(bench: State, tenant: str, key: bytes, count: int, *, prompt: bool) -> None:  # fmt: skip
    """Store what a proxy would record of the traffic."""
    book, made = Library(shipped()).rulebook("default"), list[Arrival]()
    partitions = Partitions()
    for number, call in enumerate(traffic(count, 1, tenant)):
        one = decision(call, book, key, prompt=prompt, seq=number)
        made.append(Arrival(one.id, encode(one), one))
        if len(made) == BATCH or number == count - 1:
            async with bench.pool.connection() as connection:
                await audit.store(connection, partitions, made, [])
            made.clear()


async def replayed(client: TestClient[Any, Any], tenant: str) -> tuple[Counter[Any], Counter[str], int]:  # fmt: skip
    """What all pages say."""
    outcomes, unknown, again, cursor = Counter[Any](), Counter[str](), 0, None
    while True:
        page = await post(client, "/v1/rules/replays", {"tenant": tenant, "text": json.dumps(LAYER), "cursor": cursor})  # fmt: skip
        for one in page["outcomes"]:
            outcomes[one["was"], one["low"], one["high"]] += one["count"]
        unknown.update(page["unknown"])
        again += page["judged_again"]
        cursor = page["next"]
        if cursor is None:
            return outcomes, unknown, again


def truths(calls: list[Exchange], key: bytes) -> list[str]:
    """What each call becomes where it is judged as a proxy does, by hyperscan."""
    book = Library({**shipped(), ALL: json.dumps(LAYER)}).rulebook("default")
    return [evaluate(book, call, key=placeholder_key(key)).action for call in calls]


async def in_range(bench: State, tenant: str, key: bytes, truth: list[str]) -> tuple[int, int]:  # fmt: skip
    """Of how many exchanges without prompts the range has the truth, and is one action."""
    sources = dict(shipped())
    replayer = Replayer(sources, {**sources, ALL: json.dumps(LAYER)})
    right, exact, place = 0, 0, None
    whose = {tenant: Whose("default", NONE, key)}
    while True:
        rows = await search.with_prompts(bench.pool, Sought(tenants=[tenant]), limit=BATCH, after=place)  # fmt: skip
        for one in replayer.replay(rows, whose.get):
            low, true, high = (ORDER.index(action) for action in (one.now.low, truth[one.record.place.seq], one.now.high))  # type: ignore[arg-type]  # fmt: skip
            right += low <= true <= high
            exact += low == high
        if len(rows) < BATCH:
            return right, exact
        place = Place(rows[-1].decision.time.date(), rows[-1].decision.id)


async def main(count: int) -> None:
    """Print what came out, a line for each step."""
    with tempfile.TemporaryDirectory() as folder:
        async with state(Path(folder)) as bench:
            bench.rules = dict(shipped())
            async with TestClient(TestServer(application(bench))) as client:
                await compare(bench, client, count)


async def compare(bench: State, client: TestClient[Any, Any], count: int) -> None:
    """Replay both tenants' exchanges, and compare with the truth."""
    for name in ("kept", "bare"):
        await post(client, "/v1/tenants", {"id": name, "name": name})
    keys = {one.id: bench.vault.open(one.prompt_key) for one in await tenants.judged(bench.pool, ["kept", "bare"])}  # fmt: skip
    for name, key in keys.items():
        await record(bench, name, key, count, prompt=name == "kept")
    truth = truths(list(traffic(count, 1, "kept")), keys["kept"])
    for name in ("kept", "bare"):
        began, spent = time.monotonic(), processor()
        outcomes, unknown, again = await replayed(client, name)
        print(f"{name}: {sum(outcomes.values()):,} replayed, {again:,} judged again, {sum(unknown.values()):,} not known exactly {dict(unknown)}; CPU {processor() - spent:.0f} s, {time.monotonic() - began:.0f} s")  # fmt: skip
        if name == "kept":
            said = Counter({action: sum(n for (_, low, high), n in outcomes.items() if low == high == action) for action in ORDER})  # fmt: skip
            print(f"judged again: {dict(said)}; by the proxy's own engine, of all: {dict(Counter(truth))}")  # fmt: skip
    for name in ("kept", "bare"):
        right, exact = await in_range(bench, name, keys[name], truth)
        print(f"{name}: the truth lies in the range of {right:,} of {count:,}; {exact:,} ranges are one action")  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else COUNT))
