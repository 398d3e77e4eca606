"""Prometheus' own checker has nothing to say against our metrics."""

import subprocess

from tests.control.test_metrics import scrape
from tests.support.house import House, Tenant, curl, message


def check(metrics: str) -> tuple[int, str]:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_fleets_metrics(house: House, tenant: Tenant) -> None:
    tenant.post(message("hello"))
    tenant.audit(1)
    text = scrape(house)
    # by the guide, in a unit that Prometheus does not want
    named = "earthflow_latency_p99_ms"
    status, said = check(text)
    assert (status, {line.split()[0] for line in said.splitlines()}) == (3, {named})
    assert check(
        "".join(line for line in text.splitlines(keepends=True) if named not in line)
    ) == (0, "")


def test_a_proxys_metrics() -> None:
    with House({"EARTHFLOW_METRICS_PORT": "0", "EARTHFLOW_LOG_LEVEL": "INFO"}) as house:
        tenant = house.tenant()
        tenant.post(message("hello"))
        port = house.log.split("metrics on port ")[1].split()[0]
        assert check(curl("-sS", f"http://127.0.0.1:{port}/metrics").stdout) == (0, "")
