"""One port: the API, a proxy over plain TCP and over TLS, and who may pass where."""

import json
import socket
import ssl
from http.client import HTTPResponse

import pytest

from cli.processes import wait_until
from contract.keys import mint
from contract.version import VERSION
from tests.support.house import (
    OTHER_CA,
    OTHER_HOST,
    PATIENCE,
    House,
    Tenant,
    connect_status,
    curl,
    message,
)
from tests.support.raw import UPGRADE, tls_tunnel, tunnel


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_health_answers_on_the_proxys_port_in_both_schemes(
    house: House, scheme: str
) -> None:
    done = curl(
        "-sS",
        "--cacert",
        str(house.bundle),
        f"{scheme}://localhost:{house.stack.port}/health",
    )
    body = json.loads(done.stdout)
    assert (body["status"], body["version"]) == ("OK", VERSION)


def test_readiness_lists_what_the_proxy_needs(house: House) -> None:
    body = house.ready()
    assert body["status"] == "OK"
    assert set(body["checks"]) == {
        "snapshot",
        "spool",
        "redis",
        "engine",
        "certificates",
        "clients",
    }


def test_the_guides_first_tenant_is_made_through_the_proxys_port(house: House) -> None:
    admin = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    done = curl(
        "-sS", "-X", "POST", f"http://localhost:{house.stack.port}/v1/tenants", "-H", f"X-API-Key: {admin}",
        "-H", "Content-Type: application/json", "-d", '{"name": "My Organization", "rules_preset": "default"}',
    )  # fmt: skip
    made = json.loads(done.stdout)
    assert made["name"] == "My Organization"
    key = made["api_key"]
    assert key not in json.dumps(house.stack.control.get("/v1/tenants"))
    assert wait_until(
        lambda: connect_status(house.stack.port, "api.openai.com:443", key) == 200,
        PATIENCE,
    )


def test_what_is_between_proxy_and_control_is_not_offered_on_the_port(
    house: House,
) -> None:
    for path in ("/internal/snapshot", "/internal/watermark/a/b"):
        done = curl("-s", "-o", "/dev/null", "-w", "%{http_code}", house.url(path))
        assert done.stdout == "404"


@pytest.mark.parametrize(
    "key",
    [None, "", "wrong", mint().text, mint().text[:-1] + "!"],
    ids=["none", "empty", "short", "unknown", "broken"],
)
def test_without_a_valid_key_connect_is_answered_407(
    house: House, key: str | None
) -> None:
    assert connect_status(house.stack.port, "api.openai.com:443", key) == 407


def test_a_deleted_tenants_key_ends_on_the_proxy_and_on_its_open_connections(
    house: House,
) -> None:
    tenant = house.tenant()
    with tls_tunnel(house, tenant, "api.openai.com") as client:
        assert _post(client, "api.openai.com")[0] == 200
        house.stack.control.delete(f"/v1/tenants/{tenant.id}")
        assert wait_until(lambda: tenant.connect_status() == 407, PATIENCE)
        status, body = _post(client, "api.openai.com")
    assert status == 401
    assert b"has ended" in body
    assert [row["reason"] for row in tenant.audit(2)] == ["key_revoked", "policy"]


def test_the_key_never_travels_on(house: House, tenant: Tenant) -> None:
    tenant.post(
        message("hello"),
        "-H",
        "Proxy-Authorization: Basic a2V5Onh5eg==",
        "-H",
        "X-Earthflow-Decision: ALLOW",
    )
    heard = house.providers.heard[-1]
    assert not [
        name
        for name in heard.headers
        if name.lower().startswith(("proxy-", "x-earthflow-"))
    ]
    assert tenant.key not in str(heard.headers)


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:6379",
        "localhost:5432",
        "169.254.169.254:80",
        "[::1]:443",
        "[::ffff:127.0.0.1]:443",
        "0x7f000001:80",
        "10.0.0.1:443",
    ],
)
def test_internal_addresses_are_refused_and_recorded(
    tenant: Tenant, target: str
) -> None:
    assert tenant.connect_status(target) == 403
    (row,) = tenant.audit(1)
    assert (row["status"], row["reason"], row["coverage"]) == (
        "BLOCK",
        "internal_address",
        "none",
    )


