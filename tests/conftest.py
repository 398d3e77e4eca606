"""Fixtures that many levels share."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.engines import Engines
from cli.settings import settings_of
from tests.support.house import House, Tenant


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
    with temporary_state() as folder, Engines(settings_of(folder)) as running:
        yield running


@pytest.fixture
def tenant(house: House) -> Tenant:
    """A tenant of one's own, so that its audit holds this test's calls only."""
    return house.tenant()


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
