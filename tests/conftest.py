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
