"""The only writer of records: a decision before a call is sent or refused, a completion when it is over."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from addons.providers.provider import Usage
from addons.record.writer import RecordWriter
from addons.tenants.compiled_snapshot import Caller
from contract.decision import (
    SCHEMA,
    Completion,
    Coverage,
    Decision,
    Fired,
    Found,
    Outcome,
    Place,
    Reason,
    new_id,
)
from rules.exchange import Exchange, coverage_of
from rules.verdict import Verdict

logger = logging.getLogger("earthflow.record")

# Tokens that one exchange is believed to have cost. A provider, or whoever plays one, must not
# spend a tenant's day with one number; the largest models answer with some 10^5.
MAX_TOKENS = 10**9
MAX_TEXT = 300  # characters of a caller's text in a record


class Answer(Protocol):
    """What a record says of an answer: its bytes, its tokens, and the rules' verdict."""

    size: int
    usage: Usage

    @property
    def verdict(self) -> Verdict | None:
        """What the rules say of it; None where they were not asked."""

    @property
    def coverage(self) -> Coverage:
        """How much of it was readable."""

    def finish(self) -> None:
        """It is over, or was cut off; read what can only be read now."""


@dataclass(slots=True)
class OpenRecord:
    """An exchange whose decision is recorded, and whose completion is not yet.

    `refused`: Earthflow answers it itself. `tunnel`: it was not opened, or is a WebSocket, and
    may last. `expired`: it was ended for taking too long. `failure`: what went wrong.
    `uncovered`: why nothing of it can be inspected (tunnelled, or opaque). `written`: its
    decision is in the spool.
    """

    id: str
    tenant: str
    refused: bool = False
    tunnel: bool = False
    answer: Answer | None = None
    bytes_up: int = 0
    first_byte: float | None = None
    failure: str = ""
    expired: bool = False
    added_ms: float | None = None
    uncovered: str = ""
    written: bool = True
    done: bool = False
    started: float = field(default_factory=time.monotonic)

    def count_up(self, chunk: bytes) -> bytes:
        """Count a chunk of a request's body, and give it back."""
        self.bytes_up += len(chunk)
        return chunk


@dataclass(frozen=True, slots=True)
class Address:
    """Where a call goes to and comes from, as the audit names it."""

    host: str
    method: str = ""
    path: str = ""
    client: str = ""


