"""Marks: whether rules were right to fire, by the API and by the command, counted by rule."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cli.errors import CommandError
from control.jobs import retain
from control.state import State
from control.store import marks
from tests.control.test_api import ask
from tests.support.house import (
    EARTHFLOW,
    RESTRICTED,
    House,
    Tenant,
    command_environment,
    message,
)

RULE = "confidential.tlp-red"


@pytest.fixture
def blocked(tenant: Tenant) -> dict[str, Any]:
    """An exchange on which rules fired."""
    tenant.post(message(RESTRICTED))
    row: dict[str, Any] = tenant.audit(1)[0]
    return row


def counted(house: House, tenant: Tenant) -> dict[str, tuple[int, int]]:
    rows = house.stack.control.get(f"/v1/audit/marks?tenant={tenant.id}")["rules"]
    return {row["rule"]: (row["false_positives"], row["true_positives"]) for row in rows}  # fmt: skip


def test_a_finding_is_marked_marked_anew_and_not_any_more(
    house: House, tenant: Tenant, blocked: dict[str, Any]
) -> None:
    path, fired = f"/v1/audit/{blocked['id']}/marks", {one["rule"] for one in blocked["rules"]}  # fmt: skip
    assert RULE in fired
    assert house.stack.control.get(path) == {"marks": []}
    made = house.stack.control.post(path, {"verdict": "false_positive", "note": "a test card"})["marks"]  # fmt: skip
    assert {one["rule"] for one in made} == fired
    assert {(one["verdict"], one["note"], one["actor"]) for one in made} == {("false_positive", "a test card", "environment")}  # fmt: skip
    assert counted(house, tenant) == dict.fromkeys(fired, (1, 0))
    # A second mark of the same is no second count.
    house.stack.control.post(path, {"verdict": "true_positive", "rule": RULE})
    assert counted(house, tenant)[RULE] == (0, 1)
    (entry,) = house.stack.control.get(f"/v1/audit/admin?object={blocked['id']}&limit=1")["entries"]  # fmt: skip
    assert (entry["action"], entry["tenant"]) == ("marks.put", tenant.id)
    assert (entry["before"], entry["after"]) == ({RULE: "false_positive"}, {RULE: "true_positive"})  # fmt: skip
    assert house.stack.control.post(path, {"verdict": "none"}) == {"marks": []}
    assert counted(house, tenant) == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"verdict": "wrong"}, "bad_request"),
        ({"verdict": "false_positive", "rule": "confidential.tlp-rad"}, "not_fired"),
        ({"verdict": "false_positive", "note": "a\nb"}, "bad_request"),
        ({"verdict": "false_positive", "note": "x" * 201}, "bad_request"),
    ],
)
def test_a_mark_that_cannot_be_is_refused(
    house: House, blocked: dict[str, Any], body: dict[str, Any], code: str
) -> None:
    known = ("-H", f"X-API-Key: {house.stack.secrets['EARTHFLOW_ADMIN_API_KEY']}")
    words = ("-X", "POST", "-d", json.dumps(body), *known)
    status, told = ask(house, f"/v1/audit/{blocked['id']}/marks", *words)
    assert (status, told["error"]["code"]) == (400, code)


def test_what_nothing_fired_on_cannot_be_marked(house: House, tenant: Tenant) -> None:
    tenant.post(message("hello"))
    id = tenant.audit(1)[0]["id"]
    with pytest.raises(CommandError, match="No rule fired"):
        house.stack.control.post(f"/v1/audit/{id}/marks", {"verdict": "false_positive"})


def test_the_command_marks_and_counts(
    house: House, tenant: Tenant, blocked: dict[str, Any]
) -> None:
    def run(*words: str) -> Any:
        told = command_environment(house, EARTHFLOW_URL=house.stack.control.url)
        command = [EARTHFLOW, "audit", *words, "-o", "json"]
        return json.loads(subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout)  # fmt: skip

    (made,) = run("mark", blocked["id"], "--as", "false-positive", "--rule", RULE)  # fmt: skip
    assert (made["rule"], made["verdict"]) == (RULE, "false_positive")
    (row,) = run("marks", "--tenant", tenant.id)
    assert row == {"rule": RULE, "false_positives": 1, "true_positives": 0}


async def test_marks_go_with_the_days_of_the_audit(
    state: State, database_url: str
) -> None:
    id = "00000000-0000-7000-8000-000000000001"
    await marks.put(state.pool, id, "t", ["a", "b"], "true_positive", "")
    old = datetime.now(UTC) - timedelta(days=state.settings.retention_days + 1)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE mark SET at = %s WHERE rule = 'a'", (old,))
    await retain.forget(state, datetime.now(UTC))
    assert [one.rule for one in await marks.of(state.pool, id)] == ["b"]
