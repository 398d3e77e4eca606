"""Secrets and prompts, sent every way there is, turn up in no log, metric, record, stream, database, spool, webhook or answer."""

import itertools
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from cryptography.fernet import Fernet

from cli.pretend import Providers
from cli.processes import wait_until
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    RESTRICTED,
    House,
    Tenant,
    command_environment,
    curl,
    message,
)

PROMPT, RESPONSE_KEY, PATH = (
    "the-canary-sings-in-the-prompt",
    "sk-proj-canary-provider-key",
    "canary-in-the-query",
)
AWS_KEY = "AKIAQYLPMN5HHHFPZAM2"
KNOWN = "the-canary-of-a-known-value-81"
PASSPHRASE = "the canary of a passphrase"
# The issuer's, and a link to it; those of pretend hosts.
KEY_FILES = {"ca/mitmproxy-ca.pem", "mitmproxy/mitmproxy-ca.pem", "providers.pem", "tunnel.example.pem"}  # fmt: skip
METRICS_PORT = "EARTHFLOW_METRICS_PORT"


def database(house: House) -> dict[str, bytes]:
    """Every row of every table."""
    engines = house.stack.engines
    assert engines is not None
    kept = {}
    with psycopg.connect(engines.database_url) as connection:
        tables = [
            row[0]
            for row in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
        ]
        assert {"webhook", "delivery", "answered", "master_key", "tally"} <= set(tables)
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"'.encode()).fetchall()
            kept[f"table {table}"] = b"\n".join(
                b"|".join(
                    bytes(cell) if isinstance(cell, bytes) else str(cell).encode()
                    for cell in row
                )
                for row in rows
            )
    return kept


def everything_kept(house: House) -> dict[str, bytes]:
    """All that is at rest: files of state and logs, PostgreSQL's rows, Redis' values."""
    kept = {
        str(path): path.read_bytes()
        for path in house.folder.rglob("*")
        if path.is_file() and path.suffix != ".wal"
    }
    engines = house.stack.engines
    assert engines is not None
    client: Any = redis.Redis.from_url(engines.redis_url)
    kept["redis"] = b"\n".join(
        key + b" " + (client.dump(key) or b"") for key in client.scan_iter()
    )
    kept["redis records"] = repr(client.xrange("ef:1:records")).encode()
    return kept | database(house)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Providers]:
    with Providers(tmp_path, hosts=("localhost",)) as running:
        yield running


def call_every_way(house: House, tenant: Tenant, admin: str) -> None:
    bearer = (
        "-H",
        f"Authorization: Bearer {RESPONSE_KEY}",
        "-H",
        "X-Api-Key: canary-x-api-key",
    )
    tenant.post(message(PROMPT), *bearer)
    tenant.post(message(f"{RESTRICTED} {PROMPT}"), *bearer)
    tenant.post(message(f"{PROMPT} {AWS_KEY}"), *bearer)
    tenant.post(message(PROMPT)[:-9], *bearer)
    tenant.post(
        message(PROMPT),
        *bearer,
        url=f"https://api.openai.com/v1/chat/completions?{PATH}=1",
    )
    curl(
        "-s",
        "-x",
        tenant.proxy().replace(tenant.key, "canary-wrong-key"),
        "https://api.openai.com/",
    )
    curl("-s", "-H", "X-API-Key: canary-wrong-key", house.url("/v1/tenants"))
    curl(
        "-s",
        "-H",
        f"X-API-Key: {admin}",
        "-d",
        '{"name": 5, "canary": "canary-body"}',
        house.url("/v1/tenants"),
    )
    curl(
        "-s",
        "-H",
        f"X-API-Key: {admin}",
        house.url("/v1/audit?text=canary-of-a-search"),
    )
    curl(
        "-s",
        "-H",
        f"X-API-Key: {admin}",
        "-d",
        '{"new_key": "canary-no-master-key-is-44-characters-long-00"}',
        house.url("/v1/master/rotate"),
    )


