"""Roles of keys: an admin's, one that reads metrics, those that are bound to tenants; when a key was last used; and what becomes of guessing."""

import json
from typing import Any

from cli.processes import wait_until
from contract import keys
from control.api.keys import MOST_BOUND
from control.api.tenants import LIMITS
from control.keyring import TRIES, Guesses
from control.permissions import PERMISSIONS
from control.routes import ROUTES
from tests.control.test_api import admin, ask
from tests.support import permission_table
from tests.support.house import PATIENCE, House, Tenant, connect_status, curl, message

ELSEWHERE = ("-H", "X-Forwarded-For: 203.0.113.1")  # wrong keys are counted by address


def create(house: House, role: str) -> dict[str, Any]:
    made: dict[str, Any] = house.stack.control.post(
        "/v1/keys", {"role": role, "name": f"a {role}"}
    )
    return made


def test_a_key_for_metrics_reads_them_and_nothing_else(house: House) -> None:
    made = create(house, "metrics")
    mine = ("-H", f"Authorization: Bearer {made['api_key']}")
    assert made["api_key"].startswith("ef_met_")
    assert (
        "earthflow_build_info"
        in curl("-sS", f"{house.stack.control.url}/v1/dashboard/metrics", *mine).stdout
    )
    for path in (
        "/v1/tenants",
        "/v1/tenants/default",
        "/v1/audit",
        "/v1/audit/stats",
        "/v1/keys",
        "/v1/rules",
        "/v1/master",
    ):
        assert ask(house, path, *mine)[0] == 403, path
    assert (
        connect_status(house.stack.port, "api.openai.com:443", made["api_key"]) == 407
    )
    assert house.stack.control.delete(f"/v1/keys/{made['id']}") == {
        "revoked": made["id"]
    }
    assert ask(house, "/v1/dashboard/metrics", *mine, *ELSEWHERE)[0] == 401


def test_another_admin_is_one_until_it_is_revoked(house: House) -> None:
    made = create(house, "admin")
    mine = ("-H", f"X-API-Key: {made['api_key']}")
    assert made["id"] in [key["id"] for key in ask(house, "/v1/keys", *mine)[1]["keys"]]
    assert (
        connect_status(house.stack.port, "api.openai.com:443", made["api_key"]) == 407
    )
    house.stack.control.delete(f"/v1/keys/{made['id']}")
    assert ask(house, "/v1/keys", *mine, *ELSEWHERE)[0] == 401


def test_a_key_that_is_bound_finds_what_is_its_tenants_and_nothing_else(
    house: House,
) -> None:
    control, (one, two, three) = house.stack.control, (house.tenant() for _ in range(3))
    for tenant in (one, two, three):
        tenant.post(message("hello"))
        tenant.audit(1)
    made = control.post(
        "/v1/keys", {"role": "operator", "tenants": [two.id, one.id, one.id]}
    )
    assert made["tenants"] == sorted((one.id, two.id))
    mine = ("-H", f"X-API-Key: {made['api_key']}")

    def found(path: str, rows: str) -> set[str]:
        status, told = ask(house, path, *mine)
        assert status == 200, told
        return {row.get("tenant", row["id"]) for row in told[rows]}

    assert found("/v1/tenants", "tenants") == {one.id, two.id}
    assert found("/v1/tenants?limit=1", "tenants") <= {one.id, two.id}
    assert ask(house, f"/v1/tenants?limit=1&after={three.id}", *mine)[0] == 400
    assert found("/v1/audit", "audit") == {one.id, two.id}
    assert found(f"/v1/audit?tenant={two.id}", "audit") == {two.id}
    assert ask(house, f"/v1/audit?tenant={three.id}", *mine)[0] == 404
    assert ask(house, "/v1/audit/stats", *mine)[1]["total"] == 2
    assert found("/v1/audit/admin", "entries") == {one.id, two.id}
    # It rotates what is its own, and nothing else.
    body = ("-X", "POST", "-d", '{"dry_run": true}', *mine)
    rotated = ask(house, "/v1/keys/rotate", *body)[1]["rotated"]
    assert {row["tenant"] for row in rotated} == {one.id, two.id}
    foreign = ("-X", "POST", "-d", json.dumps({"tenant_id": three.id}), *mine)
    assert ask(house, "/v1/keys/rotate", *foreign)[0] == 404
    # It neither loosens the rules of its tenants nor shortens their audit.
    changed = {"labels": {"team": "a"}, "name": "One"}
    for body in (changed, *({name: None} for name in LIMITS), {"rules_preset": "monitor", **changed}):  # fmt: skip
        words = ("-X", "PATCH", "-d", json.dumps(body), *mine)
        status, told = ask(house, f"/v1/tenants/{one.id}", *words)
        text = json.dumps(told)
        assert status == (200 if body == changed else 400 if "bad_request" in text else 403), text  # fmt: skip
    assert (told["error"]["code"], "tenants.limits" in text) == ("forbidden", True)
    assert control.get(f"/v1/tenants/{one.id}")["rules_preset"] == "default"
    # It makes no tenants, and no keys of staff.
    for path in ("/v1/tenants", "/v1/keys"):
        told = ask(house, path, "-X", "POST", "-d", '{"name": "x"}', *mine)
        assert told[0] == 403
        assert told[1]["error"]["hint"]
    assert connect_status(house.stack.port, "api.openai.com:443", made["api_key"]) == 407  # fmt: skip
    control.delete(f"/v1/keys/{made['id']}")


