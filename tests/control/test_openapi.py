"""The API is what /v1/openapi.json says, whatever is sent to it; and each role reaches its own and nothing else."""

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any, get_args

import psycopg
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contract.keys import BINDABLE, StaffRole
from control.openapi import Route, describe
from control.permissions import PERMISSIONS
from control.routes import ROUTES
from tests.support.house import PATIENCE, House, Tenant, curl
from tests.support.shared import scaled

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
DESCRIBED = describe(ROUTES)
# What would change the house for the tests beside this one: tried with the shape of a call alone, as a tenant.
AS_TENANT = {
    "POST /v1/keys/rotate",
    "POST /v1/master/rotate",
    "POST /v1/master/finalize",
    "POST /v1/master/abort",
}
EXAMPLES = int(os.environ.get("EARTHFLOW_API_EXAMPLES", scaled(3)))  # of each operation


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> bytes:
    """A body of lines as it is sent."""
    return str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(DESCRIBED)


# The tail of the audit is an answer that does not end: tests/control/test_activity.py.
@schema.exclude(path="/v1/audit/tail").parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_the_answer_is_as_described(
    case: schemathesis.Case, house: House, reader: Tenant
) -> None:
    admin = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    key = (
        reader.key
        if f"{case.operation.method.upper()} {case.operation.path}" in AS_TENANT
        else admin
    )
    headers = {
        name: value
        for name, value in (case.headers or {}).items()
        if name.lower() not in ("x-api-key", "authorization")
    }
    case.headers.clear()
    case.headers.update({**headers, "X-API-Key": key})
    response = case.call(base_url=house.stack.control.url)
    case.validate_response(response, checks=list(CHECKS))


@pytest.fixture(scope="module")
def reader(house: House) -> Tenant:
    return house.tenant()


def test_every_route_of_the_api_is_described_and_no_other() -> None:
    said = {
        (method.upper(), path)
        for path, methods in DESCRIBED["paths"].items()
        for method in methods
    }
    mine = {
        (route.method, route.path) for route in ROUTES if route.path.startswith("/v1/")
    }
    assert mine - said == {("GET", "/v1/openapi.json"), ("GET", "/v1/docs")}
    assert said <= mine


def test_the_document_and_the_page_are_for_anybody(house: House) -> None:
    assert json.loads(
        curl("-sS", f"{house.stack.control.url}/v1/openapi.json").stdout
    ) == json.loads(json.dumps(DESCRIBED))
    page = curl("-sS", "-i", f"{house.stack.control.url}/v1/docs").stdout
    assert "default-src 'none'" in page
    assert all(
        f"<code>{route.method} {route.path}</code>" in page
        for route in ROUTES
        if route.answers is not None
    )


# -- roles ------------------------------------------------------------------------------------------------------------


CALLERS = (
    "tenant", "foreign", "nobody", "wrong", *get_args(StaffRole), *(f"{role}{where}" for role in BINDABLE for where in (" bound", " elsewhere"))
)  # fmt: skip


class Calls:
    """Two tenants, a webhook and an exchange of each, and a key of each role."""

    def __init__(self, house: House):
        self.house, control = house, house.stack.control
        self.own, self.foreign = house.tenant(), house.tenant()
        self.keys = {
            "tenant": self.own.key,
            "foreign": self.foreign.key,
            "nobody": "",
            "wrong": self.own.key[:-1] + ("1" if self.own.key[-1] == "0" else "0"),
        }
        self.ids = []
        for role in get_args(StaffRole):
            self._add(role, None)
            if role in BINDABLE:
                self._add(role, self.own.id, " bound")
                self._add(role, self.foreign.id, " elsewhere")
        self.webhook = control.post(
            f"/v1/tenants/{self.own.id}/webhooks", {"url": "https://hooks.invalid/"}
        )["id"]
        self.own.post(b'{"model": "m", "messages": []}')
        self.exchange = self.own.audit(1)[0]["id"]

    def _add(self, role: str, tenant: str | None, suffix: str = "") -> None:
        bound = [tenant] if tenant else None
        made = self.house.stack.control.post(
            "/v1/keys", {"role": role, "tenants": bound}
        )
        self.keys[role + suffix] = made["api_key"]
        self.ids.append(made["id"])

    def status(self, role: str, method: str, path: str) -> int:
        exact = {"/v1/webhooks/{id}": self.webhook, "/v1/audit/{id}": self.exchange}
        id = next(
            (id for begin, id in exact.items() if path.startswith(begin)), self.own.id
        )
        for part, value in (("{id}", id), ("{key}", "none"), ("{name}", "none")):
            path = path.replace(part, value)
        url = self.house.stack.control.url + path
        headers = {
            "X-Forwarded-For": "wrong keys are counted by address, and these are nobody else's"
        }
        headers |= {"X-API-Key": self.keys[role]} if self.keys[role] else {}
        with requests.request(
            method, url, headers=headers, data=b"[", timeout=PATIENCE, stream=True
        ) as answered:
            pass
        self.request = answered.headers["x-request-id"]
        return answered.status_code

    def entries(self) -> list[str]:
        """The outcomes in the audit of administration of the last request."""
        query = f"/v1/audit/admin?request={self.request}"
        return [
            one["outcome"] for one in self.house.stack.control.get(query)["entries"]
        ]


