"""Parse, scan and verdict of one call: CPU by size and number of rules, beside raw hyperscan and others on the same texts."""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import hyperscan

from addons.calls.clean_texts import CleanTexts
from addons.calls.reading import CallRequest, judge, read
from addons.providers import Directory
from bench import texts
from rules.hyperscan_engine import Hyper
from rules.load import Library
from rules.locate import Pattern
from rules.rulebook import Rulebook
from rules.scan import Clean, Scanner
from rules.sources import shipped

ROUNDS = {1024: 60, 16 * 1024: 40, 256 * 1024: 9, 2 * 1024 * 1024: 3}
HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
KEY = b"bench"
PROVIDER = Directory().of("api.openai.com")


def judged(book: Rulebook, body: bytes, clean: Clean | None = None) -> Any:
    """One call through everything between its bytes and what is done with it."""
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    request = CallRequest(
        PROVIDER, "api.openai.com", "POST", "/v1/chat/completions", "", body, "", now
    )
    return judge(read(request, "t"), book, key=KEY, clean=clean)


def milliseconds[Item](work: Callable[[Item], object], items: Iterable[Item]) -> float:
    """Median CPU time of this thread, the work done once on each item."""
    taken = []
    gc.disable()
    for item in items:
        began = time.thread_time_ns()
        work(item)
        taken.append((time.thread_time_ns() - began) / 1e6)
    gc.enable()
    return statistics.median(taken)


def raw(book: Rulebook, bodies: Sequence[bytes]) -> float:
    """Hyperscan alone with the same expressions, over the same bytes: the yardstick."""
    stage1 = book.scanner._layers[0].stage1
    assert isinstance(stage1, Hyper)
    scratch = hyperscan.Scratch(stage1._every)

    def ignore(*_: object) -> None:
        return None

    return milliseconds(
        lambda body: stage1._every.scan(
            body, match_event_handler=ignore, scratch=scratch
        ),
        bodies,
    )


def by_size(book: Rulebook, rng: Random) -> Iterator[tuple[str, ...]]:
    """Rows: size, clean, hiding, with hits, raw hyperscan, its MB/s, and the ratio of clean to raw."""
    for _ in range(100):  # a proxy that runs has seen some calls
        judged(
            book,
            texts.call(
                texts.with_hits(rng, texts.hiding(rng, texts.text(rng, 16 * 1024)), 8)
            ),
        )
        judged(book, texts.call(texts.text(rng, 16 * 1024)))
    for size, rounds in ROUNDS.items():
        hits = 4 if size == 1024 else 32
        clean = [texts.call(texts.text(rng, size)) for _ in range(rounds)]
        hiding = [
            texts.call(texts.hiding(rng, texts.text(rng, size))) for _ in range(rounds)
        ]
        hitting = [
            texts.call(texts.with_hits(rng, texts.text(rng, size), hits))
            for _ in range(rounds)
        ]
        taken = [
            milliseconds(lambda body: judged(book, body), bodies)
            for bodies in (clean, hiding, hitting)
        ]
        alone = raw(book, clean)
        speed = len(clean[0]) / alone / 1000
        yield (
            _size(size),
            *(f"{each:.3f}" for each in taken),
            f"{alone:.3f}",
            f"{speed:.0f}",
            f"{taken[0] / alone:.2f}",
        )


def by_rules(rng: Random) -> Iterator[tuple[str, ...]]:
    """Rows: a set of patterns and what 1, 16 and 256 KB cost to scan with it."""
    every = [pattern for layer in Library(shipped()).base.layers for pattern in layer]
    order = Random(300)
    few = order.sample(every, 300)
    invented = [
        Pattern(rf"\bvnd{number}_[0-9A-Za-z]{{32}}\b") for number in range(1000)
    ]
    weak = [
        Pattern(rf"\b[a-z]{{{number % 7 + 3}}}{chr(97 + number % 26)}\d{{4}}\b")
        for number in range(700)
    ]
    sets = {
        "10 rules": few[:10],
        "100 rules": few[:100],
        "300 rules": few,
        "1,000 rules, shipped style": [
            *few,
            *(pattern for pattern in every if pattern not in few),
            *invented,
        ][:1000],
        "1,000 rules, weak literals": [*few, *weak],
    }
    base: list[float] = []
    for name, patterns in sets.items():
        scanner = Scanner([patterns])
        taken = []
        for size, rounds in list(ROUNDS.items())[:3]:
            fresh = [[texts.text(rng, size)] for _ in range(rounds)]
            taken.append(milliseconds(scanner.scan, fresh))
        base = taken if name == "300 rules" else base
        ratio = f"{taken[1] / base[1]:.2f}" if base else ""
        yield (name, *(f"{each:.3f}" for each in taken), ratio)


