"""The shape of the tree: who may import whom, which library lives where, and names that would shadow others."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ARROWS = {
    "rules": set(),
    "contract": set(),
    "addons": {"rules", "contract"},
    "control": {"rules", "contract"},
    "cli": {"rules", "contract"},
}
PACKAGES = sorted(ARROWS)
TOP_LEVEL = {
    "addons", "control", "cli", "rules", "contract", "tests", "deploy", "bench", "docs", "mitm.conf", "Dockerfile", "compose.yaml",
    ".env.example", "pyproject.toml", "README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "Makefile", ".python-version", ".ci", ".github",
    "requirements.txt", "requirements-local.txt", "requirements-build.txt", "requirements-dev.txt",
    ".gitignore", ".git-blame-ignore-revs", ".dockerignore", ".editorconfig", ".pre-commit-config.yaml", ".squawk.toml",
}  # fmt: skip
# bytes of a tracked file: what is larger is data, and made or fetched when it is needed
LARGEST = 1_000_000
# Paths of some machine; in texts that rules are tried on, people are called ana and me.
MACHINE = re.compile(
    r"(?<![\w.~-])/(?:(?:home|Users)/(?!ana\b|me\b|\$)\w|root/|work/|workspace/)"
)
# Where each library may be imported; everywhere else takes bytes, strings and dataclasses.
HOMES = {
    "mitmproxy": r"addons/(earthflow|run|mitm/\w+)\.py",
    "wsproto": r"addons/mitm/websocket\.py",
    "h11": r"addons/mitm/http1\.py",
    "OpenSSL": r"addons/mitm/certificates\.py",
    "psycopg": r"control/store/\w+\.py|control/settings\.py|control/(errors|health)\.py|control/jobs/\w+\.py",
    "psycopg_pool": r"control/store/\w+\.py|control/(errors|health)\.py|control/jobs/\w+\.py",
    "redis": r"contract/redis_(faults|client)\.py|addons/(services|tenants/(rate_limit|remembered)|record/outbox)\.py|control/(__main__|state|sessions|redis_queue|record_streams)\.py|control/jobs/\w+\.py",
    "re2": r"rules/(patterns|re2_engine)\.py",
    "hyperscan": r"rules/hyperscan_engine\.py",
    "stdnum": r"rules/validators\.py",
    "phonenumbers": r"rules/validators\.py",
    "yaml": r"rules/source/\w+\.py|addons/mitm/options\.py|contract/(providers|tenant_file)\.py",
    "multipart": r"addons/providers/form\.py",
    "prometheus_client": r"addons/status/metrics\.py|control/metrics\.py",
    "jinja2": r"control/dashboard/render\.py",
    "markupsafe": r"control/dashboard/(render|charts)\.py|control/api/pages\.py|control/openapi\.py",
    "typer": r"cli/(\w+/)?\w+\.py",
}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60  # lines
MOST_SIBLINGS, MOST_LEVELS = (
    18,
    12,
)  # of addons/: modules and folders, and imports on top of one another
SQL = re.compile(
    r"\b(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE)\b"
)


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    paths = (
        path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
    )
    return tuple(
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text()))
        for path in paths
    )


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "packages are imported by their full name"
            yield node.module or ""


def tracked() -> list[tuple[str, str]]:
    """Mode and path of every file that git tracks, or would with the next `git add`."""
    command = [
        "git",
        "ls-files",
        "-z",
        "--stage",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    found = [line.rpartition("\t")[::2] for line in listed if line]
    return [
        (mode.split(" ")[0], path)
        for mode, path in found
        if (ROOT / path).exists() or (ROOT / path).is_symlink()
    ]


def test_the_top_level_is_what_the_design_says() -> None:
    here = {path.split("/")[0] for _, path in tracked()}
    assert here <= TOP_LEVEL, here - TOP_LEVEL


def test_no_tracked_file_is_a_link() -> None:
    """A link may lead to a folder that somebody else owns, and `make` runs what it finds there."""
    assert [
        path
        for mode, path in tracked()
        if mode == "120000" or (ROOT / path).is_symlink()
    ] == []


def test_no_tracked_file_is_large() -> None:
    assert [
        path for _, path in tracked() if (ROOT / path).stat().st_size > LARGEST
    ] == []


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    texts = {
        path: (ROOT / path).read_bytes().decode("utf-8", "replace")
        for _, path in tracked()
    }
    found = [
        f"{path}: {hit[0]}"
        for path, text in texts.items()
        # Rules on commands name the places of any machine.
        if path not in ("tests/test_tree.py", "rules/packs/tools.yaml")
        for hit in MACHINE.finditer(text)
    ]
    assert found == []


def test_no_tracked_file_names_the_host_of_a_package_index() -> None:
    hosts = re.compile(
        r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org)\b"
    )
    texts = {
        path: (ROOT / path).read_bytes().decode("utf-8", "replace")
        for _, path in tracked()
    }
    assert [
        path
        for path, text in texts.items()
        if path != "tests/test_tree.py" and hosts.search(text)
    ] == []


def test_every_arrow_points_the_right_way() -> None:
    wrong = []
    for name, tree in modules():
        package = name.split("/")[0]
        for wanted in imports(tree):
            other = wanted.split(".")[0]
            if other in ARROWS and other != package and other not in ARROWS[package]:
                wrong.append(f"{name} imports {wanted}")
    assert wrong == []


def test_api_and_jobs_do_not_know_each_other() -> None:
    wrong = [
        f"{name} imports {wanted}"
        for name, tree in modules()
        for wanted in imports(tree)
        if (name.startswith("control/api/") and wanted.startswith("control.jobs"))
        or (name.startswith("control/jobs/") and wanted.startswith("control.api"))
        or (
            name.startswith("control/store/")
            and wanted.startswith(("control.api", "control.jobs"))
        )
    ]
    assert wrong == []


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_where_it_belongs(library: str) -> None:
    wrong = [
        name
        for name, tree in modules()
        if any(one.split(".")[0] == library for one in imports(tree))
        and not re.fullmatch(HOMES[library], name)
    ]
    assert wrong == []


def test_the_environment_is_read_in_settings_alone() -> None:
    wrong = [
        name
        for name, tree in modules()
        if "os.environ" in ast.unparse(tree) and not name.endswith("settings.py")
    ]
    assert wrong == []


def test_sql_stands_in_the_store_alone() -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SQL.search(node.value)
        and not name.startswith("control/store/")
    ]
    assert wrong == []


def test_nobody_imports_the_script_of_mitmdump() -> None:
    assert [
        name for name, tree in modules() if "addons.earthflow" in set(imports(tree))
    ] == []


def test_no_file_of_addons_bears_the_name_of_a_library() -> None:
    """mitmdump puts the script's folder on sys.path for good."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    ours = {
        path.stem
        for path in (ROOT / "addons").iterdir()
        if path.suffix == ".py" or path.is_dir()
    } - {
        "__init__",
        "__pycache__",
    }
    assert ours & taken - {"earthflow"} == set()