def leak_known(house: House, tenant: Tenant) -> int:
    """A known value in calls until the proxy knows it, and in a head; how many calls that took."""
    calls = itertools.count(1)

    def is_found() -> bool:
        next(calls)
        tenant.post(message(f"{PROMPT} {KNOWN}"))
        return KNOWN.encode() not in house.providers.heard[-1].body

    assert wait_until(is_found, PATIENCE)
    assert tenant.post(message(PROMPT), "-H", f"X-Trace: {KNOWN}")[0] == 400
    return next(calls)


def converse(tenant: Tenant, *bearer: str) -> None:
    """What proxies remember, record and put back: a refusal's history, a signed thought, a tool
    with a secret for its name, an answer with its original.
    """
    refused = {"role": "user", "content": f"{RESTRICTED} {PROMPT}"}
    more = [refused, {"role": "user", "content": f"and now {PROMPT}"}]
    assert tenant.post(json.dumps({"model": "m", "messages": more}).encode(), *bearer)[0] == 200  # fmt: skip
    thought = {
        "type": "thinking",
        "thinking": f"{PROMPT} {AWS_KEY}",
        "signature": PROMPT,
    }
    use = {"type": "tool_use", "id": "t1", "name": AWS_KEY, "input": {"q": AWS_KEY}}
    back = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": f"{PROMPT} {AWS_KEY}",
    }
    turns = [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": [thought, use]},
        {"role": "user", "content": [back]},
    ]
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": turns}).encode()
    tenant.post(body, *bearer, url="https://api.anthropic.com/v1/messages")
    _, said = tenant.post(message(f"please repeat {AWS_KEY} now"), *bearer)
    assert AWS_KEY in said["choices"][0]["message"]["content"]


def malformed(port: int) -> None:
    """Calls that nobody can parse, with a key in them."""
    for head in (
        b"X-API-Key : canary-malformed",
        b"Authorization: Bearer canary-malformed\0",
        b"X-API-Key: canary-malformed\r\nbroken",
    ):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(
                b"GET /v1/audit?canary-malformed=\xff HTTP/1.1\r\nHost: x\r\n"
                + head
                + b"\r\n\r\n"
            )
            assert client.recv(1000).startswith(b"HTTP/1.")


def test_no_secret_is_kept_anywhere(receiver: Providers) -> None:
    extra = {
        "EARTHFLOW_LOG_LEVEL": "DEBUG", "EARTHFLOW_LOG_FORMAT": "json", "AUDIT_HASH_PROMPTS": "false", "WEBHOOK_INTERNAL_HOSTS": "localhost",
        "WEBHOOK_CA": str(receiver.ca_file), METRICS_PORT: "0",
    }  # fmt: skip
    with House(extra=extra) as house:
        tenant, control = house.tenant(), house.stack.control
        admin, master = (
            house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"],
            house.stack.secrets["EARTHFLOW_MASTER_KEY"],
        )
        hook = control.post(
            f"/v1/tenants/{tenant.id}/webhooks",
            {
                "url": f"https://localhost:{receiver.port}/h",
                "statuses": ["BLOCK", "REDACT"],
            },
        )
        control.patch(
            f"/v1/tenants/{tenant.id}/secrets",
            {"secrets": [{"name": "canary", "value": KNOWN}]},
        )
        new_master = rotate_master(house, admin)
        once = made_once(house, admin)
        call_every_way(house, tenant, admin)
        calls = 8 + leak_known(house, tenant)
        converse(tenant)
        malformed(house.stack.services["control"].port)
        malformed(house.stack.port)
        tenant.audit(calls)
        assert wait_until(lambda: receiver.heard, PATIENCE)
        told = {
            "audit": json.dumps(control.get("/v1/audit?limit=100")), "ready": json.dumps(house.ready()), "keys": json.dumps(control.get("/v1/keys")),
            "secrets": json.dumps(control.get(f"/v1/tenants/{tenant.id}/secrets")),
            "webhooks": json.dumps(control.get(f"/v1/tenants/{tenant.id}/webhooks")), "rules": json.dumps(control.get("/v1/rules")),
            "metrics": curl("-s", "-H", f"X-API-Key: {admin}", house.url("/v1/dashboard/metrics")).stdout,
            "proxy's metrics": curl("-s", f"http://127.0.0.1:{metrics_port(house)}/metrics").stdout,
            "deliveries": json.dumps(control.get(f"/v1/webhooks/{hook['id']}/deliveries")),
            "webhook": repr(receiver.heard), "backup": back_up(house),
        }  # fmt: skip
        secrets = [
            PROMPT, RESPONSE_KEY, PATH, "canary-x-api-key", "canary-wrong-key", "canary-body", "canary-of-a-search", "canary-no-master-key", "canary-malformed", AWS_KEY, KNOWN, tenant.key,
            PASSPHRASE, admin, master, new_master, hook["secret"], hook["secret"].removeprefix("whsec_"), *once,
        ]  # fmt: skip
        kept = everything_kept(house)
        meant = {
            "secrets.env": {admin, master},
            f"body-{tenant.id}": {PROMPT, AWS_KEY, KNOWN},
            "passphrase": {PASSPHRASE},
        }
        with_keys = {place for place, content in kept.items() if b"PRIVATE KEY" in content}  # fmt: skip
        assert with_keys == {str(house.folder / place) for place in KEY_FILES}
        for secret in secrets:
            assert [place for place, text in told.items() if secret in text] == [], (
                secret
            )
            held = [
                place
                for place, content in kept.items()
                if secret.encode() in content
                and secret not in meant.get(Path(place).name, set())
            ]
            assert held == [], secret
        assert "DEBUG" in environment_of(house, "proxy")
        assert wait_until(lambda: house.ready()["status"] == "OK", PATIENCE)