class Recorder:
    """Makes records, and counts them for the metrics.

    What records that a call passes raises SpoolFull where it must not, since it cannot be recorded.
    """

    def __init__(
        self,
        writer: RecordWriter,
        spend: Callable[[str, int], None] = lambda tenant, tokens: None,
    ):
        """`spend` takes a tenant and the tokens that a provider counted for it."""
        self.writer, self._spend = writer, spend
        # calls decided and not over, tunnels excepted: a stop waits for them
        self.under_way = 0
        # by action, reason, provider
        self.decisions: Counter[tuple[str, str, str]] = Counter()
        # by outcome, and what the rules said of the answer
        self.outcomes: Counter[tuple[str, str]] = Counter()
        # bytes that nobody could look at, by why, up and down
        self.uncovered: Counter[tuple[str, str]] = Counter()

    def judged(
        self,
        caller: Caller,
        to: Address,
        exchange: Exchange,
        verdict: Verdict,
        *,
        model: str,
        prompt_hash: str,
        rulebook: str,
        prompt: str = "",
    ) -> OpenRecord:
        """Record the verdict of the rules on a call; `model` is what the record says of it."""
        decision = {
            "action": verdict.action,
            "would": verdict.would,
            "would_strict": verdict.would_strict,
            "coverage": coverage_of(exchange.parts, verdict.unreadable),
            "unreadable": verdict.unreadable,
            "rules": _fired(verdict),
            "rulebook": rulebook,
            "provider": exchange.provider,
            "model": _writable(model),
            "stream": exchange.stream,
            "size": exchange.size,
            "prompt_hash": prompt_hash,
            "prompt": prompt,
        }
        return self._begin(caller, to, decision, refused=verdict.action == "BLOCK")

    def refused(
        self,
        caller: Caller,
        to: Address,
        reason: Reason,
        *,
        provider: str = "",
        unreadable: tuple[str, ...] = (),
    ) -> OpenRecord:
        """Record that a call was refused without asking the rules."""
        decision = {
            "action": "BLOCK",
            "reason": reason,
            "coverage": "none",
            "unreadable": unreadable,
            "provider": provider,
        }
        return self._begin(caller, to, decision, refused=True)

    def passed(
        self, caller: Caller, to: Address, reason: Reason, *, provider: str = ""
    ) -> OpenRecord:
        """Record that a call passes unjudged."""
        return self._begin(
            caller,
            to,
            {
                "action": "ALLOW",
                "reason": reason,
                "coverage": "none",
                "provider": provider,
            },
            refused=False,
        )

    def tunnelled(self, caller: Caller, to: Address, *, tunnel: bool) -> OpenRecord:
        """Record a call, or (`tunnel`) a CONNECT tunnel, to a host that is no AI provider's."""
        decision = {
            "action": "ALLOW",
            "reason": "tunnelled",
            "coverage": "none",
            "unreadable": ("tunnelled",),
        }
        record = self._begin(caller, to, decision, refused=False, tunnel=tunnel)
        record.uncovered = "tunnelled"
        return record

    def distrusted(self, caller: Caller, to: Address, error: str) -> None:
        """Record that a client left a handshake, since it does not seem to trust our CA."""
        record = self._begin(
            caller,
            to,
            {"action": "FLAG", "reason": "distrust", "coverage": "none"},
            refused=False,
        )
        record.failure = error
        self.complete(record, "client_abort")

    def spend(self, tenant: str, usage: Usage, spent_before: int = 0) -> int:
        """Count an answer's tokens towards its tenant's day, less those `spent_before`; how many."""
        tokens = (
            min(
                max(0, usage.input_tokens or 0) + max(0, usage.output_tokens or 0),
                MAX_TOKENS,
            )
            - spent_before
        )
        if tokens > 0:
            self._spend(tenant, tokens)
        return max(0, tokens)

    def lasts(self, record: OpenRecord) -> None:
        """An exchange became a WebSocket: it may stay open for long."""
        record.tunnel = True
        self.under_way -= 1

    def _begin(
        self,
        caller: Caller,
        to: Address,
        decision: Mapping[str, object],
        *,
        refused: bool,
        tunnel: bool = False,
    ) -> OpenRecord:
        record = OpenRecord(new_id(), caller.tenant.id, refused, tunnel)

        def make(place: Place) -> Decision:
            return Decision(
                schema=SCHEMA,
                id=record.id,
                time=datetime.now(UTC),
                place=place,
                tenant=caller.tenant.id,
                key=caller.key.id,
                host=_writable(to.host),
                method=_writable(to.method),
                path=_writable(to.path),
                client=to.client,
                **decision,  # type: ignore[arg-type]
            )

        passes = not refused and decision.get("reason") != "distrust"
        record.written = self.writer.decision(make, record.tenant, passes=passes)
        if not tunnel:
            self.under_way += 1
        self.decisions[
            str(decision["action"]),
            str(decision.get("reason", "policy")),
            str(decision.get("provider", "")),
        ] += 1
        return record

    def complete(
        self,
        record: OpenRecord,
        outcome: Outcome,
        *,
        status: int | None = None,
        bytes_down: int = 0,
    ) -> None:
        """Record that an exchange is over. Calls after the first one do nothing."""
        if record.done:
            return
        record.done, ended = True, time.monotonic()
        if not record.tunnel:
            self.under_way -= 1
        if record.expired and outcome == "ok":
            outcome = "upstream_error"
        answer = record.answer
        if answer:
            answer.finish()
        verdict = _verdict(answer, record)
        blocked = verdict is not None and verdict.action == "BLOCK"
        if record.refused:
            outcome = "refused"
        elif blocked and outcome != "client_abort":
            outcome = "blocked"
        size = answer.size if answer else bytes_down

        def make(place: Place) -> Completion:
            return _completion(record, place, outcome, status, verdict, size, ended)

        if record.written:
            self.writer.completion(make, record.tenant)
        else:
            self.writer.unfinished()
        if answer:
            spent_before = getattr(answer, "spent_before", 0)
            self.spend(record.tenant, answer.usage, spent_before=spent_before)
        self.outcomes[outcome, verdict.action if verdict else ""] += 1
        if record.uncovered:
            self.uncovered[record.uncovered, "up"] += record.bytes_up
            self.uncovered[record.uncovered, "down"] += size


