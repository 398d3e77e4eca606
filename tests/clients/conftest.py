"""These need a Python of their own with every SDK in it, and npm's beside it; `make clients` makes both, runs them and writes what came
out into docs/providers.md.
"""

import json
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.clients import npm, sdks
from tests.clients.tools import TOOLS

collect_ignore_glob = [] if os.environ.get("EARTHFLOW_CLIENTS") else ["test_*.py"]

SDKS = [*sdks.SDKS, *npm.SDKS, *TOOLS]
STREAMS = {*sdks.STREAMS, *npm.STREAMS, *TOOLS}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "providers.md"
PACKAGES: dict[str, str] = json.loads(
    (Path(__file__).parent / "package.json").read_text()
)["dependencies"]
VERSIONS = dict(
    re.findall(
        r"^([\w-]+)==(\S+)$",
        (Path(__file__).parent / "requirements.txt").read_text(),
        re.MULTILINE,
    )
)
COLUMNS = {
    "allowed": "allowed, read in full",
    "arrive": "redacted",
    "block": "blocked: one request, reason shown",
    "passes": "stream allowed",
    "edited": "stream redacted",
    "stopped": "stream blocked: one request, reason shown",
}
outcomes: defaultdict[str, dict[str, str]] = defaultdict(dict)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what became of one SDK in one test."""
    found = re.search(
        rf"::test_\w*?_({'|'.join(COLUMNS)})_?\w*\[(.+)\]$", report.nodeid
    )
    if found and found[2] in SDKS and (report.when == "call" or report.failed):
        outcomes[found[2]][found[1]] = "yes" if report.passed else "no"


def pytest_sessionfinish() -> None:
    """Write the table, where every SDK was asked everything."""
    if set(outcomes) != set(SDKS) or any(
        len(asked) != (6 if sdk in STREAMS else 3) for sdk, asked in outcomes.items()
    ):
        return
    rows = [
        f"| {sdk} | {_version(sdk)} | {' | '.join(outcomes[sdk].get(asked, 'n/a') for asked in COLUMNS)} |"
        for sdk in SDKS
    ]
    table = "\n".join(
        [
            f"| client | version | {' | '.join(COLUMNS.values())} |",
            "|---" * (len(COLUMNS) + 2) + "|",
            *rows,
        ]
    )
    text = DOCUMENT.read_text()
    marks = r"(<!-- clients -->\n).*?(<!-- end clients -->)"
    DOCUMENT.write_text(
        re.sub(
            marks, lambda found: f"{found[1]}{table}\n{found[2]}", text, flags=re.DOTALL
        )
    )


def _version(sdk: str) -> str:
    if sdk in npm.SDKS or sdk in TOOLS:
        return PACKAGES[TOOLS[sdk].package if sdk in TOOLS else sdk.split()[0]]
    return next(
        (version for name, version in VERSIONS.items() if name in (sdk, *sdk.split())),
        "",
    )