def hostile(book: Rulebook, size: int = 256 * 1024) -> Iterator[tuple[str, str]]:
    """Rows: a hostile body of 256 KB and its cost; second time, with everything warm."""
    book.scanner.warm()
    for name, make in texts.HOSTILE.items():
        body = (
            texts.call(make(size), size)
            if name != "many parts"
            else json.dumps(
                {
                    "model": "m",
                    "messages": [{"role": "user", "content": "a@b.co"}] * (size // 40),
                }
            ).encode()
        )
        judged(book, body)
        yield name, f"{milliseconds(lambda body: judged(book, body), [body] * 3):.1f}"


def conversation(book: Rulebook, rng: Random) -> Iterator[tuple[str, str]]:
    """Rows: the next turn of a conversation of 10 and of 200 turns, remembered and not; the judging alone."""
    taken = {}
    for turns in (10, 200):
        said = [f"{texts.text(rng, 500)}." for _ in range(turns + 21)]
        for remembered in (True, False):
            memory = CleanTexts() if remembered else None
            bodies = []
            for new in said[turns:]:
                turn = [*said[:turns], new]
                messages = [
                    {"role": ("user", "assistant")[(turns + n) % 2], "content": one}
                    for n, one in enumerate(turn)
                ]
                bodies.append(json.dumps({"model": "m", "messages": messages}).encode())

            def call(body: bytes, memory: CleanTexts | None = memory) -> object:
                return judged(
                    book, body, memory.of("t", book.version) if memory else None
                )

            call(bodies[0])
            taken[turns, remembered] = milliseconds(call, bodies[1:])
            yield (
                f"{turns} turns{', remembered' if remembered else ', scanned whole'}",
                f"{taken[turns, remembered]:.3f}",
            )
    yield "ratio of 200 to 10, remembered", f"{taken[200, True] / taken[10, True]:.2f}"
    memory = CleanTexts()
    bodies = [agents_turn(300, new) for new in range(21)]

    def turn(body: bytes) -> object:
        return judged(book, body, memory.of("t", book.version))

    turn(bodies[0])
    yield (
        "an agent's, 300 commands, remembered",
        f"{milliseconds(turn, bodies[1:]):.3f}",
    )


def agents_turn(commands: int, new: int) -> bytes:
    """A coding agent's call: what it ran so far, what came back, and one command more."""
    said: list[dict[str, Any]] = [{"role": "user", "content": "find the fault"}]
    for n in (*range(commands), commands + new):
        line = (
            f"cd /src/p{n} && rg -n 'def f{n}' src | head -20; sed -n '{n},200p' a.py"
        )
        called = {"name": "shell", "arguments": json.dumps({"command": line})}
        use = {"id": f"t{n}", "type": "function", "function": called}
        back = f"src/a.py:{n}: " + "nothing. " * 20
        said += [
            {"role": "assistant", "content": None, "tool_calls": [use]},
            {"role": "tool", "tool_call_id": f"t{n}", "content": back},
        ]
    return json.dumps({"model": "m", "messages": said}).encode()


def tenants() -> Iterator[tuple[str, ...]]:
    """Rows: so many tenants, half of them with rules of their own; time and memory, each count in a process of its own."""
    for count in (1, 100, 10_000):
        done = subprocess.run(
            [sys.executable, "-m", "bench.tenants", str(count)],
            capture_output=True,
            text=True,
            check=True,
        )
        yield (f"{count:,}", *done.stdout.split())


def peers(book: Rulebook, rng: Random) -> Iterator[tuple[str, ...]]:
    """Rows: another tool and what 1 KB, 16 KB and 256 KB of the same texts cost it; ours with everything first."""
    sizes = (1024, 16 * 1024, 256 * 1024)
    fresh = {size: [texts.text(rng, size) for _ in range(5)] for size in sizes}
    ours = [
        milliseconds(lambda one: book.scanner.scan([one]), fresh[size])
        for size in sizes
    ]
    yield (
        "Earthflow, every pack, places and all",
        *(f"{each:.2f}" for each in ours),
    )
    if not PEERS.exists():
        yield ("others: not installed (make peers)", "", "", "")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([fresh[size] for size in sizes], file)
        file.flush()
        done = subprocess.run(
            [PEERS, HERE / "peers.py", file.name],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": os.defpath},
        )
    for name, taken in json.loads(done.stdout).items():
        yield (name, *(f"{each:.2f}" for each in taken))


def _size(size: int) -> str:
    return f"{size // 1024} KB" if size < 1024 * 1024 else f"{size // 1024 // 1024} MB"
