"""Every SDK, allowed, redacted and blocked: what arrives, what its user sees, and that a block is one request."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.clients.sdks import SDKS, STREAMS
from tests.support.conformance import CASES, Cell, given
from tests.support.house import AWS_KEY, House, Tenant

PYTHON = os.environ.get("EARTHFLOW_CLIENTS", "")
PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA7bq1mZr0c2xk9v3T8yQ4wLh5sJd6fGa1pNn2\\n-----END RSA PRIVATE KEY-----"


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def tenant(house: House) -> Tenant:
    return house.tenant()


def say(tenant: Tenant, source: str, prompt: str) -> subprocess.CompletedProcess[str]:
    source = f"import sys\nprompt = sys.argv[1]\n{source}"
    return subprocess.run(
        [PYTHON, "-c", source, prompt], env=tenant.environment(), capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("sdk", SDKS)
def test_a_call_is_allowed_read_in_full_and_its_tokens_counted(tenant: Tenant, sdk: str) -> None:
    done = say(tenant, SDKS[sdk], "Hello")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "You wrote" in done.stdout
    row = tenant.audit(1)[0]
    assert (row["status"], row["coverage"]) == ("ALLOW", "full"), row
    assert (row["completion"]["input_tokens"], row["completion"]["output_tokens"]) in ((11, 5), (12, 5))


@pytest.mark.parametrize("sdk", SDKS)
def test_a_secret_does_not_arrive(house: House, tenant: Tenant, sdk: str) -> None:
    done = say(tenant, SDKS[sdk], f"my key is {AWS_KEY}, keep it")
    assert done.returncode == 0, done.stderr[-2000:]
    assert AWS_KEY.encode() not in house.providers.heard[-1].body
    assert b"[REDACTED:credentials_aws_access_key_" in house.providers.heard[-1].body
    assert tenant.audit(1)[0]["status"] == "REDACT"


@pytest.mark.parametrize("sdk", SDKS)
def test_a_block_is_one_request_and_its_user_reads_why(house: House, tenant: Tenant, sdk: str) -> None:
    heard = len(house.providers.heard)
    done = say(tenant, SDKS[sdk], PRIVATE_KEY.replace("\\n", "\n"))
    assert done.returncode != 0
    assert len(house.providers.heard) == heard
    (row,) = tenant.audit(1)
    assert row["status"] == "BLOCK"
    assert named(done) == row["id"]


def named(done: subprocess.CompletedProcess[str]) -> str:
    """The decision that the user of an SDK is told."""
    said = re.search(r"Blocked by Earthflow policy \S+ \(decision ([0-9a-f-]{36})\)", done.stderr.replace("\n", " "))
    assert said is not None, done.stderr[-2000:]
    return said[1]


def stream(house: House, tenant: Tenant, sdk: str, case: str, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    """What an SDK makes of a streamed answer."""
    shape, source = STREAMS[sdk]
    answer = given(Cell(shape, "streamed", case, "", "identity"))
    monkeypatch.setattr(house.providers, "answer", lambda *_: answer)
    return say(tenant, source, "Hello")


@pytest.mark.parametrize("sdk", STREAMS)
def test_a_stream_passes_and_is_read_in_full(house: House, tenant: Tenant, sdk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stream(house, tenant, sdk, "allow", monkeypatch)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "".join(CASES["allow"][0]).strip()
    completion = tenant.audit(1)[0]["completion"]
    assert (completion["action"], completion["coverage"], completion["output_tokens"]) == ("ALLOW", "full", 5)


@pytest.mark.parametrize("sdk", STREAMS)
def test_what_a_stream_must_not_say_is_edited(house: House, tenant: Tenant, sdk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = stream(house, tenant, sdk, "redact", monkeypatch)
    assert done.returncode == 0, done.stderr[-2000:]
    assert AWS_KEY not in done.stdout
    assert re.fullmatch(r"The key is \[REDACTED:credentials_aws_access_key_[b-t]{8}\], keep it\.\s*", done.stdout), done.stdout
    assert tenant.audit(1)[0]["completion"]["action"] == "REDACT"


@pytest.mark.parametrize("sdk", STREAMS)
def test_a_stream_that_is_stopped_is_one_request(house: House, tenant: Tenant, sdk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = len(house.providers.heard)
    done = stream(house, tenant, sdk, "block", monkeypatch)
    assert done.returncode != 0
    assert len(house.providers.heard) == heard + 1
    (row,) = tenant.audit(1)
    assert (row["completion"]["action"], row["completion"]["outcome"]) == ("BLOCK", "blocked")
    assert named(done) == row["id"]