def test_a_key_is_bound_to_tenants_that_are_there_and_only_where_that_means_something(
    house: House, tenant: Tenant
) -> None:
    def refused(**body: object) -> str:
        words = ("-X", "POST", "-d", json.dumps(body), *admin(house))
        status, told = ask(house, "/v1/keys", *words)
        assert status in (400, 404), told
        code: str = told["error"]["code"]
        return code

    assert refused(role="auditor", tenants=["none-of-ours"]) == "not_found"
    assert refused(role="auditor", tenants=[tenant.id, "none-of-ours"]) == "not_found"
    assert refused(role="auditor", tenants=[]) == "bad_request"
    most = [f"none-{number}" for number in range(MOST_BOUND + 1)]
    assert refused(role="auditor", tenants=most[1:]) == "not_found"
    assert refused(role="auditor", tenants=most) == "bad_request"
    assert refused(role="admin", tenants=[tenant.id]) == "not_bindable"
    assert refused(role="metrics", tenants=[tenant.id]) == "not_bindable"
    assert refused(role="owner") == "bad_request"


def test_the_audit_names_the_client_behind_a_proxy_of_ours_and_believes_no_other(
    house: House,
) -> None:
    known = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    for port, seen in (
        (house.stack.port, "127.0.0.9"),
        (house.stack.control.url.rpartition(":")[2], "127.0.0.9"),
    ):
        done = curl(
            "-sS", "-o", "/dev/null", "-w", "%header{x-request-id}", "--interface", "127.0.0.9", "--noproxy", "*",
            "-X", "DELETE", "-H", f"X-API-Key: {known}", "-H", "X-Forwarded-For: 203.0.113.7", f"http://127.0.0.1:{port}/v1/tenants/none",
        )  # fmt: skip
        (entry,) = house.stack.control.get(f"/v1/audit/admin?request={done.stdout}")["entries"]  # fmt: skip
        assert (entry["address"], entry["outcome"]) == (seen, "not_found")


def test_a_key_says_when_it_was_last_used(house: House, tenant: Tenant) -> None:
    def used() -> bool:
        (key,) = house.stack.control.get(f"/v1/tenants/{tenant.id}/keys")["keys"]
        return key["last_used_at"] is not None

    assert not used()
    tenant.post(message("hello"))
    assert wait_until(used, PATIENCE)


def test_an_api_call_is_a_use_too(house: House) -> None:
    made = create(house, "metrics")
    curl(
        "-sS",
        f"{house.stack.control.url}/v1/dashboard/metrics",
        "-H",
        f"X-API-Key: {made['api_key']}",
    )

    def used() -> bool:
        return bool(
            [
                key
                for key in house.stack.control.get("/v1/keys")["keys"]
                if key["id"] == made["id"] and key["last_used_at"]
            ]
        )

    assert wait_until(used, PATIENCE)
    house.stack.control.delete(f"/v1/keys/{made['id']}")


def test_guessing_is_told_to_wait_and_a_neighbour_with_a_right_key_is_not(
    house: House, tenant: Tenant
) -> None:
    from_there = ("-H", "X-Forwarded-For: 203.0.113.9")
    wrong = [
        ask(house, "/v1/audit", "-H", f"X-API-Key: {keys.mint().text}", *from_there)[0]
        for _ in range(TRIES + 3)
    ]
    assert wrong == [401] * TRIES + [429] * 3
    assert (
        ask(house, "/v1/audit", "-H", f"X-API-Key: {tenant.key}", *from_there)[0] == 200
    )
    assert ask(house, "/v1/audit", *admin(house), *from_there)[0] == 200
    head = curl(
        "-sS",
        "-i",
        f"{house.stack.control.url}/v1/audit",
        "-H",
        "X-API-Key: wrong",
        *from_there,
    ).stdout
    assert "retry-after:" in head.lower()
    assert json.loads(head.split("\n\n")[1])["error"]["code"] == "too_many_wrong_keys"


def test_the_document_has_the_table_that_decides() -> None:
    text = permission_table.DOCUMENT.read_text()
    assert permission_table.written(text) == text
    assert {route.needs for route in ROUTES} - {""} == PERMISSIONS.keys() - {"audit.prompts", "tenants.limits"}  # fmt: skip


def test_many_addresses_do_not_fill_the_memory() -> None:
    guesses = Guesses()
    for number in range(50_000):
        assert guesses.wait(str(number)) == 0
    assert len(guesses._until) == 10_000
