"""Secrets and prompts, sent every way there is, turn up in no log, record, stream, database, spool or answer."""

import json
import subprocess
from pathlib import Path

from cli.children import wait_until
from cli.engines import Engines
from tests.support.house import PATIENCE, House, curl, message

PROMPT, RESPONSE_KEY, PATH = "the-canary-sings-in-the-prompt", "sk-proj-canary-provider-key", "canary-in-the-query"


def everything_kept(house: House, engines: Engines) -> dict[str, bytes]:
    """All that is at rest: files of state and logs, a dump of PostgreSQL, Valkey's file."""
    import psycopg

    kept = {str(path): path.read_bytes() for path in house.folder.rglob("*") if path.is_file() and path.suffix != ".wal"}
    with psycopg.connect(engines.database_url) as connection:
        for table in ("tenant", "api_key", "decision", "completion", "quarantine", "pepper", "watermark", "snapshot"):
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            kept[f"table {table}"] = b"\n".join(
                b"|".join(bytes(cell) if isinstance(cell, bytes) else str(cell).encode() for cell in row) for row in rows
            )
    return kept


def test_no_secret_is_kept_anywhere() -> None:
    with House(extra={"EARTHFLOW_LOG_LEVEL": "DEBUG"}) as house:
        engines = house.stack.engines
        assert engines is not None
        tenant = house.tenant()
        admin = house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
        master = house.stack.secrets["EARTHFLOW_MASTER_KEY"]
        bearer = ("-H", f"Authorization: Bearer {RESPONSE_KEY}", "-H", "X-Api-Key: canary-x-api-key")
        tenant.post(message(PROMPT), *bearer)
        tenant.post(message(f"{PROMPT} -----BEGIN PRIVATE KEY-----"), *bearer)
        tenant.post(message(f"{PROMPT} AKIAQYLPMN5HHHFPZAM2"), *bearer)
        tenant.post(message(PROMPT)[:-9], *bearer)
        tenant.post(message(PROMPT), *bearer, url=f"https://api.openai.com/v1/chat/completions?{PATH}=1")
        curl("-s", "-x", tenant.proxy().replace(tenant.key, "canary-wrong-key"), "https://api.openai.com/")
        curl("-s", "-H", "X-API-Key: canary-wrong-key", house.url("/v1/tenants"))
        curl("-s", "-H", f"X-API-Key: {admin}", "-d", '{"name": 5, "canary": "canary-body"}', house.url("/v1/tenants"))
        tenant.audit(5)
        told = json.dumps(house.stack.control.get("/v1/audit?limit=100")) + json.dumps(house.ready())
        kept = everything_kept(house, engines)
        secrets = [
            PROMPT,
            RESPONSE_KEY,
            PATH,
            "canary-x-api-key",
            "canary-wrong-key",
            "canary-body",
            "AKIAQYLPMN5HHHFPZAM2",
            tenant.key,
            admin,
            master,
        ]
        meant = {"secrets.env": {admin, master}, f"body-{tenant.id}": {PROMPT, "AKIAQYLPMN5HHHFPZAM2"}}
        for secret in secrets:
            assert secret not in told
            held = [
                place for place, content in kept.items() if secret.encode() in content and secret not in meant.get(Path(place).name, set())
            ]
            assert held == [], secret
        assert "DEBUG" in environment_of(house, "proxy")
        assert wait_until(lambda: house.ready()["status"] == "OK", PATIENCE)


def environment_of(house: House, name: str) -> str:
    pid = house.stack.services[name].process.pid
    return subprocess.run(["cat", f"/proc/{pid}/environ"], capture_output=True, text=True, check=True).stdout
