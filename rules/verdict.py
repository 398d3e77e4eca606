"""The outcome of judging an exchange: what to do with it, which rules fired, and the edits."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from rules.exchange import Kind, Role
from rules.model import Restore
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


class Restorable(NamedTuple):
    """A value that a placeholder replaced, and where an answer may get it back."""

    placeholder: str
    value: str
    where: Restore


class Found(NamedTuple):
    """Where a finding stands: the number of its part, and the characters there.

    `placeholder` replaced it. `why` tells what else than the rule decided what became of
    it: monitor, head, signed, history, decoded (it stood there encoded) or elsewhere (found
    as the value of another finding).
    """

    rule: str
    part: int
    role: Role
    kind: Kind
    tool: str
    offset: int
    length: int
    placeholder: str
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an exchange.

    `by` is the rule that decided a BLOCK. `would`: the action if monitored rules were
    enforced, where it differs; `would_strict` the one under the preset `strict`. `unreadable`
    are the exchange's own reasons, and those found while judging. `restore` are the
    values that an answer may get back. `restored` counts what an answer got back. `found` are the first findings. `refusing` are the parts
    for whose text it blocks, and `signed` those with findings that their signature keeps
    from being edited.
    """

    action: Outcome
    fired: tuple[Fired, ...] = ()
    edits: tuple[Edit, ...] = ()
    by: CompiledRule | None = None
    would: Outcome | None = None
    would_strict: Outcome | None = None
    unreadable: tuple[str, ...] = ()
    restore: tuple[Restorable, ...] = ()
    restored: int = 0
    found: tuple[Found, ...] = ()
    refusing: tuple[int, ...] = ()
    signed: tuple[int, ...] = ()