def test_control_itself_cannot_be_reached_by_way_of_the_proxy(
    house: House, tenant: Tenant
) -> None:
    port = house.stack.services["control"].port
    assert tenant.connect_status(f"127.0.0.1:{port}") == 403
    done = tenant.curl(
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        f"http://127.0.0.1:{port}/health",
        "--noproxy",
        "",
    )
    assert done.stdout == "403"


def test_a_plain_call_to_an_internal_address_is_recorded_as_refused(
    tenant: Tenant,
) -> None:
    """It was recorded as allowed, and then not dialled."""
    url = "http://10.0.0.1/x"
    done = tenant.curl("-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "", url)
    assert done.stdout == "403"
    (row,) = tenant.audit(1)
    assert (row["status"], row["reason"]) == ("BLOCK", "internal_address")


def test_a_host_that_is_no_ai_provider_is_tunnelled_unopened_and_counted(
    house: House, tenant: Tenant
) -> None:
    """The client sees the far end's own certificate, and the audit says that nothing was seen."""
    with tunnel(house, tenant, f"{OTHER_HOST}:443") as raw:
        context = ssl.create_default_context(cafile=str(house.folder / OTHER_CA))
        with context.wrap_socket(raw, server_hostname=OTHER_HOST) as client:
            status, body = _post(client, OTHER_HOST)
    assert (status, body) == (200, b"tunnelled")
    (row,) = tenant.audit(1)
    assert (row["status"], row["reason"], row["coverage"], row["unreadable"]) == (
        "ALLOW",
        "tunnelled",
        "none",
        ["tunnelled"],
    )
    assert row["completion"]["bytes_up"] > 100
    assert row["completion"]["bytes_down"] > 100


def test_a_tunnel_to_another_host_does_not_reach_an_ai_host_unseen(
    house: House, tenant: Tenant
) -> None:
    before = len(house.providers.heard)
    with tunnel(house, tenant, f"{OTHER_HOST}:443") as raw:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            context.wrap_socket(raw, server_hostname="api.openai.com")
    rows = tenant.audit(2)
    assert {row["reason"] for row in rows} == {"tunnelled", "authority_mismatch"}
    assert len(house.providers.heard) == before


@pytest.mark.parametrize(
    ("sni", "host"),
    [
        ("api.anthropic.com", "api.openai.com"),
        ("api.openai.com", "api.anthropic.com"),
        ("api.openai.com", "evil.example"),
    ],
)
def test_connect_server_name_and_host_must_agree(
    house: House, tenant: Tenant, sni: str, host: str
) -> None:
    before = len(house.providers.heard)
    with tls_tunnel(house, tenant, "api.openai.com", sni) as client:
        status, _ = _post(client, host)
    assert status == 421
    (row,) = tenant.audit(1)
    assert (row["status"], row["reason"]) == ("BLOCK", "authority_mismatch")
    assert len(house.providers.heard) == before


def test_a_head_without_end_is_cut_off(house: House) -> None:
    with socket.create_connection(
        ("127.0.0.1", house.stack.port), timeout=PATIENCE
    ) as client:
        client.sendall(
            b"CONNECT api.openai.com:443 HTTP/1.1\r\n" + b"X-Filler: " + b"a" * 70_000
        )
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 431")


def test_a_websocket_of_an_ai_host_is_refused_and_recorded(tenant: Tenant) -> None:
    done = tenant.curl(
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--http1.1",
        *UPGRADE,
        "https://api.openai.com/v1/unknown",
    )
    assert done.stdout == "426"
    assert tenant.audit(1)[0]["reason"] == "upgrade"


def _post(client: ssl.SSLSocket, host: str) -> tuple[int, bytes]:
    body = message("hello")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    response = HTTPResponse(client)
    response.begin()
    return response.status, response.read()
