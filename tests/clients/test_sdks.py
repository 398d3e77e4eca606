"""Every SDK, allowed, redacted and blocked: what arrives, what its user sees, and that a block is one request."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.clients.sdks import SDKS
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


def say(tenant: Tenant, sdk: str, prompt: str) -> subprocess.CompletedProcess[str]:
    source = f"import sys\nprompt = sys.argv[1]\n{SDKS[sdk]}"
    return subprocess.run(
        [PYTHON, "-c", source, prompt], env=tenant.environment(), capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("sdk", SDKS)
def test_a_call_is_allowed_read_in_full_and_its_tokens_counted(tenant: Tenant, sdk: str) -> None:
    done = say(tenant, sdk, "Hello")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "You wrote" in done.stdout
    row = tenant.audit(1)[0]
    assert (row["status"], row["coverage"]) == ("ALLOW", "full"), row
    assert (row["completion"]["input_tokens"], row["completion"]["output_tokens"]) in ((11, 5), (12, 5))


@pytest.mark.parametrize("sdk", SDKS)
def test_a_secret_does_not_arrive(house: House, tenant: Tenant, sdk: str) -> None:
    done = say(tenant, sdk, f"my key is {AWS_KEY}, keep it")
    assert done.returncode == 0, done.stderr[-2000:]
    assert AWS_KEY.encode() not in house.providers.heard[-1].body
    assert b"[REDACTED:credentials_aws_access_key_" in house.providers.heard[-1].body
    assert tenant.audit(1)[0]["status"] == "REDACT"


@pytest.mark.parametrize("sdk", SDKS)
def test_a_block_is_one_request_and_its_user_reads_why(house: House, tenant: Tenant, sdk: str) -> None:
    heard = len(house.providers.heard)
    done = say(tenant, sdk, PRIVATE_KEY.replace("\\n", "\n"))
    assert done.returncode != 0
    assert len(house.providers.heard) == heard
    (row,) = tenant.audit(1)
    assert row["status"] == "BLOCK"
    said = re.search(r"Blocked by Earthflow policy \S+ \(decision ([0-9a-f-]{36})\)", done.stderr.replace("\n", " "))
    assert said is not None, done.stderr[-2000:]
    assert said[1] == row["id"]