@pytest.fixture(scope="module")
def calls(house: House) -> Iterator[Calls]:
    made = Calls(house)
    yield made
    for id in made.ids:
        house.stack.control.delete(f"/v1/keys/{id}")


# What a tenant's own key reads. All else about roles is in the table of permissions.
TENANTS_OWN = {
    "/v1/tenants", "/v1/tenants/{id}", "/v1/tenants/{id}/keys", "/v1/tenants/{id}/secrets", "/v1/tenants/{id}/webhooks", "/v1/webhooks/{id}",
    "/v1/webhooks/{id}/deliveries", "/v1/audit", "/v1/audit/admin", "/v1/audit/stats", "/v1/audit/{id}",
    "/v1/audit/{id}/explanation", "/v1/audit/{id}/marks", "/v1/audit/marks", "/v1/audit/activity", "/v1/audit/rules", "/v1/audit/choices",
    "/v1/audit/tail", "/v1/views", "/v1/webhooks",
}  # fmt: skip
OPEN = {"/v1/openapi.json", "/v1/docs"}
# What has tests of its own, and would end what the others ask for.
CHANGES_ALL = {
    ("DELETE", "/v1/tenants/{id}"),
    ("DELETE", "/v1/webhooks/{id}"),
    ("POST", "/v1/webhooks/{id}/secret"),
    ("POST", "/v1/webhooks/{id}/test"),
}
PUBLIC = [route for route in ROUTES if route.path.startswith("/v1/")]


def test_a_tenants_key_reads_its_own_and_writes_nothing() -> None:
    assert {
        (route.method, route.path)
        for route in PUBLIC
        if route.needs and "tenant" in PERMISSIONS[route.needs].roles
    } == {("GET", path) for path in TENANTS_OWN}


def test_staff_but_an_admin_makes_no_keys_of_staff_and_touches_no_master_key() -> None:
    for name in ("staff.write", "master.write", "ca.write", "audit.import"):
        assert PERMISSIONS[name].roles == {"admin"}
    changes = {name for name, one in PERMISSIONS.items() if not name.endswith((".read", ".admin", ".prompts", ".replay"))}  # fmt: skip
    changes.remove("views.write")  # one's own searches
    for name, one in PERMISSIONS.items():
        assert "admin" in one.roles
        assert not one.roles & {"auditor", "auditor+prompts"} or name not in changes
    # An operator makes tenants' keys, which open them.
    assert PERMISSIONS["audit.prompts"].roles == {"admin", "operator", "auditor+prompts", "tenant"}  # fmt: skip


def expected(caller: str, route: Route) -> set[int]:
    """What a call without a right body is answered: 400 or 409 where it is let in and would change something."""
    if route.path in OPEN:
        return {200}
    if caller in ("nobody", "wrong"):
        return {401, 429}
    role = {"foreign": "tenant"}.get(
        caller, caller.removesuffix(" elsewhere").removesuffix(" bound")
    )
    needed = PERMISSIONS[route.needs]
    elsewhere = caller.endswith(("foreign", "elsewhere"))
    bound = caller.endswith((" bound", " elsewhere")) and needed.whole
    if role not in needed.roles or bound:
        return {403}
    if elsewhere and "{id}" in route.path:
        return (
            {404} if route.method == "GET" or "/tenants/" in route.path else {400, 404}
        )
    return {200} if route.method == "GET" else {200, 400, 404, 409}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", PUBLIC, ids=lambda one: f"{one.method} {one.path}")
