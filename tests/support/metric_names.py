"""The metrics that there are: the fleet's by the table in docs/operating.md, which a test holds equal to what is served, and a proxy's own."""

import re
from functools import cache

from tests.support.module_map import ROOT

ROW = re.compile(r"^\| `(earthflow_\w+)` \|([^|]*)\|", re.MULTILINE)


@cache
def _table() -> dict[str, frozenset[str]]:
    text = (ROOT / "docs" / "operating.md").read_text().split("<!-- metrics -->")[1]
    return {
        re.sub(r"_total$", "", name): frozenset(re.findall(r"\w+", labels))
        for name, labels in ROW.findall(text)
    }


@cache
def metric_names() -> frozenset[str]:
    """All names, without endings such as `_total`."""
    own = (ROOT / "addons" / "status" / "metrics.py").read_text()
    found = re.findall(r'"(?:earthflow_)?([a-z_]+)"', own)
    return frozenset(_table()) | {f"earthflow_{name}" for name in found}


def labels_of(name: str) -> frozenset[str]:
    """The labels of one of the fleet's metrics; none of a proxy's own."""
    return _table().get(re.sub(r"_total$", "", name), frozenset())
