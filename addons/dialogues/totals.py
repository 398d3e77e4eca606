"""Several answers of one WebSocket, as one record tells of them."""

from dataclasses import dataclass, field

from addons.answers.streamed import StreamedAnswer
from addons.providers.provider import Usage
from rules.exchange import Coverage
from rules.verdict import Verdict

STRENGTH = ("ALLOW", "FLAG", "REDACT", "BLOCK")


@dataclass
class AnswerTotals:
    """Several answers as one record tells of them. `spent_before`: tokens counted already."""

    size: int = 0
    usage: Usage = field(default_factory=Usage)
    spent_before: int = 0
    verdict: Verdict | None = None
    coverage: Coverage = "full"

    def add(self, answer: StreamedAnswer, *, with_tokens: bool = True) -> None:
        """Add an answer; its tokens only where no other record has them."""
        self.size += answer.size
        if with_tokens:
            self.usage.add(answer.usage)
        if self.verdict is None or _strength(answer.verdict) > _strength(self.verdict):
            self.verdict = answer.verdict
        if answer.coverage != "full":
            self.coverage = "partial"

    def finish(self) -> None:
        """Nothing is left to read."""


def _strength(verdict: Verdict) -> int:
    return STRENGTH.index(verdict.action)