def blocked_message(verdict: Verdict, decision: str) -> str:
    """What a blocked caller reads: the rule and the decision's id, nothing of the finding."""
    rule = verdict.by.id if verdict.by else "unknown"
    why = f": {verdict.by.message}" if verdict.by and verdict.by.message else ""
    if verdict.by and verdict.by.content is None and verdict.unreadable:
        why += f" ({', '.join(verdict.unreadable)})"
    return f"Blocked by Earthflow policy {rule} (decision {decision}){why}"


def _completion(
    record: OpenRecord,
    place: Place,
    outcome: Outcome,
    status: int | None,
    verdict: Verdict | None,
    size: int,
    ended: float,
) -> Completion:
    answer, first_byte_ms = record.answer, None
    if record.first_byte:
        first_byte_ms = _milliseconds(record.first_byte - record.started)
    coverage: Coverage = "full" if record.refused else "none"
    if answer and verdict and not record.refused:
        coverage = answer.coverage
    return Completion(
        schema=SCHEMA,
        id=record.id,
        time=datetime.now(UTC),
        place=place,
        tenant=record.tenant,
        outcome=outcome,
        status=status,
        error=_writable(record.failure),
        input_tokens=answer.usage.input_tokens if answer else None,
        output_tokens=answer.usage.output_tokens if answer else None,
        bytes_up=record.bytes_up,
        bytes_down=size,
        first_byte_ms=first_byte_ms,
        duration_ms=_milliseconds(ended - record.started),
        added_ms=record.added_ms,
        action=verdict.action if verdict else None,
        would=verdict.would if verdict else None,
        would_strict=verdict.would_strict if verdict else None,
        coverage=coverage,
        unreadable=verdict.unreadable if verdict else (),
        rules=_fired(verdict) if verdict else (),
        restored=verdict.restored if verdict else 0,
    )


def _verdict(answer: Answer | None, record: OpenRecord) -> Verdict | None:
    """The verdict on an answer. Where it cannot be had any more, the record says so."""
    try:
        return answer.verdict if answer else None
    except Exception as error:
        logger.error("%s while an answer's verdict was recorded", type(error).__name__)
        record.failure = record.failure or "engine_error"
        return None


def _fired(verdict: Verdict) -> tuple[Fired, ...]:
    return tuple(
        Fired(
            rule=one.rule.id,
            action=(one.rule.action or "score").upper(),  # type: ignore[arg-type]
            severity=one.rule.severity,
            count=len(one.findings),
            would=one.rule.monitor,
            findings=tuple(
                msgspec.convert(place._asdict(), Found)
                for place in verdict.found
                if place.rule == one.rule.id
            ),
        )
        for one in verdict.fired
    )


def _writable(text: str) -> str:
    """A caller's text, bounded, without what UTF-8 or PostgreSQL cannot hold."""
    if text.isascii() and "\0" not in text:
        return text[:MAX_TEXT]
    return text[:MAX_TEXT].encode("utf-8", "replace").decode().replace("\0", "?")


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
