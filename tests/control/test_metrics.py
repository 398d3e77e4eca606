"""The fleet's metrics: the guide's names, counts that equal the audit, and nothing that must not be told."""

import re
from pathlib import Path

import pytest
import redis

from cli.processes import wait_until
from tests.control.test_api import admin
from tests.support.house import AWS_KEY, PATIENCE, House, Tenant, curl, message

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (
    "earthflow_block_rate",
    "earthflow_error_rate",
    "earthflow_latency_p99_ms",
    "earthflow_rule_violations_total",
)


def scrape(house: House, *words: str) -> str:
    return curl(
        "-sS",
        f"{house.stack.control.url}/v1/dashboard/metrics",
        *(words or admin(house)),
    ).stdout


def value(text: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_counts_equal_the_audit_and_bear_the_guides_names(
    house: House, tenant: Tenant
) -> None:
    for _ in range(3):
        tenant.post(message(f"my key is {AWS_KEY}"))
    tenant.audit(3)
    text = scrape(house)
    assert (
        value(
            text,
            f'earthflow_decisions_total{{action="REDACT",reason="policy",tenant="{tenant.id}"}}',
        )
        == 3
    )
    assert (
        value(
            text,
            f'earthflow_rule_violations_total{{action="REDACT",rule="credentials.aws-access-key",tenant="{tenant.id}"}}',
        )
        == 3
    )
    assert (
        value(text, f'earthflow_requests_total{{outcome="ok",tenant="{tenant.id}"}}')
        == 3
    )
    assert (
        value(text, f'earthflow_tokens_total{{direction="input",tenant="{tenant.id}"}}')
        == 33
    )
    assert [name for name in GUIDE if f"\n{name}" not in text] == []
    assert 0 < value(text, "earthflow_latency_p99_ms") < 10_000
    assert AWS_KEY not in text
    assert tenant.key not in text


def test_it_is_for_the_admin_by_either_header_and_by_the_proxys_port(
    house: House, tenant: Tenant
) -> None:
    key = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    assert "earthflow_build_info" in scrape(house, "-H", f"Authorization: Bearer {key}")
    assert "unauthorized" in scrape(house, "-H", "X-API-Key: wrong")
    assert "forbidden" in scrape(house, "-H", f"X-API-Key: {tenant.key}")
    relayed = curl(
        "-sS", house.url("/v1/dashboard/metrics"), "-H", f"Authorization: Bearer {key}"
    )
    assert "earthflow_decisions_total" in relayed.stdout


def test_what_is_stored_twice_is_counted_once(house: House, tenant: Tenant) -> None:
    """Redis forgets all it had: proxies send again what they are not sure of."""
    tenant.post(message("hello"))
    tenant.audit(1)
    series = f'earthflow_decisions_total{{action="ALLOW",reason="policy",tenant="{tenant.id}"}}'
    assert value(scrape(house), series) == 1
    engines = house.stack.engines
    assert engines is not None
    redis.Redis.from_url(engines.redis_url).flushall()
    tenant.post(message("again"))
    tenant.audit(2)
    assert wait_until(lambda: value(scrape(house), series) == 2, PATIENCE)


@pytest.mark.parametrize("line", ["# HELP", "# TYPE"])
def test_every_metric_says_what_it_is(house: House, line: str) -> None:
    text = scrape(house)
    names = {
        re.split(r"[{ ]", one)[0].removesuffix("_total").removesuffix("_created")
        for one in text.splitlines()
        if not one.startswith("#")
    }
    told = {
        one.split(" ")[2].removesuffix("_total")
        for one in text.splitlines()
        if one.startswith(line)
    }
    assert names <= told


def test_the_document_lists_all_of_them_and_no_other(
    house: House, tenant: Tenant
) -> None:
    tenant.post(message(f"my key is {AWS_KEY}"))
    tenant.audit(1)
    text = scrape(house)
    table = (
        (ROOT / "docs" / "operating.md")
        .read_text()
        .split("<!-- metrics -->")[1]
        .split("<!-- end metrics -->")[0]
    )
    written = {
        name: (labels, help)
        for name, labels, help in re.findall(
            r"^\| `(\w+)` \| (.*?) ?\| (.*) \|$", table, re.MULTILINE
        )
    }
    told = {}
    for name, help in re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE):
        series = re.search(rf"^{name}(?:\{{(.*)\}})? ", text, re.MULTILINE)
        assert series, name
        told[name] = (sorted(re.findall(r'(\w+)="', series[1] or "")), help)
    assert {
        name: (sorted(labels.split(", ")) if labels else [], help)
        for name, (labels, help) in written.items()
    } == told
