"""How clients are led here: the loopback relay of `earthflow run`, client certificates, and what `earthflow doctor` finds."""

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.processes import wait_until
from contract.authority import Authority, issue, make_root
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    House,
    Tenant,
    command_environment,
    curl,
)
from tests.support.raw import tunnel

CALL = """
import os, sys, urllib.request
assert not any("ef_live" in value for value in os.environ.values()), "a key in the environment"
body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
request = urllib.request.Request("https://api.openai.com/v1/chat/completions", body, {"content-type": "application/json"})
print(urllib.request.urlopen(request).read().decode())
print(os.environ["HTTPS_PROXY"])
"""


def run(
    house: House, tenant: Tenant, *command: str, **more: str
) -> subprocess.CompletedProcess[str]:
    told = command_environment(house, EARTHFLOW_API_KEY=tenant.key, **more)
    return subprocess.run(
        [EARTHFLOW, *command],
        env=told,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE * 2,
    )


def open_port(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_the_relay_adds_the_key_so_that_no_environment_holds_it_and_goes_with_the_program(
    house: House, tenant: Tenant
) -> None:
    done = run(house, tenant, "run", "--", sys.executable, "-c", CALL)
    assert "You wrote" in done.stdout, done.stderr
    assert tenant.audit(1)[0]["status"] == "ALLOW"
    port = int(done.stdout.strip().rpartition(":")[2])
    assert port != house.stack.port
    assert wait_until(lambda: not open_port(port), PATIENCE)


def test_what_the_program_started_is_still_served(house: House, tenant: Tenant) -> None:
    later = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()\\n' + {CALL!r}], stdin=subprocess.PIPE, close_fds=False)"
    done = run(house, tenant, "run", "--", sys.executable, "-c", later)
    assert "You wrote" in done.stdout, done.stderr


def test_a_program_may_bring_a_key_of_its_own_into_its_proxys_url_with_no_relay(
    house: House, tenant: Tenant
) -> None:
    done = run(
        house,
        tenant,
        "run",
        "--no-relay",
        "--",
        sys.executable,
        "-c",
        "import os; print(os.environ['HTTPS_PROXY'])",
    )
    assert (
        done.stdout.strip() == f"http://key:{tenant.key}@127.0.0.1:{house.stack.port}"
    )


def test_the_relay_says_that_the_proxy_is_away(house: House, tenant: Tenant) -> None:
    done = run(
        house,
        tenant,
        "run",
        "--port",
        "1",
        "--",
        "curl",
        "-sS",
        "https://api.openai.com/",
    )
    assert done.returncode != 0
    assert "502" in done.stderr


@pytest.fixture(scope="module")
def operator() -> Authority:
    return make_root("Operator", days=2)


@pytest.fixture(scope="module")
def strict(
    operator: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A proxy that wants client certificates; the files beside it are the operator's, a client's, and a stranger's."""
    folder = tmp_path_factory.mktemp("strict")
    for name, authority, host in (
        ("server", operator, "localhost"),
        ("client", operator, "client"),
        ("stranger", make_root("Stranger", days=2), "client"),
    ):
        chain, key = issue(authority, [host], days=2, client=name != "server")
        (folder / f"{name}.pem").write_bytes(key + chain)
        (folder / f"{name}-cert.pem").write_bytes(chain)
        (folder / f"{name}-key.pem").write_bytes(key)
    (folder / "ca.pem").write_bytes(operator.pem)
    told = {
        "TLS_CERT_PATH": folder / "server-cert.pem",
        "TLS_KEY_PATH": folder / "server-key.pem",
        "TLS_CA_PATH": folder / "ca.pem",
    }
    with House({name: str(path) for name, path in told.items()}) as house:
        (house.folder / "operator").symlink_to(folder)
        yield house


def proxied(
    house: House, key: str, scheme: str, *words: str
) -> subprocess.CompletedProcess[str]:
    trust = str(house.folder / "operator" / "ca.pem")
    proxy = f"{scheme}://key:{key}@localhost:{house.stack.port}"
    url = "https://api.openai.com/v1/models"
    return curl(
        "-sS",
        "-x",
        proxy,
        "--proxy-cacert",
        trust,
        "--cacert",
        str(house.bundle),
        *words,
        url,
    )


@pytest.fixture
def strict_key(strict: House) -> str:
    made = strict.stack.control.post("/v1/tenants", {"name": "Strict"})
    folder = strict.folder / "operator"
    assert wait_until(
        lambda: (
            proxied(
                strict,
                made["api_key"],
                "https",
                "--proxy-cert",
                str(folder / "client.pem"),
            ).returncode
            == 0
        ),
        PATIENCE,
    )
    return str(made["api_key"])


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("certificate", "passes"),
    [("client.pem", True), ("stranger.pem", False), (None, False)],
)
def test_only_a_certificate_of_the_named_ca_passes(
    strict: House, strict_key: str, certificate: str | None, passes: bool, version: str
) -> None:
    words = (
        ("--proxy-cert", str(strict.folder / "operator" / certificate))
        if certificate
        else ()
    )
    limit = ("--proxy-tlsv1", "--tls-max", version)
    assert (
        proxied(strict, strict_key, "https", *words, *limit).returncode == 0
    ) is passes


def test_without_tls_there_is_health_and_nothing_else(
    strict: House, strict_key: str
) -> None:
    assert proxied(strict, strict_key, "http").returncode != 0
    assert '"OK"' in curl("-s", strict.url("/health")).stdout
    assert (
        curl(
            "-s", "-o", "/dev/null", "-w", "%{http_code}", strict.url("/v1/tenants")
        ).stdout
        == "403"
    )
    plain = curl(
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-x",
        f"http://key:{strict_key}@localhost:{strict.stack.port}",
        "http://api.openai.com/",
    )
    assert plain.stdout == "403"


def test_the_relay_brings_the_certificate(strict: House, strict_key: str) -> None:
    folder = strict.folder / "operator"
    told = {
        "EARTHFLOW_PROXY_URL": f"https://localhost:{strict.stack.port}",
        "EARTHFLOW_PROXY_CA": str(folder / "ca.pem"),
        "EARTHFLOW_CLIENT_CERT": str(folder / "client.pem"),
        "EARTHFLOW_CA_CERT": str(strict.folder / "ca" / "earthflow-ca.pem"),
        "EARTHFLOW_API_KEY": strict_key,
    }
    done = subprocess.run(
        [EARTHFLOW, "run", "--", sys.executable, "-c", CALL],
        env=command_environment(strict, **told),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "You wrote" in done.stdout, done.stderr


def test_leaves_have_a_key_of_their_own(house: House, tenant: Tenant) -> None:
    keys = set()
    for host in ("api.openai.com", "api.anthropic.com"):
        pem = subprocess.run(
            ["openssl", "s_client", "-proxy", f"127.0.0.1:{house.stack.port}", "-proxy_user", "key", "-proxy_pass", "env:EF", "-connect", f"{host}:443", "-servername", host],
            input="", capture_output=True, text=True, check=False, env=command_environment(house, EF=tenant.key),
        ).stdout  # fmt: skip
        shown = subprocess.run(
            ["openssl", "x509", "-noout", "-pubkey", "-ext", "subjectAltName"],
            input=pem,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert host in shown
        keys.add(shown.split("-----END PUBLIC KEY-----")[0])
    ca = subprocess.run(
        [
            "openssl",
            "x509",
            "-noout",
            "-pubkey",
            "-in",
            str(house.folder / "ca" / "earthflow-ca.pem"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(keys) == 1
    assert keys.pop() not in ca.stdout


# -- who distrusts ---------------------------------------------------------------------------------------------------------


def test_a_client_that_does_not_trust_the_ca_shows_up(
    house: House, tenant: Tenant
) -> None:
    for _ in range(2):
        done = curl(
            "-sS", "-x", tenant.proxy(), "https://api.anthropic.com/v1/messages"
        )
        assert done.returncode == 60, done.stderr
    (row,) = tenant.audit(1)
    assert (row["reason"], row["status"], row["host"], row["coverage"]) == (
        "distrust",
        "FLAG",
        "api.anthropic.com",
        "none",
    )
    assert "does not trust" in row["completion"]["error"]
    told = house.ready()["checks"]["clients"]["distrusting"]
    assert ("api.anthropic.com", "certain") in {
        (one["host"], one["sure"]) for one in told
    }


def leave_in_the_middle(house: House, tenant: Tenant) -> None:
    with tunnel(house, tenant, "api.cohere.com:443") as client:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = ssl.create_default_context().wrap_bio(
            incoming, outgoing, server_hostname="api.cohere.com"
        )
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        client.sendall(outgoing.read())
        client.recv(100)


def test_a_client_that_leaves_in_the_middle_again_and_again_is_suspected(
    house: House, tenant: Tenant
) -> None:
    for _ in range(2):
        leave_in_the_middle(house, tenant)
    tenant.curl("-o", "/dev/null", "https://api.cohere.com/v1/models")
    for _ in range(2):
        leave_in_the_middle(house, tenant)
    assert [row["reason"] for row in tenant.audit(1)] == ["policy"]
    leave_in_the_middle(house, tenant)
    assert tenant.audit(2)[0]["reason"] == "distrust"


def test_doctor_tells_clients_apart(
    house: House, tenant: Tenant, tmp_path: Path
) -> None:
    done = run(house, tenant, "doctor", "-o", "json")
    found = json.loads(done.stdout)
    assert found["curl"] == "seen", done.stderr
    assert found["python urllib"] == "seen"
    # Node 20 does not look at proxy variables
    assert found.get("node fetch", "goes around") == "goes around"
    assert done.returncode == (0 if set(found.values()) == {"seen"} else 3)


def test_doctor_says_what_was_seen_of_a_program(house: House, tenant: Tenant) -> None:
    done = run(house, tenant, "doctor", "-o", "json", "--", sys.executable, "-c", CALL)
    assert json.loads(done.stdout.splitlines()[-1]) == {"api.openai.com": "seen"}, (
        done.stderr
    )
    assert done.returncode == 0


def test_doctor_sees_distrust_and_detours(house: House, tenant: Tenant) -> None:
    distrusting = (
        "env",
        "-u",
        "SSL_CERT_FILE",
        "-u",
        "CURL_CA_BUNDLE",
        "curl",
        "-sS",
        "https://api.openai.com/",
    )
    done = run(house, tenant, "doctor", "-o", "json", "--", *distrusting)
    assert json.loads(done.stdout) == {"api.openai.com": "distrusts"}
    assert done.returncode == 60
    done = run(
        house,
        tenant,
        "doctor",
        "-o",
        "json",
        "--",
        "curl",
        "-s",
        "--noproxy",
        "*",
        house.url("/health"),
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"curl": "goes around"}
    assert done.returncode == 3
