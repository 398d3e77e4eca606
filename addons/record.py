"""One record when an exchange is decided, one when it is over: the only writer of decisions and completions."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from addons.answer import Answer
from addons.providers.provider import Usage
from addons.snapshot import Identity
from addons.spool import Spool
from contract.decision import Completion, Coverage, Decision, Fired, Outcome, Place, Reason, new_id
from rules.evaluate import Verdict
from rules.exchange import Exchange

logger = logging.getLogger("earthflow.record")

MOST_TOKENS = 10**9  # that one exchange is believed to have cost
LONGEST = 300  # characters of a caller's text in a record


@dataclass(slots=True)
class Ongoing:
    """An exchange between its decision and its completion. `refused`: we answered it ourselves; `tunnel`: it was never opened;
    `expired`: it took too long.
    """

    id: str
    tenant: str
    refused: bool = False
    tunnel: bool = False
    answer: Answer | None = None
    bytes_up: int = 0
    first_byte: float | None = None
    trouble: str = ""
    expired: bool = False
    added_ms: float | None = None
    uncovered: str = ""  # why nothing of it can be looked at: tunnelled, or opaque
    done: bool = False
    started: float = field(default_factory=time.monotonic)

    def count_up(self, chunk: bytes) -> bytes:
        """Let a piece of a body pass, counted."""
        self.bytes_up += len(chunk)
        return chunk


@dataclass(frozen=True, slots=True)
class Address:
    """Where a call goes and where it came from, as far as the audit names it."""

    host: str
    method: str = ""
    path: str = ""
    client: str = ""


class Recorder:
    """Writes to the spool, before the exchange goes on."""

    def __init__(self, spool: Spool, spend: Callable[[str, int], None] = lambda tenant, tokens: None):
        """`spend` is told of the tokens that a provider counted for a tenant."""
        self._spool, self._spend = spool, spend
        self.under_way = 0  # calls decided and not yet over; tunnels are not waited for
        self.decisions: Counter[tuple[str, str, str]] = Counter()  # by action, reason, provider
        self.outcomes: Counter[tuple[str, str]] = (
            Counter()
        )  # by outcome, and what the rules said of the answer
        self.uncovered: Counter[tuple[str, str]] = (
            Counter()
        )  # bytes that nobody could look at, by why, up and down

    def judged(
        self,
        who: Identity,
        to: Address,
        exchange: Exchange,
        verdict: Verdict,
        *,
        prompt_hash: str,
        rulebook: str,
        prompt: str = "",
    ) -> Ongoing:
        """What the rules said of a call."""
        decision = {
            "action": verdict.action,
            "would": verdict.would,
            "coverage": "partial"
            if verdict.unreadable and exchange.coverage == "full"
            else exchange.coverage,
            "unreadable": verdict.unreadable,
            "rules": _fired(verdict),
            "rulebook": rulebook,
            "provider": exchange.provider,
            "model": _writable(exchange.model),
            "stream": exchange.stream,
            "size": exchange.size,
            "prompt_hash": prompt_hash,
            "prompt": prompt,
        }
        return self._begin(who, to, decision, refused=verdict.action == "BLOCK")

    def refused(
        self,
        who: Identity,
        to: Address,
        reason: Reason,
        *,
        provider: str = "",
        unreadable: tuple[str, ...] = (),
    ) -> Ongoing:
        """A call that was refused without the rules being asked."""
        decision = {
            "action": "BLOCK",
            "reason": reason,
            "coverage": "none",
            "unreadable": unreadable,
            "provider": provider,
        }
        return self._begin(who, to, decision, refused=True)

    def passed(self, who: Identity, to: Address, reason: Reason, *, provider: str = "") -> Ongoing:
        """A call that goes on unjudged, and is known to."""
        return self._begin(
            who,
            to,
            {"action": "ALLOW", "reason": reason, "coverage": "none", "provider": provider},
            refused=False,
        )

    def tunnelled(self, who: Identity, to: Address, *, tunnel: bool) -> Ongoing:
        """What goes to a host that is no AI provider's, unopened; `tunnel`: by CONNECT, so it may stay open for long."""
        decision = {
            "action": "ALLOW",
            "reason": "tunnelled",
            "coverage": "none",
            "unreadable": ("tunnelled",),
        }
        ongoing = self._begin(who, to, decision, refused=False, tunnel=tunnel)
        ongoing.uncovered = "tunnelled"
        return ongoing

    def distrusted(self, who: Identity, to: Address, error: str) -> None:
        """A client would not go on, since it does not trust the interception CA, or seems not to."""
        ongoing = self._begin(
            who, to, {"action": "FLAG", "reason": "distrust", "coverage": "none"}, refused=False
        )
        ongoing.trouble = error
        self.complete(ongoing, "client_abort")

    def spend(self, tenant: str, usage: Usage, told: int = 0) -> int:
        """Count the tokens of an answer towards its tenant's day, but for those that were `told` of before; how many."""
        tokens = min(max(0, usage.input_tokens or 0) + max(0, usage.output_tokens or 0), MOST_TOKENS) - told
        if tokens > 0:
            self._spend(tenant, tokens)
        return max(0, tokens)

    def lasts(self, ongoing: Ongoing) -> None:
        """An exchange has become one that may stay open for long."""
        ongoing.tunnel = True
        self.under_way -= 1

    def _begin(
        self,
        who: Identity,
        to: Address,
        decision: Mapping[str, object],
        *,
        refused: bool,
        tunnel: bool = False,
    ) -> Ongoing:
        ongoing = Ongoing(new_id(), who.tenant.id, refused, tunnel)
        self._spool.append(
            lambda place: Decision(
                id=ongoing.id,
                time=datetime.now(UTC),
                place=place,
                tenant=who.tenant.id,
                key=who.key.id,
                host=_writable(to.host),
                method=_writable(to.method),
                path=_writable(to.path),
                client=to.client,
                **decision,  # type: ignore[arg-type]
            )
        )
        if not tunnel:
            self.under_way += 1
        self.decisions[
            str(decision["action"]), str(decision.get("reason", "policy")), str(decision.get("provider", ""))
        ] += 1
        return ongoing

    def complete(
        self, ongoing: Ongoing, outcome: Outcome, *, status: int | None = None, bytes_down: int = 0
    ) -> None:
        """The exchange is over; only the first call says so."""
        if ongoing.done:
            return
        ongoing.done = True
        if not ongoing.tunnel:
            self.under_way -= 1
        now = time.monotonic()
        if ongoing.expired and outcome == "ok":
            outcome = "upstream_error"
        answer = ongoing.answer
        if answer:
            answer.finish()
        usage = answer.usage if answer else None
        verdict = _verdict(answer, ongoing)
        coverage: Coverage = "full" if ongoing.refused else answer.coverage if answer and verdict else "none"
        blocked = verdict is not None and verdict.action == "BLOCK" and outcome != "client_abort"

        written: Outcome = "refused" if ongoing.refused else "blocked" if blocked else outcome

        def make(place: Place) -> Completion:
            return Completion(
                id=ongoing.id,
                time=datetime.now(UTC),
                place=place,
                tenant=ongoing.tenant,
                outcome=written,
                status=status,
                error=_writable(ongoing.trouble),
                input_tokens=usage.input_tokens if usage else None,
                output_tokens=usage.output_tokens if usage else None,
                bytes_up=ongoing.bytes_up,
                bytes_down=answer.size if answer else bytes_down,
                first_byte_ms=_milliseconds(ongoing.first_byte - ongoing.started)
                if ongoing.first_byte
                else None,
                duration_ms=_milliseconds(now - ongoing.started),
                added_ms=ongoing.added_ms,
                action=verdict.action if verdict else None,
                would=verdict.would if verdict else None,
                coverage=coverage,
                unreadable=verdict.unreadable if verdict else (),
                rules=_fired(verdict) if verdict else (),
            )

        self._spool.append(make)
        if usage:
            self.spend(ongoing.tenant, usage, told=getattr(answer, "told", 0))
        self.outcomes[written, verdict.action if verdict else ""] += 1
        if ongoing.uncovered:
            self.uncovered[ongoing.uncovered, "up"] += ongoing.bytes_up
            self.uncovered[ongoing.uncovered, "down"] += answer.size if answer else bytes_down


