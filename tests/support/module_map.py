"""docs/map.md: one line for every module, made of its docstring. `python -m tests.support.module_map` writes it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "addons": "the proxy",
    "rules": "what judges; pure",
    "contract": "what proxy and control share",
    "control": "the control service",
    "cli": "the command",
}


def purpose(path: Path) -> str:
    """The first sentence, or line, of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return first.replace("|", "\\|")


def document() -> str:
    """The whole map."""
    lines = [
        "# Map of the modules",
        "",
        "One line for every module, from its docstring: `python -m tests.support.module_map` writes this file, and a test compares it.",
    ]
    for package, what in PACKAGES.items():
        lines += ["", f"## {package}: {what}", "", "| module | is for |", "|---|---|"]
        for path in sorted((ROOT / package).rglob("*.py"), key=order):
            name = path.relative_to(ROOT).as_posix()
            shown = (
                f"**{path.parent.relative_to(ROOT).as_posix()}/**"
                if path.name == "__init__.py"
                else f"`{name}`"
            )
            lines.append(f"| {shown} | {purpose(path)} |")
    return "\n".join(lines) + "\n"


def order(path: Path) -> tuple[str, bool, str]:
    """A folder before its modules, modules of a folder together."""
    return path.parent.as_posix(), path.name != "__init__.py", path.name


if __name__ == "__main__":
    (ROOT / "docs" / "map.md").write_text(document())
