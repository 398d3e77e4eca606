"""AUDIT_HASH_PROMPTS: an HMAC and nothing else, or the text as well, which nobody reads but by the API."""

import base64
import subprocess
import zlib
from collections.abc import Iterator

import psycopg
import pytest
import redis

from cli.children import wait_until
from contract.unwrap import prompt_cipher, unwrap
from tests.control.test_api import admin, ask
from tests.support.house import PATIENCE, House, Tenant, message

PROMPT = "the quince harvest is in October"


@pytest.fixture(scope="module")
def keeping() -> Iterator[House]:
    with House({"AUDIT_HASH_PROMPTS": "false"}) as house:
        yield house


def test_a_kept_prompt_is_shown_to_its_tenant_and_the_admin_alone(keeping: House) -> None:
    tenant, other = keeping.tenant(), keeping.tenant()
    tenant.post(message(PROMPT))
    (row,) = tenant.audit(1)
    assert "prompt" not in row
    for words in (admin(keeping), ("-H", f"X-API-Key: {tenant.key}")):
        status, shown = ask(keeping, f"/v1/audit/{row['id']}", *words)
        assert (status, shown["prompt"]) == (200, [{"role": "user", "text": PROMPT, "cut": False}])
    assert ask(keeping, f"/v1/audit/{row['id']}", "-H", f"X-API-Key: {other.key}")[0] == 404


def test_it_lies_nowhere_in_clear(keeping: House) -> None:
    tenant = keeping.tenant()
    tenant.post(message(PROMPT + " " + "x" * 100_000))
    (row,) = tenant.audit(1)
    shown = ask(keeping, f"/v1/audit/{row['id']}", *admin(keeping))[1]["prompt"]
    assert (len(shown[0]["text"]), shown[0]["cut"]) == (64 * 1024, True)
    engines = keeping.stack.engines
    assert engines is not None
    with psycopg.connect(engines.database_url) as connection:
        found = connection.execute(
            "SELECT record, prompt, prompt_key FROM decision d JOIN tenant t ON t.id = d.tenant WHERE d.id = %s", (row["id"],)
        )
        kept_row = found.fetchone()
        wrapped = connection.execute("SELECT wrapped FROM master_key").fetchone()
    assert kept_row is not None
    assert wrapped is not None
    record, prompt, key = kept_row
    assert b"prompt" not in record.replace(b"prompt_hash", b"")
    with pytest.raises(zlib.error):  # it is closed, not merely packed
        zlib.decompress(base64.urlsafe_b64decode(prompt))
    data_key = unwrap(keeping.stack.secrets["EARTHFLOW_MASTER_KEY"], wrapped[0]).decode()
    assert PROMPT.encode() in zlib.decompress(prompt_cipher(unwrap(data_key, key)).decrypt(prompt.encode()))
    control = keeping.stack.services["control"].process
    control.terminate()
    control.wait()
    tenant.post(message(PROMPT))
    kept = redis.Redis.from_url(engines.redis_url)
    assert wait_until(lambda: kept.xlen("ef:1:records") >= 1, PATIENCE)  # nobody takes it out now
    assert PROMPT.encode() not in repr(kept.xrange("ef:1:records")).encode()
    keeping.stack.start_control()
    found = subprocess.run(["grep", "-rlaF", "--exclude=body-*", PROMPT, keeping.folder], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_without_it_there_is_no_prompt(house: House, tenant: Tenant) -> None:
    tenant.post(message(PROMPT))
    (row,) = tenant.audit(1)
    shown = ask(house, f"/v1/audit/{row['id']}", *admin(house))[1]
    assert (shown["prompt"], shown["prompt_hash"].startswith("hmac-sha256:")) == (None, True)


@pytest.mark.parametrize("id", ["x", "018f0000-0000-7000-8000-000000000000", "018f0000-0000-4000-8000-000000000000"])
def test_what_is_no_exchange_is_not_found(house: House, id: str) -> None:
    assert ask(house, f"/v1/audit/{id}", *admin(house))[0] == 404
