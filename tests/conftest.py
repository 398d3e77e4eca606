"""Fixtures that many levels share."""

from collections.abc import Iterator

import pytest

from tests.support.house import House, Tenant


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """One Earthflow for all tests that leave it as they found it."""
    with House() as running:
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
