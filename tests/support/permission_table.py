"""`python -m tests.support.permission_table` writes the table of docs/operating.md: which role has which permission, and for what it is."""

from control.permissions import PERMISSIONS, ROLES
from tests.support.module_map import ROOT

DOCUMENT = ROOT / "docs" / "operating.md"
BEGIN, END = "<!-- permissions -->\n", "<!-- end permissions -->"
LEAST = ("admin",)  # has all


def table() -> str:
    """Markdown."""
    roles = [role for role in ROLES if role not in LEAST]
    lines = [
        f"| permission | to | {' | '.join(roles)} |",
        "|---" * (len(roles) + 2) + "|",
    ]
    for name, one in PERMISSIONS.items():
        marks = " | ".join("x" if role in one.roles else "" for role in roles)
        whole = "; of all tenants together" if one.whole else ""
        lines.append(f"| `{name}` | {one.what}{whole} | {marks} |")
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """The document with the table."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