def test_our_packages_bear_no_name_of_an_installed_library() -> None:
    others = {
        name
        for name, owners in packages_distributions().items()
        if set(owners) != {"earthflow"}
    }
    assert set(PACKAGES) & others == set()


def test_every_module_opens_with_what_it_is_for() -> None:
    assert [name for name, tree in modules() if not ast.get_docstring(tree)] == []


def test_every_public_function_and_class_says_what_it_is() -> None:
    silent = [
        f"{name}: {node.name}"
        for name, tree in modules()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def graph(package: str) -> dict[str, set[str]]:
    """Who imports whom inside a package, by dotted name."""
    names = {
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): tree
        for name, tree in modules()
        if name.startswith(f"{package}/")
    }
    found: dict[str, set[str]] = {}
    for name, tree in names.items():
        wanted = set(imports(tree))
        wanted |= {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        found[name] = (wanted & set(names)) - {name, package}
    return found


def levels(edges: dict[str, set[str]]) -> dict[str, int]:
    """How many modules stand on top of one another under each. Raises where imports form a circle."""
    known: dict[str, int] = {}

    def level(name: str, above: tuple[str, ...]) -> int:
        assert name not in above, " imports ".join((*above, name))
        if name not in known:
            under = (level(other, (*above, name)) for other in edges[name])
            known[name] = 1 + max(under, default=0)
        return known[name]

    for name in edges:
        level(name, ())
    return known


def folder_of(name: str) -> str:
    """`addons.calls.judge` -> `calls`; a module beside the folders is a room of its own."""
    return name.split(".")[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_runs_in_a_circle(package: str) -> None:
    assert levels(graph(package))


def test_the_folders_of_addons_stand_on_one_another_without_a_circle() -> None:
    """A folder may import from those below it: then it can be understood, and moved, with them alone."""
    edges: dict[str, set[str]] = {}
    for name, wanted in graph("addons").items():
        if name == "addons":
            continue
        others = {folder_of(other) for other in wanted} - {folder_of(name)}
        edges.setdefault(folder_of(name), set()).update(others)
    assert levels(edges)
    assert len(edges) <= MOST_SIBLINGS, sorted(edges)


def test_a_change_in_the_depths_of_addons_does_not_reach_far() -> None:
    deepest = max(levels(graph("addons")).items(), key=lambda item: item[1])
    assert deepest[1] <= MOST_LEVELS, deepest


def test_a_circle_of_imports_is_found() -> None:
    with pytest.raises(AssertionError, match=r"a imports b imports c imports a"):
        levels({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_no_file_and_no_function_is_too_long_to_be_read_at_once() -> None:
    long = [name for name, _ in modules() if lines_of(name) > LONGEST_FILE]
    long += [
        f"{name}: {node.name}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def lines_of(name: str) -> int:
    return len((ROOT / name).read_text().splitlines())


def test_pythons_regex_parser_is_read_in_one_place() -> None:
    """It is private, and two readers of it would differ."""
    private = [
        name
        for name, tree in modules()
        if any(
            isinstance(node, ast.ImportFrom)
            and node.module == "re"
            and any(alias.name.startswith("_") for alias in node.names)
            for node in ast.walk(tree)
        )
    ]
    assert private == ["rules/regex_tree.py"]
