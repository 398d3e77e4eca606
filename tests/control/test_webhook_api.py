"""Webhooks by HTTP: made, shown, changed, tried and removed, and what is answered where that cannot be."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.support.house import PATIENCE, House, Tenant

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(house: House) -> Ask:
    """Ask the API as the admin, or with another key."""

    def asked(
        method: str, path: str, body: Any = None, key: str = ""
    ) -> tuple[int, Any]:
        headers = {"X-API-Key": key or house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]}
        url = house.stack.control.url + path
        done = requests.request(
            method, url, json=body, headers=headers, timeout=PATIENCE
        )
        return done.status_code, done.json()

    return asked


@pytest.fixture
def webhook(ask: Ask, tenant: Tenant) -> Iterator[str]:
    """The path of a webhook whose host does not resolve."""
    status, made = ask(
        "POST", f"/v1/tenants/{tenant.id}/webhooks", {"url": "https://hooks.invalid/x"}
    )
    assert (status, made["statuses"], made["secret"][:6]) == (201, ["BLOCK"], "whsec_")
    yield f"/v1/webhooks/{made['id']}"
    ask("DELETE", f"/v1/webhooks/{made['id']}")


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://user:pw@hooks.example.com/",
        "https://",
        "x",
    ],
)
def test_a_url_that_can_be_no_webhooks_is_refused(
    ask: Ask, tenant: Tenant, webhook: str, url: str
) -> None:
    for method, path in (
        ("POST", f"/v1/tenants/{tenant.id}/webhooks"),
        ("PATCH", webhook),
    ):
        status, said = ask(method, path, {"url": url})
        assert (status, said["error"]["code"]) == (400, "bad_url"), url


def test_a_webhook_is_shown_to_its_tenant_and_changed_by_the_admin(
    ask: Ask, house: House, tenant: Tenant, webhook: str
) -> None:
    other = house.tenant()
    assert ask("GET", webhook, key=tenant.key)[1]["url"] == "https://hooks.invalid/x"
    assert ask("GET", webhook, key=other.key)[0] == 404
    changed = {"url": "https://hooks.invalid/y", "statuses": ["BLOCK", "REDACT"]}
    status, said = ask("PATCH", webhook, changed)
    assert (status, said["url"], said["statuses"]) == (
        200,
        changed["url"],
        changed["statuses"],
    )
    assert [
        one["url"]
        for one in ask("GET", f"/v1/tenants/{tenant.id}/webhooks")[1]["webhooks"]
    ] == [changed["url"]]
    assert "secret" not in str(ask("GET", webhook)[1])


def test_a_test_that_cannot_be_delivered_says_why_and_stands_in_the_log(
    ask: Ask, webhook: str
) -> None:
    status, tried = ask("POST", f"{webhook}/test")
    assert (status, tried["delivered"], tried["status"]) == (200, False, None)
    assert tried["error"]
    (kept,) = ask("GET", f"{webhook}/deliveries?limit=1")[1]["deliveries"]
    assert (kept["id"], kept["state"], kept["attempts"]) == (
        tried["delivery"],
        "dead",
        1,
    )


def test_only_deliveries_that_there_are_can_be_sent_again(
    ask: Ask, webhook: str
) -> None:
    assert ask("POST", f"{webhook}/replay", {}) == (200, {"replayed": 0})
    assert ask("POST", f"{webhook}/replay", {"delivery": str(uuid.uuid4())})[0] == 404
    assert (
        ask("POST", f"{webhook}/replay", {"delivery": "x"})[1]["error"]["code"]
        == "bad_delivery"
    )
    assert (
        ask("GET", f"{webhook}/deliveries?cursor=x")[1]["error"]["code"] == "bad_cursor"
    )


def test_a_new_secret_is_shown_once(ask: Ask, webhook: str) -> None:
    status, made = ask("POST", f"{webhook}/secret")
    assert (status, made["secret"][:6]) == (200, "whsec_")
    assert made["secret"] not in str(ask("GET", webhook)[1])


def test_what_is_not_there_is_not_found(ask: Ask) -> None:
    calls = [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/deliveries"),
        ("POST", "/test"),
        ("POST", "/replay"),
    ]
    for method, path in [*calls, ("POST", "/secret")]:
        status, said = ask(
            method,
            f"/v1/webhooks/none{path}",
            {} if method in ("PATCH", "POST") else None,
        )
        assert (status, said["error"]["code"]) == (404, "not_found"), (method, path)
    status, said = ask(
        "POST", "/v1/tenants/none/webhooks", {"url": "https://hooks.example.com/"}
    )
    assert (status, said["error"]["message"]) == (404, "There is no such tenant.")
