"""The suite itself: a run leaves nothing behind, however it ends, and fits the machine that it is on."""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from cli.processes import wait_until
from tests import conftest
from tests.support import shared
from tests.support.house import PATIENCE
from tests.test_tree import ROOT

# Start PostgreSQL and Valkey, in two workers, and take far longer than it takes to interrupt them.
SERVERS = (
    "tests/addons/test_outbox.py",
    "tests/addons/test_limits.py",
    "tests/control/test_webhooks.py",
)


def running(folder: Path) -> list[int]:
    """The processes that were started for a run: they have its folder in their environment."""
    mark = f"{shared.FOLDER_VARIABLE}={folder}\0".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue  # gone by now, or somebody else's
    return found


@contextmanager
def a_run(temporary: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A run of its own in two workers, once its servers are up; and its folder."""
    ours = ("EF_TEST_", "PYTEST_", "COVERAGE_")
    told = {
        name: value for name, value in os.environ.items() if not name.startswith(ours)
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        *SERVERS,
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=told | {"TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        # A shell starts what runs in its background deaf to SIGINT, and that would be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert wait_until(
            lambda: any(
                temporary.glob(f"{shared.PREFIX}*/ef-state-*/engines/valkey/pid")
            ),
            PATIENCE,
        )
        yield process, next(temporary.glob(f"{shared.PREFIX}*"))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_interrupted_leaves_nothing_running(
    number: signal.Signals,
) -> None:
    with conftest.temporary_state() as temporary:
        temporary.chmod(0o711)
        with a_run(temporary) as (process, folder):
            assert wait_until(lambda: len(running(folder)) > 3, PATIENCE)
            os.kill(process.pid, number)
            assert process.wait(PATIENCE) != 0
            assert wait_until(lambda: running(folder) == [], PATIENCE), running(folder)
        shared.sweep(temporary)  # as the next run does
        assert list(temporary.iterdir()) == []


def test_the_folder_of_a_run_that_is_under_way_is_left_alone(tmp_path: Path) -> None:
    for name in ("ef-run-held", "ef-run-left", "ef-run-new", "ef-run-old", "other"):
        (tmp_path / name / "engines").mkdir(parents=True)
    os.utime(tmp_path / "ef-run-old", (0, 0))
    (tmp_path / "ef-run-left" / "lock").touch()
    held = shared._locked(tmp_path / "ef-run-held")
    shared.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ef-run-held",
        "ef-run-new",
        "other",
    ]
    held.close()


@pytest.mark.parametrize(
    ("cores", "workers"), [(1, 1), (2, 2), (64, conftest.MOST_WORKERS)]
)
def test_a_run_has_as_many_workers_as_the_machine_has_cores_but_not_more_than_memory_allows(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert conftest.pytest_xdist_auto_num_workers() == workers


@pytest.mark.parametrize(
    ("profile", "wanted", "tried"),
    [("fast", 200, 20), ("ci", 200, 200), ("long", 200, 2000), ("fast", 4, 1)],
)
def test_a_profile_scales_what_is_tried(profile: str, wanted: int, tried: int) -> None:
    before = settings.get_current_profile_name()
    settings.load_profile(profile)
    try:
        assert (shared.scaled(wanted), shared.examples(wanted).max_examples) == (
            tried,
            tried,
        )
        assert shared.thorough() is (profile == "long")
    finally:
        settings.load_profile(before)


def test_every_bench_can_be_started() -> None:
    """No test runs a whole bench; but a name that a change took away is noticed here."""
    for path in sorted((ROOT / "bench").glob("*.py")):
        if path.stem not in (
            "__main__",
            "peers",
        ):  # peers needs what only `make peers` installs
            importlib.import_module(f"bench.{path.stem}")
