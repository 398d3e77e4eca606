"""Tenants and their keys by HTTP: what is changed takes effect on the proxy, and foreign hands get nowhere."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.processes import wait_until
from tests.control.test_api import admin, ask
from tests.support.house import PATIENCE, House, Tenant, connect_status


@pytest.fixture(scope="module")
def own(house: House) -> Iterator[tuple[str, str]]:
    """A tenant of this file's, and its key."""
    made = house.stack.control.post(
        "/v1/tenants",
        {"name": "Own", "labels": {"team": "a"}, "max_requests_per_minute": 10},
    )
    assert (made["labels"], made["max_requests_per_minute"]) == ({"team": "a"}, 10)
    yield made["id"], made["api_key"]
    house.stack.control.delete(f"/v1/tenants/{made['id']}")


def works(house: House, key: str) -> bool:
    return connect_status(house.stack.port, "api.openai.com:443", key) == 200


def test_the_guides_patch_works_without_a_content_type(
    house: House, own: tuple[str, str]
) -> None:
    status, body = ask(
        house,
        f"/v1/tenants/{own[0]}",
        *admin(house),
        "-X",
        "PATCH",
        "-d",
        '{"max_requests_per_minute": 5000}',
    )
    assert (status, body["max_requests_per_minute"], body["name"]) == (200, 5000, "Own")
    assert (
        ask(house, f"/v1/tenants/{own[0]}", *admin(house))[1]["max_requests_per_minute"]
        == 5000
    )


def test_what_is_null_is_taken_away_and_what_is_absent_stays(
    house: House, own: tuple[str, str]
) -> None:
    changed = house.stack.control.patch(
        f"/v1/tenants/{own[0]}", {"max_requests_per_minute": None, "labels": {}}
    )
    assert (changed["max_requests_per_minute"], changed["labels"], changed["name"]) == (
        None,
        {},
        "Own",
    )
    assert house.stack.control.patch(f"/v1/tenants/{own[0]}", {}) == changed


@pytest.mark.parametrize(
    "body",
    [
        '{"max_requests_per_minute": 0}', '{"max_requests_per_minute": "5"}', '{"rules_preset": "defualt"}', '{"unknown_hosts": "maybe"}', '{"name": null}',
        '{"id": "other"}', '{"prompt_key": "x"}', '{"labels": {"a": 1}}', '{"labels": []}', "[]", "{", "",
    ],
)  # fmt: skip
def test_a_bad_change_is_refused_with_a_reason(
    house: House, own: tuple[str, str], body: str
) -> None:
    status, answer = ask(
        house, f"/v1/tenants/{own[0]}", *admin(house), "-X", "PATCH", "-d", body
    )
    assert (status, bool(answer["error"]["message"])) == (400, True)


def test_a_changed_preset_takes_effect_on_the_proxy(house: House) -> None:
    tenant = house.tenant("monitor")
    url = "https://api.openai.com/v1/unknown"
    assert tenant.post(b"x", url=url)[0] == 200
    house.stack.control.patch(f"/v1/tenants/{tenant.id}", {"rules_preset": "strict"})
    assert wait_until(lambda: tenant.post(b"x", url=url)[0] == 400, PATIENCE)


def test_a_second_key_works_and_is_revoked_alone(
    house: House, own: tuple[str, str]
) -> None:
    made = house.stack.control.post(f"/v1/tenants/{own[0]}/keys", {})
    assert wait_until(lambda: works(house, made["api_key"]), PATIENCE)
    assert made["api_key"] not in json.dumps(
        house.stack.control.get(f"/v1/tenants/{own[0]}/keys")
    )
    assert house.stack.control.delete(f"/v1/tenants/{own[0]}/keys/{made['id']}") == {
        "revoked": made["id"]
    }
    assert wait_until(lambda: not works(house, made["api_key"]), PATIENCE)
    assert works(house, own[1])
    status, _ = ask(
        house, f"/v1/tenants/{own[0]}/keys/{made['id']}", *admin(house), "-X", "DELETE"
    )
    assert status == 404
    keys = {
        key["id"]: key["status"]
        for key in house.stack.control.get(f"/v1/tenants/{own[0]}/keys")["keys"]
    }
    assert sorted(keys.values()) == ["ended", "live"]


