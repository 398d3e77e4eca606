"""What settings change: one Earthflow in which each is set otherwise than by default, since none of these is in another's way."""

import base64
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from cli.processes import wait_until
from contract.authority import issue, make_root
from contract.unwrap import prompt_cipher, unwrap
from tests.control.test_api import admin, ask
from tests.e2e.test_outages import EXPLODING, RAISING, asked
from tests.e2e.test_providers import saying
from tests.e2e.test_sockets import REALTIME, refused
from tests.support.house import (
    AWS_KEY,
    PATIENCE,
    House,
    Tenant,
    connect_status,
    curl,
    message,
)

PROMPT = "the quince harvest is in October"
PROVIDERS = "sets: {mine: {/ask: completions}}\nproviders: {house: {hosts: [api.groq.com], paths: {/v9: mine}}}\n"
NO_SOCKETS = """
earthflow: 1
name: own
rules:
  - id: own.no-sockets
    message: No WebSockets
    severity: low
    action: block
    when: {method: GET, path: '/v1/realtime'}
    tests:
      - match: {method: GET, path: /v1/realtime}
      - ok: {method: POST, path: /v1/realtime}
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The operator's files: rules, providers, a certificate and the CA of it."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        (place / "rules").mkdir()
        (place / "rules" / "own.yaml").write_text(NO_SOCKETS)
        (place / "providers.yaml").write_text(PROVIDERS)
        operator = make_root("Operator", days=2)
        chain, key = issue(operator, ["localhost"], days=2)
        for name, content in (
            ("ca.pem", operator.pem),
            ("cert.pem", chain),
            ("key.pem", key),
        ):
            (place / name).write_bytes(content)
        yield place


@pytest.fixture(scope="module")
def unlike(folder: Path) -> Iterator[House]:
    """An Earthflow unlike the one that most tests share."""
    told = {
        "AUDIT_HASH_PROMPTS": "false",
        "EARTHFLOW_FAIL_MODE": "open",
        "EARTHFLOW_PROVIDERS": str(folder / "providers.yaml"),
        "EARTHFLOW_RULES_DIR": str(folder / "rules"),
        "EARTHFLOW_UNKNOWN_HOSTS": "deny",
        "TLS_CERT_PATH": str(folder / "cert.pem"),
        "TLS_KEY_PATH": str(folder / "key.pem"),
    }
    with House(told, programs={"proxy": RAISING}) as house:
        yield house


def test_hosts_of_no_provider_can_be_refused(unlike: House) -> None:
    tenant = unlike.tenant()
    assert tenant.connect_status("tunnel.example:443") == 403
    assert (
        tenant.curl(
            "-o", "/dev/null", "-w", "%{http_code}", "http://tunnel.example/"
        ).stdout
        == "403"
    )
    assert tenant.post(message("hello"))[0] == 200
    rows = tenant.audit(3)
    assert [(row["reason"], row["status"]) for row in rows] == [
        ("policy", "ALLOW"),
        *[("unknown_host", "BLOCK")] * 2,
    ]


def test_a_provider_of_the_operators_own_is_opened_and_read(unlike: House) -> None:
    tenant = unlike.tenant()
    status, _ = tenant.post(
        saying({"prompt": "TEXT"}, f"my key is {AWS_KEY}, keep it"),
        url="https://api.groq.com/v9/ask",
    )
    assert status == 200
    assert AWS_KEY.encode() not in unlike.providers.heard[-1].body
    (row,) = tenant.audit(1)
    assert (row["provider"], row["status"]) == ("house", "REDACT")


def test_operator_certificate_is_shown_on_the_outer_layer_only(
    unlike: House, folder: Path
) -> None:
    ca = str(folder / "ca.pem")
    done = curl("-sS", "--cacert", ca, f"https://localhost:{unlike.stack.port}/health")
    assert '"status":"OK"' in done.stdout, done.stderr
    caller = unlike.tenant()
    url = "https://api.openai.com/v1/models"
    done = curl(
        "-sS",
        "-x",
        caller.proxy("https"),
        "--proxy-cacert",
        ca,
        "--cacert",
        str(unlike.bundle),
        url,
    )
    assert '"object": "list"' in done.stdout, done.stderr
    done = curl(
        "-sS", "-x", caller.proxy("https"), "--proxy-cacert", ca, "--cacert", ca, url
    )
    assert done.returncode != 0


def test_a_rule_refuses_sockets_for_who_does_not_want_them(unlike: House) -> None:
    status, body = refused(unlike.tenant(), REALTIME.replace("wss:", "https:"))
    assert (status, "own.no-sockets" in body) == ("426", True)


def test_with_fail_mode_open_a_call_that_cannot_be_judged_passes_and_is_recorded(
    unlike: House,
) -> None:
    caller = unlike.tenant()
    assert caller.post(message("explode"))[0] == 200
    (row,) = caller.audit(1)
    assert (row["status"], row["reason"]) == ("ALLOW", "engine_error")
    assert connect_status(unlike.stack.port, "api.openai.com:443", "wrong") == 407


@pytest.mark.parametrize("how", EXPLODING)
def test_with_fail_mode_open_an_answer_that_cannot_be_judged_passes(
    unlike: House, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    caller = unlike.tenant()
    assert "explode" in asked(caller, how, monkeypatch)
    assert caller.audit(1)[0]["completion"]["error"]


# -- AUDIT_HASH_PROMPTS: an HMAC and nothing else, or the text as well, which nobody reads but by the API -------------------


def test_a_kept_prompt_is_shown_to_its_tenant_and_the_admin_alone(
    unlike: House,
) -> None:
    tenant, other = unlike.tenant(), unlike.tenant()
    tenant.post(message(PROMPT))
    (row,) = tenant.audit(1)
    assert "prompt" not in row
    for words in (admin(unlike), ("-H", f"X-API-Key: {tenant.key}")):
        status, shown = ask(unlike, f"/v1/audit/{row['id']}", *words)
        assert (status, shown["prompt"]) == (
            200,
            [{"role": "user", "text": PROMPT, "cut": False}],
        )
    assert (
        ask(unlike, f"/v1/audit/{row['id']}", "-H", f"X-API-Key: {other.key}")[0] == 404
    )


def test_it_lies_nowhere_in_clear(unlike: House) -> None:
    tenant = unlike.tenant()
    tenant.post(message(PROMPT + " " + "x" * 100_000))
    (row,) = tenant.audit(1)
    shown = ask(unlike, f"/v1/audit/{row['id']}", *admin(unlike))[1]["prompt"]
    assert (len(shown[0]["text"]), shown[0]["cut"]) == (64 * 1024, True)
    engines = unlike.stack.engines
    assert engines is not None
    with psycopg.connect(engines.database_url) as connection:
        found = connection.execute(
            "SELECT record, prompt, prompt_key FROM decision d JOIN tenant t ON t.id = d.tenant WHERE d.id = %s",
            (row["id"],),
        )
        kept_row = found.fetchone()
        wrapped = connection.execute("SELECT wrapped FROM master_key").fetchone()
    assert kept_row is not None
    assert wrapped is not None
    record, prompt, key = kept_row
    assert b"prompt" not in record.replace(b"prompt_hash", b"")
    with pytest.raises(zlib.error):  # it is closed, not merely packed
        zlib.decompress(base64.urlsafe_b64decode(prompt))
    data_key = unwrap(unlike.stack.secrets["EARTHFLOW_MASTER_KEY"], wrapped[0]).decode()
    assert PROMPT.encode() in zlib.decompress(
        prompt_cipher(unwrap(data_key, key)).decrypt(prompt.encode())
    )
    control = unlike.stack.services["control"].process
    control.terminate()
    control.wait()
    tenant.post(message(PROMPT))
    kept = redis.Redis.from_url(engines.redis_url)
    # nobody takes it out now
    assert wait_until(lambda: kept.xlen("ef:1:records") >= 1, PATIENCE)
    assert PROMPT.encode() not in repr(kept.xrange("ef:1:records")).encode()
    unlike.stack.start_control()
    found = subprocess.run(
        ["grep", "-rlaF", "--exclude=body-*", PROMPT, unlike.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


def test_without_it_there_is_no_prompt(house: House, tenant: Tenant) -> None:
    tenant.post(message(PROMPT))
    (row,) = tenant.audit(1)
    shown = ask(house, f"/v1/audit/{row['id']}", *admin(house))[1]
    assert (shown["prompt"], shown["prompt_hash"].startswith("hmac-sha256:")) == (
        None,
        True,
    )


@pytest.mark.parametrize(
    "id",
    [
        "x",
        "018f0000-0000-7000-8000-000000000000",
        "018f0000-0000-4000-8000-000000000000",
    ],
)
def test_what_is_no_exchange_is_not_found(house: House, id: str) -> None:
    assert ask(house, f"/v1/audit/{id}", *admin(house))[0] == 404
