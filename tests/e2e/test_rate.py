"""More calls than a tenant may make: 429 in the provider's words, marked as ours, with the time to wait."""

import json

import pytest

from cli.processes import wait_until
from tests.support.house import PATIENCE, House, Tenant, message


@pytest.fixture
def limited(house: House) -> Tenant:
    return house.tenant(max_requests_per_minute=2)


def call(
    tenant: Tenant, url: str = "https://api.openai.com/v1/chat/completions"
) -> tuple[int, dict[str, str], dict[str, object]]:
    body = message("hello").decode()
    done = tenant.curl(
        "-i", "--http1.1", "-H", "content-type: application/json", "-d", body, url
    )
    head, _, said = done.stdout.rpartition("\n\n")
    lines = head.rsplit("\n\n", 1)[-1].split("\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, json.loads(said)


def test_the_call_too_many_is_told_when_to_come_back(
    house: House, limited: Tenant
) -> None:
    before = len(house.providers.heard)
    answers = [call(limited) for _ in range(4)]  # two, and the burst's third
    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    _, headers, body = answers[-1]
    assert (headers["x-earthflow-ratelimit"], "x-should-retry" in headers) == (
        "1",
        False,
    )
    assert 1 <= int(headers["retry-after"]) <= 30
    assert "may make 2 requests a minute" in json.dumps(body)
    assert len(house.providers.heard) == before + 3
    row = limited.audit(4)[0]
    assert (row["status"], row["reason"], row["completion"]["status"]) == (
        "BLOCK",
        "rate_limit",
        429,
    )
    # Anthropic's shape
    assert "type" in call(limited, "https://api.anthropic.com/v1/messages")[2]


def test_the_guides_way_out_works_at_once(house: House, limited: Tenant) -> None:
    while call(limited)[0] == 200:
        pass
    house.stack.control.patch(
        f"/v1/tenants/{limited.id}", {"max_requests_per_minute": 5000}
    )
    assert wait_until(lambda: call(limited)[0] == 200, PATIENCE)


def test_what_brings_no_prompt_is_not_counted(limited: Tenant) -> None:
    statuses = [
        limited.curl(
            "-o", "/dev/null", "-w", "%{http_code}", "https://api.openai.com/v1/models"
        ).stdout
        for _ in range(6)
    ]
    assert statuses == ["200"] * 6


def test_a_days_tokens_are_spent_and_then_no_more(house: House) -> None:
    tenant = house.tenant(max_tokens_per_day=30)  # each answer costs 16
    assert call(tenant)[0] == 200
    assert wait_until(lambda: call(tenant)[0] == 429, PATIENCE)
    _, headers, body = call(tenant)
    assert "may spend 30 tokens a day" in json.dumps(body)
    assert 1 <= int(headers["retry-after"]) <= 24 * 3600
    assert wait_until(
        lambda: house.stack.control.get(
            f"/v1/audit?tenant={tenant.id}&reason=token_budget"
        )["audit"],
        PATIENCE,
    )
    house.stack.control.patch(f"/v1/tenants/{tenant.id}", {"max_tokens_per_day": None})
    assert wait_until(lambda: call(tenant)[0] == 200, PATIENCE)


def test_what_is_in_no_protocol_that_we_read_is_counted_too(limited: Tenant) -> None:
    url = "https://generativelanguage.googleapis.com/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent"
    words = (
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "content-type: application/grpc",
        "-d",
        "x",
        url,
    )
    assert [limited.curl(*words).stdout for _ in range(5)].count("429") == 2
