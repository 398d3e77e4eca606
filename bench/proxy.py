"""What a call costs a proxy: Earthflow by its rules, stock mitmdump and bare mitmproxy, side by side. docs/performance.md."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.contest import ROWS
from bench.entrants import BARE, Entrants, Taken, load, measured
from rules.load import Library
from rules.sources import shipped

ROUNDS = 7
FIGURES = Path(__file__).resolve().parent.parent / "docs" / "performance.json"
MANY = 1_000  # rules
NO_RULES, DEFAULT, STRICT, THOUSAND = "no rules", "default", "strict", "1,000 rules"


def thousand() -> str:
    """A tenant's own rules in the shipped style: with those of the preset they are MANY."""
    count = MANY - len(Library(shipped()).rulebook("default").rules)
    lines = ["earthflow: 1", "rules:"]
    for number in range(count):
        lines.append(f"  - id: bench.vendor{number}\n    message: A key of vendor {number}\n    action: redact\n    match: {{regex: '\\bvnd{number}_[0-9A-Za-z]{{32}}\\b'}}")  # fmt: skip
    return "\n".join(lines) + "\n"


RULES = {
    "tenants/bench-none.yaml": 'earthflow: 1\noverrides: {"*": {mode: "off"}}\n',
    "tenants/bench-many.yaml": thousand(),
}


def enter(entrants: Entrants) -> None:
    """All of them."""
    entrants.bare()
    entrants.stock()
    entrants.tenant(NO_RULES, id="bench-none")
    entrants.tenant(DEFAULT)
    entrants.tenant(STRICT, rules_preset="strict")
    entrants.tenant(THOUSAND, id="bench-many")


def run() -> tuple[str, Taken]:
    """The load before it began, and what each took."""
    before = load()
    return before, measured(enter, ROWS, ROUNDS, RULES)


def ratios(taken: Taken) -> dict[str, dict[str, list[float]]]:
    """By row and name: minimum, median and maximum × bare mitmproxy, and of that its milliseconds."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, of_row in taken.items():
        bare = of_row[BARE]
        found[name] = {BARE: _three(bare, 3)}
        for who, values in of_row.items():
            if who != BARE:
                pairs = zip(values, bare, strict=True)
                found[name][who] = _three([one / other for one, other in pairs], 2)
    return found


def _three(values: Sequence[float], digits: int) -> list[float]:
    ordered = sorted(values)
    three = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    return [round(one, digits) for one in three]


def keep(when: str, before: str, found: dict[str, dict[str, list[float]]]) -> None:
    """Write the figures as JSON."""
    told = {"measured": when, "load": before, "rounds": ROUNDS, "rows": found}
    FIGURES.write_text(json.dumps(told, indent=1) + "\n")


def rows(found: dict[str, dict[str, list[float]]]) -> Iterator[Sequence[str]]:
    """Rows of the table."""
    for name, of_row in found.items():
        yield name, *(" / ".join(f"{one:g}" for one in three) for three in of_row.values())  # fmt: skip


def columns(found: dict[str, dict[str, list[float]]]) -> Sequence[str]:
    """Its columns."""
    first = next(iter(found.values()))
    return "CPU of the proxy", f"{BARE}, ms", *(f"{name}, ×" for name in first if name != BARE)  # fmt: skip
