"""The API: who may ask what, and every failure in one shape."""

import json
from typing import Any

import pytest

from contract.keys import mint
from tests.support.house import House, Tenant, curl, message


def ask(house: House, path: str, *words: str) -> tuple[int, Any]:
    done = curl(
        "-sS", "-w", "\n%{http_code}", f"{house.stack.control.url}{path}", *words
    )
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


def admin(house: House) -> tuple[str, str]:
    return "-H", f"X-API-Key: {house.stack.secrets['EARTHFLOW_ADMIN_API_KEY']}"


@pytest.mark.parametrize(
    "path",
    ["/v1/tenants", "/v1/audit", "/internal/snapshot", "/internal/watermark/a/b"],
)
@pytest.mark.parametrize(
    "key",
    ["", "wrong", mint().text, "é", "a" * 5_000],
    ids=["none", "wrong", "foreign", "not ascii", "long"],
)
def test_without_a_valid_key_nothing_is_told(house: House, path: str, key: str) -> None:
    status, body = ask(
        house, path, "-H", f"X-API-Key: {key}", "-H", f"Authorization: Bearer {key}"
    )
    assert (status, body["error"]["code"]) == (401, "unauthorized")
    assert body["error"]["request_id"]


def test_a_tenant_sees_its_own_audit_and_nobody_elses(
    house: House, tenant: Tenant
) -> None:
    tenant.post(message("hello"))
    tenant.audit(1)
    mine = ("-H", f"Authorization: Bearer {tenant.key}")
    assert [row["tenant"] for row in ask(house, "/v1/audit", *mine)[1]["audit"]] == [
        tenant.id
    ]
    assert ask(house, "/v1/audit?tenant=default", *mine)[0] == 404
    assert [one["id"] for one in ask(house, "/v1/tenants", *mine)[1]["tenants"]] == [tenant.id]  # fmt: skip
    assert ask(house, "/v1/tenants", *mine, "-d", '{"name": "x"}')[0] == 403
    assert ask(house, f"/v1/tenants/{tenant.id}", *mine, "-X", "DELETE")[0] == 403


def test_two_different_keys_are_an_error(house: House, tenant: Tenant) -> None:
    assert (
        ask(
            house,
            "/v1/audit",
            *admin(house),
            "-H",
            f"Authorization: Bearer {tenant.key}",
        )[0]
        == 400
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "bad_request"), ("{", "bad_request"), ("[]", "bad_request"), ("{}", "bad_request"), ('{"name": ""}', "bad_request"), ('{"name": 5}', "bad_request"),
        ('{"name": "x", "colour": 1}', "bad_request"), ('{"name": "x", "rules_preset": "defualt"}', "bad_request"), ('{"name": "x", "id": "A B"}', "bad_request"),
        ('{"name": "a\\u0000b"}', "bad_request"), ('{"name": "\\ud800"}', "bad_request"), ('{"name": "x", "id": "default"}', "tenant_exists"),
    ],
)  # fmt: skip
def test_a_bad_tenant_is_refused_with_a_reason(
    house: House, body: str, code: str
) -> None:
    status, answer = ask(house, "/v1/tenants", *admin(house), "-d", body)
    assert (status < 500, answer["error"]["code"]) == (True, code)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=99999999999999999999",
        "limit=-1",
        "limit=0000509999",
        "limit=" + "0" * 50,
        "status=NOPE",
        "colour=red",
        "tenant=%00",
        "limit=%FF",
    ],
)
def test_a_bad_question_is_refused_with_a_reason(house: House, query: str) -> None:
    status, answer = ask(house, f"/v1/audit?{query}", *admin(house))
    assert (400 <= status < 500, bool(answer["error"]["message"])) == (True, True)


def test_bytes_that_are_no_text_are_no_key_and_no_body(house: House) -> None:
    raw = {"key": b"\xff", "body": b'{"name":"\xff"}'}
    file = house.folder / "raw-header"
    file.write_bytes(b"X-API-Key: " + raw["key"])
    assert ask(house, "/v1/audit", "-H", f"@{file}")[0] == 401
    file.write_bytes(raw["body"])
    assert (
        ask(house, "/v1/tenants", *admin(house), "--data-binary", f"@{file}")[0] == 400
    )
    assert ask(house, "/v1/tenants/%00", *admin(house), "-X", "DELETE")[0] in (400, 404)


def test_what_is_not_there_has_the_same_shape(house: House) -> None:
    assert ask(house, "/nothing")[1]["error"]["code"] == "not_found"
    assert (
        ask(house, "/health", "-X", "POST")[1]["error"]["code"] == "method_not_allowed"
    )
    assert ask(house, "/v1/tenants/nobody", *admin(house), "-X", "DELETE")[0] == 404


def test_health_says_what_works(house: House) -> None:
    status, body = ask(house, "/health/ready")
    assert (status, body["status"], set(body["checks"])) == (
        200,
        "OK",
        {"postgres", "redis", "ingest", "rules"},
    )
