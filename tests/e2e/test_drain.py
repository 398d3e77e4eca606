"""At the end readiness falls first, and whoever still comes is served; then no more is taken, and what is under way ends."""

import signal
from collections.abc import Iterator

import pytest

from cli.processes import wait_until
from tests.support.house import PATIENCE, House, curl, message


@pytest.fixture(scope="module")
def leaving() -> Iterator[House]:
    """An Earthflow whose programs give those in front of them ten minutes to notice."""
    with House({"EARTHFLOW_DRAIN_SECONDS": "600"}) as house:
        yield house
        for service in house.stack.services.values():
            for _ in range(2):  # the second ends the wait
                if service.process.poll() is None:
                    service.process.send_signal(signal.SIGTERM)


def ready(port: int) -> str:
    url = f"http://127.0.0.1:{port}/health/ready"
    return curl("-s", "-o", "/dev/null", "-w", "%{http_code}", url).stdout


@pytest.mark.parametrize("name", ["control", "proxy"])
def test_readiness_falls_first_and_calls_are_still_served(
    leaving: House, name: str
) -> None:
    service, caller = leaving.stack.services[name], leaving.tenant() if name == "control" else None  # fmt: skip
    assert wait_until(lambda: ready(service.port) == "200", PATIENCE)
    service.process.send_signal(signal.SIGTERM)
    assert wait_until(lambda: ready(service.port) == "503", PATIENCE)
    said = curl("-s", f"http://127.0.0.1:{service.port}/health/ready").stdout
    assert "asked to end" in said
    assert '"status":"OK"' in curl("-s", f"http://127.0.0.1:{service.port}/health").stdout  # fmt: skip
    if caller is not None:
        assert leaving.stack.control.get(f"/v1/tenants/{caller.id}")["id"] == caller.id
        assert caller.post(message("hello"))[0] == 200
        caller.audit(1)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(PATIENCE) == 0
    assert ready(service.port) == "000"
