"""Fixtures that many levels share, and how a run is spread over the machine's cores."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from cli.engines import Engines
from cli.processes import end_with_parent
from cli.settings import settings_of
from tests.support import shared
from tests.support.house import FORGETFUL, House, Tenant

MOST_WORKERS = 4  # each has an Earthflow of its own, of some 700 MB
SLOWEST_FIRST = (
    "tests/e2e",
    "tests/control",
    "tests/netns",
    "tests/tools",
    "tests/clients",
    "tests/addons",
    "tests/properties",
)
BEGAN = time.monotonic()

# Only `long` looks for examples that nobody has seen. Elsewhere a tree has the same ones in
# every run, as Hypothesis has them in CI: a red run is then about the change.
for name, percent in shared.PROFILES.items():
    settings.register_profile(
        name,
        max_examples=percent,
        deadline=None,
        print_blob=True,
        derandomize=name != "long",
    )
settings.load_profile("ci")  # unless --hypothesis-profile names another


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """One Earthflow for all tests that leave it as they found it."""
    with House() as running:
        yield running


@contextmanager
def temporary_state() -> Iterator[Path]:
    """A state folder as `mktemp -d` makes it. Not pytest's own, whose parents are closed: as root, data would go elsewhere and stay."""
    folder = Path(tempfile.mkdtemp(prefix="ef-state-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """A state folder of one's own."""
    with temporary_state() as folder:
        yield folder


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """PostgreSQL and Valkey for tests that need no more."""
    with (
        temporary_state() as folder,
        Engines(settings_of(folder), FORGETFUL) as running,
    ):
        yield running


@pytest.fixture
def tenant(house: House) -> Tenant:
    """A tenant of one's own, so that its audit holds this test's calls only."""
    return house.tenant()


# -- the run ----------------------------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers for `-n auto`."""
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def pytest_configure(config: pytest.Config) -> None:
    """A worker ends with the run, however that ends."""
    if (
        hasattr(config, "workerinput")
        and (arrange := end_with_parent(signal.SIGTERM, os.getppid())) is not None
    ):
        arrange()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first."""
    places = {folder: place for place, folder in enumerate(SLOWEST_FIRST)}
    items.sort(
        key=lambda item: places.get("/".join(item.nodeid.split("/")[:2]), len(places))
    )


skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what did not run."""
    if report.skipped:
        skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that did not run has shown nothing: a skip is a failure."""
    if skipped:
        print(f"\nskipped, which counts as failed: {', '.join(skipped)}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the run took, and how busy the machine was besides."""
    spent = os.times()
    processor = spent.user + spent.system + spent.children_user + spent.children_system
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    terminalreporter.write_line(
        f"{time.monotonic() - BEGAN:.0f} s, of processors {processor:.0f} s; load {load}"
    )
