"""What led to a decision: by the API, and by `earthflow audit explain`."""

import subprocess
from typing import Any, get_args

import pytest

from cli.errors import CommandError
from cli.processes import wait_until
from contract.decision import Reason
from control.api.explanation import REASONS
from tests.control.test_api import ask
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    RESTRICTED,
    House,
    Tenant,
    command_environment,
    message,
)

RULE = "confidential.tlp-red"


def explained(house: House, id: str) -> dict[str, Any]:
    told: dict[str, Any] = house.stack.control.get(f"/v1/audit/{id}/explanation")
    return told


def test_every_reason_has_a_sentence() -> None:
    assert REASONS.keys() == set(get_args(Reason))


def test_a_blocked_call_is_explained_by_its_record_and_by_the_rules_of_today(
    house: House, tenant: Tenant
) -> None:
    tenant.post(message(RESTRICTED))
    (row,) = tenant.audit(1)
    told = explained(house, row["id"])
    assert (told["status"], told["rules_changed"]) == ("BLOCK", False)
    assert told["why"][0] == REASONS["policy"]
    assert "Of the call: All of it was read." in told["why"]
    (fired,) = [one for one in told["rules"] if one["rule"] == RULE]
    assert (fired["action_now"], fired["changes"]) == ("block", [])
    assert fired["source"].startswith("earthflow/")
    assert fired["message"]
    assert fired["where"] == ["in text 1, a text, role user, characters 0 to 7"]
    assert RESTRICTED not in str(told)

    # Under other rules the record stays, and what is said of the rule is of today.
    house.stack.control.patch(f"/v1/tenants/{tenant.id}", {"rules_preset": "monitor"})
    told = explained(house, row["id"])
    assert told["rules_changed"] is True
    (fired,) = [one for one in told["rules"] if one["rule"] == RULE]
    assert fired["action"] == "BLOCK"
    assert fired["action_now"] == "block, in mode monitor"
    assert [change.split(":")[0] for change in fired["changes"]] == ["earthflow/monitor.yaml"]  # fmt: skip

    said = subprocess.run(
        [EARTHFLOW, "audit", "explain", row["id"]], capture_output=True, text=True, check=True,
        env=command_environment(house, EARTHFLOW_URL=house.stack.control.url),
    ).stdout.splitlines()  # fmt: skip
    assert said[0] == f"BLOCK  {tenant.id}  {row['id']}"
    assert f"{RULE}  BLOCK, high, once on the call" in said
    assert any("block, in mode monitor" in line for line in said)
    assert said[-3].startswith("The tenant's rules have changed since")
    assert said[-1] == f"Where a rule was wrong: earthflow rules except {row['id']} --rule RULE --reason WHY"  # fmt: skip


def test_a_known_secret_is_explained_without_its_value(
    house: House, tenant: Tenant
) -> None:
    secret = "Tr0ub4dor-and-3-horses"
    house.stack.control.patch(
        f"/v1/tenants/{tenant.id}/secrets",
        {"secrets": [{"name": "horses", "value": secret}]},
    )
    posts = 0

    def found() -> bool:
        """Whether the proxy knows of it."""
        nonlocal posts
        tenant.post(message(f"the password is {secret}"))
        posts += 1
        return any(one["rule"] == "known.horses" for one in tenant.audit(posts)[0]["rules"])  # fmt: skip

    assert wait_until(found, PATIENCE)
    told = explained(house, tenant.audit(posts)[0]["id"])
    assert told["rules_changed"] is False
    (fired,) = [one for one in told["rules"] if one["rule"] == "known.horses"]
    assert fired["message"] == "The known value horses"
    assert (fired["action_now"], fired["source"]) == ("redact", "the tenant's known secrets")  # fmt: skip
    assert secret not in str(told)
    house.stack.control.delete(f"/v1/tenants/{tenant.id}/secrets/horses")
    (fired,) = [one for one in explained(house, told["id"])["rules"] if one["rule"] == "known.horses"]  # fmt: skip
    assert fired["action_now"] is None


def test_nobody_is_told_of_what_is_anothers(house: House, tenant: Tenant) -> None:
    tenant.post(message("hello"))
    (row,) = tenant.audit(1)
    foreign = house.tenant()
    for key, status in ((tenant.key, 200), (foreign.key, 404)):
        path = f"/v1/audit/{row['id']}/explanation"
        assert ask(house, path, "-H", f"X-API-Key: {key}")[0] == status
    with pytest.raises(CommandError, match="There is no such exchange"):
        explained(house, "none")
