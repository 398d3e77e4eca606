"""`make coverage`: run the tests, in all processes that they start, and hold each package to its floor."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

# Per cent of lines, a point below what was measured, since random tests differ from run to run; raise them when that rises.
FLOORS = {"addons": 95, "cli": 91, "contract": 97, "control": 95, "rules": 94}
SHOWN = 10  # files with the most lines that no test runs
PYTEST = ("-m", "pytest", "-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")


def coverage(*words: str | Path, folder: Path) -> int:
    """Run coverage on data in a folder; its exit status."""
    told = {
        **os.environ,
        "COVERAGE_FILE": str(folder / "data"),
        "COVERAGE_CORE": "sysmon",
    }
    return subprocess.run(
        [sys.executable, "-m", "coverage", *words], env=told, check=False
    ).returncode


def main() -> int:
    """0 where the tests pass and no package is below its floor."""
    with tempfile.TemporaryDirectory(prefix="ef-coverage-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        failed = coverage("run", *PYTEST, *sys.argv[1:], folder=folder)
        coverage("combine", "-q", folder, folder=folder)
        if coverage("json", "-q", "-o", folder / "report.json", folder=folder):
            return 1  # it has said why
        files = json.loads((folder / "report.json").read_text())["files"]
    lines: Counter[str] = Counter()
    run: Counter[str] = Counter()
    for path, told in files.items():
        package = path.split("/")[0]
        lines[package] += told["summary"]["num_statements"]
        run[package] += told["summary"]["covered_lines"]
    for package, floor in FLOORS.items():
        share = 100 * run[package] / max(1, lines[package])
        verdict = "" if share >= floor else f"   below its floor of {floor}"
        print(f"{package:<9} {share:5.1f} % of {lines[package]} lines{verdict}")
        failed = failed or bool(verdict)
    missing = sorted(
        files, key=lambda path: -int(files[path]["summary"]["missing_lines"])
    )[:SHOWN]
    print(
        "most lines that no test runs: "
        + ", ".join(
            f"{path} {files[path]['summary']['missing_lines']}" for path in missing
        )
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