def test_each_role_reaches_its_own_and_nothing_else(
    calls: Calls, caller: str, route: Route
) -> None:
    wanted = expected(caller, route)
    changes_all = (route.method, route.path) in CHANGES_ALL or "/master/" in route.path
    if changes_all and 200 in wanted and route.path not in OPEN:
        return
    status = calls.status(caller, route.method, route.path)
    assert status in wanted
    if status == 403:
        assert calls.entries() == ["forbidden"]
    elif status not in (401, 429) and route.method != "GET":
        assert len(calls.entries()) == 1


def test_a_tenant_finds_only_its_own_exchanges(calls: Calls, house: House) -> None:
    def found(key: str, query: str = "") -> tuple[int, set[str]]:
        answer = requests.get(
            f"{house.stack.control.url}/v1/audit{query}",
            headers={"X-API-Key": key},
            timeout=30,
        )
        return answer.status_code, {
            row["tenant"] for row in answer.json().get("audit", ())
        }

    assert found(calls.own.key) == (200, {calls.own.id})
    assert found(calls.foreign.key) == (200, set())
    assert found(calls.foreign.key, f"?tenant={calls.own.id}") == (404, set())


# -- Idempotency-Key --------------------------------------------------------------------------------------------------


def post(
    house: House, key: str, body: dict[str, Any], api_key: str = ""
) -> requests.Response:
    headers = {
        "X-Forwarded-For": "once",
        "X-API-Key": api_key or house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"],
        "Idempotency-Key": key,
    }
    return requests.post(
        f"{house.stack.control.url}/v1/tenants",
        headers=headers,
        json=body,
        timeout=PATIENCE,
    )


def test_a_post_that_comes_twice_is_done_once_and_answered_alike(
    house: House, tenant: Tenant
) -> None:
    key = str(uuid.uuid4())
    first, second = (
        post(house, key, {"name": "Once"}),
        post(house, key, {"name": "Once"}),
    )
    assert (first.status_code, second.status_code, second.json()) == (
        201,
        201,
        first.json(),
    )
    assert (
        first.headers.get("idempotent-replayed"),
        second.headers["idempotent-replayed"],
    ) == (None, "true")
    assert (
        post(house, key, {"name": "Other"}).json()["error"]["code"]
        == "idempotency_key_used"
    )
    # a key of another caller is another key
    assert post(house, key, {"name": "Once"}, api_key=tenant.key).status_code == 403
    assert post(house, key, {"name": "Once"}, api_key="wrong").status_code == 401
    assert post(house, "a b", {"name": "Once"}).status_code == 400
    house.stack.control.delete(f"/v1/tenants/{first.json()['id']}")


def test_a_tenant_whose_id_is_a_role_is_no_such_role(house: House) -> None:
    key, body = str(uuid.uuid4()), {"role": "admin", "name": "ci"}
    named = house.stack.control.post("/v1/tenants", {"name": "Admin", "id": "admin"})
    headers = {
        "X-API-Key": house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"],
        "Idempotency-Key": key,
    }
    made = requests.post(
        f"{house.stack.control.url}/v1/keys",
        headers=headers,
        json=body,
        timeout=PATIENCE,
    )
    headers["X-API-Key"] = named["api_key"]
    asked = requests.post(
        f"{house.stack.control.url}/v1/keys",
        headers=headers,
        json=body,
        timeout=PATIENCE,
    )
    assert (made.status_code, asked.status_code) == (201, 403)
    house.stack.control.delete(f"/v1/keys/{made.json()['id']}")
    house.stack.control.delete("/v1/tenants/admin")


def test_of_what_was_begun_and_not_answered_nobody_says_that_it_was_not_done(
    house: House,
) -> None:
    key, engines = str(uuid.uuid4()), house.stack.engines
    assert engines is not None
    first = post(house, key, {"name": "Begun"})
    with psycopg.connect(engines.database_url) as connection:
        connection.execute(
            "UPDATE answered SET body = NULL, status = 0 WHERE key = %s", (key,)
        )
    assert post(house, key, {"name": "Begun"}).json()["error"]["code"] == "perhaps_done"
    house.stack.control.delete(f"/v1/tenants/{first.json()['id']}")


def test_what_failed_is_tried_anew(house: House) -> None:
    key = str(uuid.uuid4())
    assert post(house, key, {"name": ""}).status_code == 400
    made = post(house, key, {"name": "Now"})
    assert made.status_code == 201
    house.stack.control.delete(f"/v1/tenants/{made.json()['id']}")
