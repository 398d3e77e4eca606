"""A tenant's own layer may only tighten: whatever it says, no call gets through that would not without it.

It is made so where rules are assembled, and not only checked when the layer is written: so it holds whatever the operator's
files say later. An override of such a layer means *at least*, and a rule of it whose id somebody else has is passed over.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rules.complaint import Mark
from rules.model import History, Override, Redact, Restore, Rule, RuleFile, Threshold

# What a field may become, the weakest first. For `direction` the empty one is what the rule says of itself. `redact` is no step:
# a rule that redacts scores nothing in documents, where one that flags does.
ORDER: Mapping[str, Sequence[object]] = {
    "action": (None, "flag", "redact", "block"),
    "mode": ("off", "monitor", "enforce"),
    "direction": ("", "any"),
    "head": ("flag", "refuse", "always"),
}
OFFERED = {"action": ("block",), "restore": ("none",)}
OWN = "own"  # in placeholders, the kind of all rules of own layers
HISTORIES: Sequence[History] = ("ignore", "redact", "block")
RESTORES: Sequence[Restore] = ("all", "files", "text", "none")


def tightened(rule: Rule, override: Override, *, mode: bool = True) -> Rule:
    """The rule, with what of an override makes it demand more, in its `mode` too; the same rule where nothing does."""
    changes = dict(override.changes)
    if not mode:
        changes.pop("mode", None)
    # The less an `allow` applies, the more is demanded; unless it scores, too.
    if rule.action == "allow":
        if rule.score:
            return rule
        word = changes.get("mode", rule.mode)
        lower = _rank("mode", word) < _rank("mode", rule.mode)
        return replace(rule, mode=word) if lower else rule
    more: dict[str, Any] = {
        name: value
        for name, value in changes.items()
        if name in ORDER
        and value in OFFERED.get(name, (value,))
        and _rank(name, value) > _rank(name, getattr(rule, name))
    }
    # A rule that was idle could be the one by which a value comes back that another rule keeps.
    redacts = more.get("action", rule.action) == "redact"
    if redacts and (more or changes.get("restore") == "none"):
        more["restore"] = "none"
    return replace(rule, **more) if more else rule


def added(rules: Mapping[str, Rule], files: Sequence[RuleFile]) -> Iterator[Rule]:
    """The rules of own layers that nobody else has. What they redact does not come back; and their placeholders have no name of the
    tenant's choice, since what stands in a placeholder is no finding.
    """
    for file in files:
        for rule in file.rules:
            if rule.id not in rules and rule.action != "allow":
                said = rule.redact.placeholder
                for part in ("{rule}", "{type}"):
                    said = said.replace(part, OWN)
                yield replace(rule, restore="none", redact=Redact(said))


def stricter(before: Mapping[str, Threshold], file: RuleFile) -> Mapping[str, Threshold]:  # fmt: skip
    """The thresholds, each as low as either says."""
    after = dict(before)
    for name, own in file.thresholds:
        old = before.get(name)
        after[name] = own if old is None else replace(
            own, flag=_least(own.flag, old.flag), block=_least(own.block, old.block)
        )  # fmt: skip
    return after


def later[Word](order: Sequence[Word], one: Word, other: Word | None) -> Word:
    """The one of two words that demands more, of an order with the weakest first."""
    return one if other is None else max(one, other, key=order.index)


def loosening(file: RuleFile) -> Iterator[tuple[Mark, str]]:
    """What an own layer says that can have no effect, each with its position and why."""
    for _, at in file.extends:
        yield at, "a tenant's own layer extends nothing"
    for rule in file.rules:
        if rule.action == "allow":
            yield rule.at, f"rule `{rule.id}` allows, and a tenant's own layer only tightens"  # fmt: skip
        if rule.restore not in (None, "none"):
            yield rule.at, f"what rule `{rule.id}` of a tenant's own layer redacts is not restored"  # fmt: skip
    for override in file.overrides:
        for name, value in override.changes:
            if name == "except_":
                yield (
                    override.at,
                    f"override `{override.glob}` makes an exception, which does not tighten",
                )
                continue
            fits = value in OFFERED.get(name, ORDER.get(name, ()))
            if not fits:
                what = f"override `{override.glob}` says `{name}: {value}`"
                yield override.at, f"{what}, which does not tighten"


def _rank(name: str, value: object) -> int:
    order = ORDER[name]
    return order.index(value) if value in order else -1


def _least(one: int | None, other: int | None) -> int | None:
    return min((n for n in (one, other) if n is not None), default=None)