def back_up(house: House) -> str:
    """A backup in the state folder, a drill of it, and one with a wrong passphrase; what was said."""
    file, passphrase = house.folder / "all.backup", house.folder / "passphrase"
    url = house.stack.environment()["EARTHFLOW_DATABASE_URL"]
    told = command_environment(house, EARTHFLOW_DATABASE_URL=url, **house.stack.secrets)
    said = []
    for words, phrase in (
        (("backup", "--to", file), PASSPHRASE),
        (("restore", file, "--drill"), PASSPHRASE),
        (("restore", file, "--drill"), f"{PASSPHRASE}, but wrong"),
    ):
        passphrase.write_text(phrase)
        command = [EARTHFLOW, *words, "--passphrase-file", passphrase]
        done = subprocess.run(command, env=told, capture_output=True, text=True)
        assert (done.returncode == 0) == (phrase == PASSPHRASE), done.stderr
        said.append(done.stdout + done.stderr)
    return "".join(said)


def rotate_master(house: House, admin: str) -> str:
    """A rotation begun by the command, verified, and gone back from; its new key."""
    new = Fernet.generate_key().decode()
    told = command_environment(house, EARTHFLOW_ADMIN_API_KEY=admin)
    for words in (
        ("rotate", "--rotate-master", "--new-key", "-"),
        ("master", "verify", "--new-key", "-"),
        ("master", "abort"),
    ):
        subprocess.run(
            [EARTHFLOW, "keys", *words],
            env=told,
            input=new,
            text=True,
            check=True,
            capture_output=True,
        )
    return new


def made_once(house: House, admin: str) -> list[str]:
    """Keys that were shown once: made twice by one Idempotency-Key, rotated, of a role."""
    words = (
        "-H",
        f"X-API-Key: {admin}",
        "-H",
        "Idempotency-Key: the-same",
        "-d",
        '{"name": "Once", "id": "once"}',
        house.url("/v1/tenants"),
    )
    first, second = (json.loads(curl("-s", *words).stdout)["api_key"] for _ in range(2))
    assert first == second
    role = house.stack.control.post("/v1/keys", {"role": "metrics"})["api_key"]
    (rotated,) = house.stack.control.post("/v1/keys/rotate", {"tenant_id": "once"})[
        "rotated"
    ]
    return [first, role, rotated["api_key"]]


def metrics_port(house: House) -> int:
    (line,) = [line for line in house.log.splitlines() if "metrics on port" in line]
    return int(json.loads(line)["message"].rsplit(" ", 1)[1])


def environment_of(house: House, name: str) -> str:
    pid = house.stack.services[name].process.pid
    return subprocess.run(
        ["cat", f"/proc/{pid}/environ"], capture_output=True, text=True, check=True
    ).stdout
