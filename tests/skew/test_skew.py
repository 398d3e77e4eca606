"""A proxy and a control of neighbouring versions, as processes, both ways: calls are judged and recorded, keys come and go."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.processes import wait_until
from cli.stack import PROGRAMS
from tests.support.house import PATIENCE, RESTRICTED, House, message

PACKAGES = {"proxy": "addons", "control": "control"}
OTHER = os.environ["EARTHFLOW_OTHER"]


@pytest.fixture(params=["proxy", "control"])
def mixed(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house in which one service is of the other version."""
    program = (
        "env",
        f"PYTHONPATH={OTHER}",
        sys.executable,
        "-P",
        *PROGRAMS[request.param][1:],
    )
    where = f"import {PACKAGES[request.param]} as p; print(p.__file__)"
    found = subprocess.run(
        [*program[:4], "-c", where], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(OTHER), found.stdout
    with House(programs={request.param: program}) as house:
        yield house


def test_calls_are_judged_and_recorded_and_a_key_that_is_revoked_ends(
    mixed: House,
) -> None:
    tenant = mixed.tenant()
    assert tenant.post(message("hello"))[0] == 200
    assert tenant.post(message(RESTRICTED))[0] == 400
    assert [row["status"] for row in tenant.audit(2)] == ["BLOCK", "ALLOW"]
    assert mixed.ready()["status"] == "OK"
    mixed.stack.control.delete(f"/v1/tenants/{tenant.id}")
    assert wait_until(lambda: tenant.connect_status() == 407, PATIENCE)
