"""What a call costs a proxy: Earthflow by its rules, stock mitmdump and bare mitmproxy, side by side. docs/performance.md."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import peer_proxies
from bench.contest import ROWS
from bench.entrants import BARE, Entrants, Taken, load, measured
from rules.load import Library
from rules.sources import shipped

ROUNDS = 5
FIGURES = Path(__file__).resolve().parent.parent / "docs" / "performance.json"
MANY = 1_000  # rules
NO_RULES, DEFAULT, STRICT, THOUSAND = "no rules", "default", "strict", "1,000 rules"
OURS = (BARE, "stock mitmdump", NO_RULES, DEFAULT, STRICT, THOUSAND)
OTHERS = (DEFAULT, "direct", "squid", "secretgate", "LiteLLM", "Portkey")
NONE = "–"  # a contestant that cannot do this

Figures = dict[str, dict[str, list[float]]]  # by row and name: minimum, median, maximum


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
    entrants.direct()
    entrants.bare()
    entrants.stock()
    entrants.tenant(NO_RULES, id="bench-none")
    entrants.tenant(DEFAULT)
    entrants.tenant(STRICT, rules_preset="strict")
    entrants.tenant(THOUSAND, id="bench-many")
    peer_proxies.enter_all(entrants)


def run() -> tuple[str, Taken]:
    """The load before it began, and what each took."""
    before = load()
    return before, measured(enter, ROWS, ROUNDS, RULES)


def ratios(taken: Taken) -> Figures:
    """By row and name: minimum, median and maximum × bare mitmproxy, and of that its milliseconds."""
    found: Figures = {}
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


def keep(when: str, before: str, found: Figures) -> None:
    """Write the figures as JSON."""
    told = {"measured": when, "load": before, "rounds": ROUNDS, "rows": found}
    FIGURES.write_text(json.dumps(told, indent=1) + "\n")


def tables(found: Figures) -> Iterator[tuple[Sequence[str], list[Sequence[str]]]]:
    """Columns and rows of two tables: Earthflow by its rules, and beside others."""
    measured = {name for of_row in found.values() for name in of_row}
    for group in (OURS, OTHERS):
        names = [name for name in group if name in measured]
        heads = [f"{name}, ms" if name == BARE else f"{name}, ×" for name in names]
        rows = [(row, *(_cell(of_row.get(name)) for name in names)) for row, of_row in found.items()]  # fmt: skip
        yield ("CPU of the proxy", *heads), rows


def _cell(three: Sequence[float] | None) -> str:
    return NONE if three is None else " / ".join(f"{one:g}" for one in three)