def test_a_key_with_an_end_is_ending(house: House, own: tuple[str, str]) -> None:
    made = house.stack.control.post(f"/v1/tenants/{own[0]}/keys", {"expires_in": 60})
    assert made["status"] == "ending"


def test_rotation_lets_the_old_key_work_for_a_while_and_then_no_more(
    house: House,
) -> None:
    tenant = house.tenant()
    assert house.stack.control.post(
        "/v1/keys/rotate", {"tenant_id": tenant.id, "dry_run": True}
    )["rotated"] == [{"tenant": tenant.id}]
    (done,) = house.stack.control.post(
        "/v1/keys/rotate", {"tenant_id": tenant.id, "revoke_after": 2}
    )["rotated"]
    assert len(done["old"]) == 1
    assert wait_until(lambda: works(house, done["api_key"]), PATIENCE)
    assert works(house, tenant.key)
    # by itself: nobody says anything when the time has come
    assert wait_until(lambda: not works(house, tenant.key), PATIENCE)
    assert works(house, done["api_key"])
    (old, new) = house.stack.control.get(f"/v1/tenants/{tenant.id}/keys")["keys"]
    assert (old["status"], old["replaced_by"], new["status"]) == (
        "ended",
        new["id"],
        "live",
    )
    (again,) = house.stack.control.post(
        "/v1/keys/rotate", {"tenant_id": tenant.id, "revoke_after": 0}
    )["rotated"]
    assert wait_until(
        lambda: not works(house, done["api_key"]) and works(house, again["api_key"]),
        PATIENCE,
    )


def test_nobody_but_the_admin_changes_anything_and_a_tenant_sees_its_own(
    house: House, tenant: Tenant, own: tuple[str, str]
) -> None:
    mine = ("-H", f"X-API-Key: {tenant.key}")
    assert ask(house, f"/v1/tenants/{tenant.id}", *mine)[1]["id"] == tenant.id
    assert len(ask(house, f"/v1/tenants/{tenant.id}/keys", *mine)[1]["keys"]) == 1
    for path in (
        f"/v1/tenants/{own[0]}",
        f"/v1/tenants/{own[0]}/keys",
        "/v1/tenants/nobody",
    ):
        assert ask(house, path, *mine)[0] == 404
    forbidden: list[tuple[str, str, Any]] = [
        ("PATCH", f"/v1/tenants/{tenant.id}", {"max_requests_per_minute": 1}), ("POST", f"/v1/tenants/{tenant.id}/keys", {}),
        ("DELETE", f"/v1/tenants/{tenant.id}/keys/x", None), ("POST", "/v1/keys/rotate", {}), ("GET", "/v1/rules", None),
    ]  # fmt: skip
    for method, path, body in forbidden:
        words = ("-d", json.dumps(body)) if body is not None else ()
        assert ask(house, path, *mine, "-X", method, *words)[0] == 403, path


def test_what_is_not_there_is_not_found(house: House) -> None:
    for method, path, body in (
        ("PATCH", "/v1/tenants/nobody", '{"name": "x"}'), ("POST", "/v1/tenants/nobody/keys", "{}"), ("DELETE", "/v1/tenants/default/keys/x", ""),
        ("POST", "/v1/keys/rotate", '{"tenant_id": "nobody"}'), ("GET", "/v1/tenants/%00", ""), ("GET", "/v1/tenants/a%2Fb/keys", ""),
    ):  # fmt: skip
        status, answer = ask(
            house, path, *admin(house), "-X", method, *(("-d", body) if body else ())
        )
        assert (status, answer["error"]["code"]) == (404, "not_found"), path


def test_the_rules_are_exported_for_a_backup(house: House) -> None:
    exported = house.stack.control.get("/v1/rules")
    assert (exported["files"], exported["presets"], exported["complaint"]) == (
        {},
        ["default", "strict", "monitor"],
        None,
    )
    assert len(exported["version"]) == 64
