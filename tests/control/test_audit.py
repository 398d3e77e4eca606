"""The audit by HTTP: found by whatever a record says, page by page, and counted."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.control.test_api import admin, ask
from tests.support.house import AWS_KEY, RESTRICTED, House, Tenant, message

PRIVATE = RESTRICTED


@pytest.fixture(scope="module")
def caller(house: House) -> Tenant:
    """A tenant that has said five things."""
    tenant = house.tenant()
    for text in ("hello", f"my key is {AWS_KEY}", PRIVATE, "again"):
        tenant.post(message(text))
    tenant.post(
        message("hi", model="claude"), url="https://api.anthropic.com/v1/messages"
    )
    tenant.audit(5)
    return tenant


def found(house: House, tenant: Tenant, query: str = "") -> list[dict[str, Any]]:
    status, body = ask(house, f"/v1/audit?tenant={tenant.id}{query}", *admin(house))
    assert status == 200, body
    rows: list[dict[str, Any]] = body["audit"]
    return rows


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 5), ("&status=BLOCK", 1), ("&status=REDACT", 1), ("&rule=credentials.aws-access-key", 1), ("&rule=confidential.tlp-red", 1), ("&rule=none", 0),
        ("&provider=anthropic", 1), ("&provider=openai", 4), ("&host=api.openai.com", 4), ("&model=claude", 1), ("&reason=policy", 5), ("&reason=too_large", 0),
        ("&outcome=refused", 1), ("&outcome=ok", 4), ("&text=tlp", 1), ("&text=aws-access", 1), ("&from=2020-01-01T00:00:00Z", 5), ("&to=2020-01-01T00:00:00Z", 0),
        ("&from=2999-01-01", 0), ("&provider=openai&status=ALLOW&from=2020-01-01&to=2999-01-01", 2),
    ],
)  # fmt: skip
def test_exchanges_are_found_by_what_their_records_say(
    house: House, caller: Tenant, query: str, count: int
) -> None:
    assert len(found(house, caller, query)) == count


def test_pages_follow_one_another_without_a_gap(house: House, caller: Tenant) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        _, body = ask(
            house, f"/v1/audit?tenant={caller.id}&limit=2{cursor}", *admin(house)
        )
        seen += [row["id"] for row in body["audit"]]
        if body["next"] is None:
            break
        cursor = f"&cursor={quote(body['next'])}"
    assert seen == [row["id"] for row in found(house, caller)]


def test_the_guides_question_after_a_high_block_rate_is_answered(
    house: House, caller: Tenant
) -> None:
    status, body = ask(
        house,
        "/v1/audit/stats?from=2025-02-01T00:00:00Z",
        "-H",
        f"X-API-Key: {caller.key}",
    )
    assert (status, body["total"], body["block_rate"], body["error_rate"]) == (
        200,
        5,
        0.2,
        0.0,
    )
    assert body["by_status"] == {"ALLOW": 3, "REDACT": 1, "BLOCK": 1}
    assert body["by_outcome"] == {"ok": 4, "refused": 1}
    assert {"rule": "confidential.tlp-red", "count": 1} in body["top_triggered_rules"]
    assert body["by_provider"] == {"openai": 4, "anthropic": 1}
    assert (body["input_tokens"], body["output_tokens"]) == (45, 20)
    assert set(body["duration_ms"]) == {"p50", "p95", "p99"}


def test_a_tenant_finds_and_counts_its_own_alone(
    house: House, caller: Tenant, tenant: Tenant
) -> None:
    mine = ("-H", f"X-API-Key: {tenant.key}")
    assert ask(house, "/v1/audit", *mine)[1] == {"audit": [], "next": None}
    assert ask(house, "/v1/audit/stats", *mine)[1]["total"] == 0
    assert ask(house, f"/v1/audit/stats?tenant={caller.id}", *mine)[0] == 404
    assert ask(house, f"/v1/audit?tenant={caller.id}", *mine)[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday", "from=", "to=0001-01-01", "to=9999-12-31", "cursor=x", "cursor=AAAA", "cursor=" + "A" * 500, "reason=nope", "outcome=nope",
        "rule=" + "a" * 301, "text=%00", "model=%00", "status=allow", "form=2020-01-01",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/audit", "/v1/audit/stats"])
def test_a_question_that_is_none_is_refused_with_a_reason(
    house: House, path: str, query: str
) -> None:
    status, body = ask(house, f"{path}?{query}", *admin(house))
    assert (status, bool(body["error"]["message"])) == (400, True)
