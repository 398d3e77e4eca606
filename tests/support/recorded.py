"""Recorded traffic: exchanges out of what the shipped rules' own tests say, as a proxy would record them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from addons.record.recorder import _fired
from addons.tenants.kept import kept
from contract.decision import Completion, Decision, Place, new_id
from contract.kept import seal
from contract.unwrap import placeholder_key
from rules.evaluate import evaluate
from rules.exchange import NOWHERE, Exchange, Kind, Part, Role
from rules.load import Library
from rules.rulebook import Rulebook
from rules.sources import shipped

ROLES: tuple[tuple[Role, Kind], ...] = (
    ("user", "text"), ("user", "text"), ("system", "text"), ("tool", "tool_result"), ("assistant", "text"), ("assistant", "tool_call"),
    ("other", "field"), ("other", "key"), ("user", "document"),
)  # fmt: skip
MODELS = ("gpt-5.2", "claude-5", "gemini-3")
IN_HEAD = 0.05  # of calls have something in their head


def samples() -> tuple[list[str], list[str]]:
    """Texts in which shipped rules find something, and texts that they leave alone."""
    tests = [test for rule in Library(shipped()).written.assemble("strict").rules.values() for test in rule.tests if test.text]  # fmt: skip
    return [str(one.text) for one in tests if one.must_match], [str(one.text) for one in tests if not one.must_match]  # fmt: skip


def traffic(count: int, seed: int, tenant: str) -> Iterator[Exchange]:
    """Calls of a tenant: conversations of some turns, in a third of which rules find something."""
    rng, (bad, good) = Random(seed), samples()
    for _ in range(count):
        hits = rng.random() < 0.4
        parts = [Part("/v1/chat/completions", "other", "head", NOWHERE)]
        if rng.random() < IN_HEAD:
            parts.append(Part(rng.choice(bad), "other", "head", NOWHERE))
        for number in range(rng.randint(1, 6)):
            role, kind = rng.choice(ROLES)
            text = rng.choice(bad if hits and rng.random() < 0.4 else good)
            tool = rng.choice(("Bash", "Read")) if kind in ("tool_call", "tool_result") else ""  # fmt: skip
            fixed = kind == "document"
            parts.append(Part(text, role, kind, NOWHERE if fixed else number, tool, "command" if kind == "tool_call" else ""))  # fmt: skip
        yield Exchange(
            provider="openai",
            host="api.openai.com",
            method="POST",
            path="/v1/chat/completions",
            model=rng.choice(MODELS),
            tenant=tenant,
            user=rng.choice(("", "ada")),
            size=sum(len(part.text) for part in parts),
            parts=tuple(parts),
            unreadable=("image",) if rng.random() < 0.03 else (),
            time=datetime.now(UTC),
        )


def decision(
    exchange: Exchange, book: Rulebook, prompt_key: bytes, *, prompt: bool, seq: int
) -> Decision:
    """What a proxy records of a call."""
    verdict = evaluate(book, exchange, key=placeholder_key(prompt_key))
    return Decision(
        schema=2,
        id=new_id(),
        time=datetime.now(UTC),
        place=Place("w", "b", seq),
        tenant=exchange.tenant,
        key="k",
        action=verdict.action,
        would=verdict.would,
        would_strict=verdict.would_strict,
        coverage=exchange.coverage,
        unreadable=verdict.unreadable,
        rules=_fired(verdict),
        rulebook=book.version,
        provider=exchange.provider,
        host=exchange.host,
        method=exchange.method,
        model=exchange.model,
        size=exchange.size,
        prompt=seal(prompt_key, kept(exchange)) if prompt else "",
    )


def completion(of: Decision, seq: int) -> Completion:
    """How it ended: an answer in which nothing was found."""
    return Completion(schema=2, id=of.id, time=of.time, place=Place("w", "b", seq), tenant=of.tenant, outcome="ok", duration_ms=1, action="ALLOW", coverage="full")  # fmt: skip
