"""The outcome of judging an exchange: what to do with it, which rules fired, and the edits."""

from dataclasses import dataclass
from typing import Literal

from rules.redact import Edit
from rules.rulebook import CompiledRule
from rules.scan import Finding

Outcome = Literal["ALLOW", "FLAG", "REDACT", "BLOCK"]


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule that fired, with its findings; none where the context of the call alone
    decided.
    """

    rule: CompiledRule
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an exchange.

    `by` is the rule that decided a BLOCK. `would`: the action if monitored rules were
    enforced, where it differs. `unreadable` are the exchange's own reasons, and those
    found while judging. `restore` are pairs of a placeholder and its original.
    """

    action: Outcome
    fired: tuple[Fired, ...] = ()
    edits: tuple[Edit, ...] = ()
    by: CompiledRule | None = None
    would: Outcome | None = None
    unreadable: tuple[str, ...] = ()
    restore: tuple[tuple[str, str], ...] = ()