def blocked_message(verdict: Verdict, decision: str) -> str:
    """What a blocked caller reads: the rule and the decision's id, nothing of what was found."""
    rule = verdict.by.id if verdict.by else "unknown"
    why = f": {verdict.by.message}" if verdict.by and verdict.by.message else ""
    return f"Blocked by Earthflow policy {rule} (decision {decision}){why}"


def _verdict(answer: Answer | None, ongoing: Ongoing) -> Verdict | None:
    """What the rules said; a record is made even where they cannot say it any more."""
    try:
        return answer.verdict if answer else None
    except Exception as error:
        logger.error("%s while an answer's verdict was recorded", type(error).__name__)
        ongoing.trouble = ongoing.trouble or "engine_error"
        return None


def _fired(verdict: Verdict) -> tuple[Fired, ...]:
    return tuple(
        Fired(
            rule=one.judge.id,
            action=(one.judge.action or "score").upper(),  # type: ignore[arg-type]
            severity=one.judge.severity,
            count=len(one.findings),
            would=one.judge.monitor,
        )
        for one in verdict.fired
    )


def _writable(text: str) -> str:
    """A caller's text as it may stand in a record: bounded, and without what UTF-8 or PostgreSQL cannot hold."""
    return text[:LONGEST].encode("utf-8", "replace").decode().replace("\0", "?")


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
