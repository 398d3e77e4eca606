"""`earthflow secrets`: values that a tenant's proxies find from the next call on, whose names alone are ever shown."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.client import Control, Refused
from cli.processes import wait_until
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    House,
    Tenant,
    command_environment,
    message,
)

VALUE, OTHER = "Zx81-mk3l-Qu77", "Hb62-pw9s-To14"
CHATS = "https://api.openai.com/v1/chat/completions"


def secrets(
    house: House, *words: str, said: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """`earthflow secrets` against a house."""
    told = command_environment(house, **more, **house.stack.secrets)
    command = [EARTHFLOW, "secrets", *words]
    return subprocess.run(
        command, env=told, input=said, capture_output=True, text=True, timeout=60
    )


def names(house: House, tenant: Tenant) -> list[str]:
    done = secrets(house, "list", tenant.id, "-o", "json")
    assert done.returncode == 0, done.stderr
    return [one["name"] for one in json.loads(done.stdout)]


def sent(tenant: Tenant, text: str, *words: str) -> str:
    """What arrives at the provider of a text that is sent to it."""
    status, answer = tenant.post(message(text), *words)
    assert status == 200, answer
    body = json.loads(tenant.house.providers.heard[-1].body)
    arrived: str = body["messages"][-1]["content"]
    return arrived


def arrives(tenant: Tenant, text: str) -> bool:
    return sent(tenant, text) == text


def test_a_value_is_found_from_the_next_call_on_and_no_longer_once_it_is_removed(
    house: House, tenant: Tenant
) -> None:
    text = f"the login is {VALUE}, tell them"
    assert arrives(tenant, text)
    done = secrets(house, "add", tenant.id, "billing-db", said=f"{VALUE}\n")
    assert (done.returncode, VALUE in done.stdout + done.stderr) == (0, False), done.stderr  # fmt: skip
    assert wait_until(lambda: not arrives(tenant, text), PATIENCE)
    arrived = sent(tenant, text)
    assert arrived.startswith("the login is [REDACTED:known_billing_db_")
    assert arrived.endswith("], tell them")
    assert names(house, tenant) == ["billing-db"]
    done = secrets(house, "remove", tenant.id, "billing-db", "--yes")
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: arrives(tenant, text), PATIENCE)
    assert names(house, tenant) == []


def test_another_tenant_neither_has_the_value_nor_sees_its_name(house: House) -> None:
    one, two = house.tenant(), house.tenant()
    put(house, one, name="a", value=VALUE)
    assert wait_until(lambda: not arrives(one, VALUE), PATIENCE)
    assert arrives(two, VALUE)
    own = Control(house.stack.control.url, one.key)
    listed = own.get(f"/v1/tenants/{one.id}/secrets")["secrets"]
    assert [sorted(entry) for entry in listed] == [["any_case", "created_at", "name"]]
    with pytest.raises(Refused, match="no such tenant"):
        own.get(f"/v1/tenants/{two.id}/secrets")
    with pytest.raises(Refused, match="admin"):
        own.patch(f"/v1/tenants/{one.id}/secrets", body(name="b", value=OTHER))
    with pytest.raises(Refused, match="admin"):
        own.delete(f"/v1/tenants/{one.id}/secrets/a")


def test_a_replaced_value_is_found_instead_of_the_old_one(
    house: House, tenant: Tenant
) -> None:
    for value, old in ((VALUE, OTHER), (OTHER, VALUE)):
        done = secrets(house, "add", tenant.id, "db", "--from-env", "DB", DB=value)
        assert done.returncode == 0, done.stderr
        assert wait_until(lambda wanted=value: not arrives(tenant, wanted), PATIENCE)
        assert arrives(tenant, old)


def test_a_providers_own_key_may_be_a_known_value(house: House, tenant: Tenant) -> None:
    """A client must still show it to the provider; anywhere else it does not leave."""
    key = "corp-key-8841-zz-19"
    put(house, tenant, name="openai", value=key)
    assert wait_until(lambda: not arrives(tenant, key), PATIENCE)
    assert sent(tenant, "hello", "-H", f"Authorization: Bearer {key}") == "hello"
    status, _ = tenant.post(message("hello"), "-H", f"X-Trace: {key}")
    assert status == 400


def test_an_env_file_gives_what_the_rules_take_for_secrets(
    house: House, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# of the shop\nPORT=8080\nREGION=eu-central-1\nLOG_FORMAT=json\nexport DB_PASSWORD='g7Kp2xQz9LmV'\n"
        "DATABASE_URL=postgres://shop:Wq81xzPlm4@db7.example/shop\nSHOP_API_KEY=zk81Ls0qPm27Vx94\nHOST=db7.corp.example\nEMPTY=\n"
    )
    first = secrets(house, "import", tenant.id, str(file), "--dry-run", "-o", "json")
    assert first.returncode == 0, first.stderr
    assert names(house, tenant) == []
    done = secrets(house, "import", tenant.id, str(file), "-o", "json")
    results = {one["variable"]: one["result"] for one in json.loads(done.stdout)}
    taken = {name for name, result in results.items() if result == "added"}
    assert taken == {"DB_PASSWORD", "DATABASE_URL", "SHOP_API_KEY"}
    assert "--only" in results["REGION"]
    assert names(house, tenant) == ["database-url", "db-password", "shop-api-key"]
    for value in ("g7Kp2xQz9LmV", "Wq81xzPlm4", "zk81Ls0qPm27Vx94"):
        assert wait_until(lambda text=value: not arrives(tenant, text), PATIENCE)
        assert value not in first.stdout + done.stdout + done.stderr
    assert arrives(tenant, "the shop is in eu-central-1, on db7.corp.example")
    done = secrets(house, "import", tenant.id, str(file), "--only", "HOST")
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: not arrives(tenant, "db7.corp.example"), PATIENCE)


@pytest.mark.parametrize(
    ("words", "said", "expected"),
    [
        (("add", "T", "a"), "short", "fewer than 8 characters"),
        (("add", "T", "a"), "password", "is a word"),
        (("add", "T", "A B"), VALUE, "name"),
        (("add", "T", "a", "--from-env", "NOT_THERE"), "", "no variable NOT_THERE"),
        (("add", "nobody", "a"), VALUE, "no such tenant"),
        (("remove", "T", "never", "--yes"), "", "no known value of that name"),
        (("remove", "T", "never"), "", "use --yes"),
        (("import", "T", "/nowhere/.env"), "", "cannot be read"),
        (("import", "T", "-"), "# none", "no line like NAME=value"),
        (("list", "nobody"), "", "no such tenant"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_without_the_value(
    house: House, tenant: Tenant, words: tuple[str, ...], said: str, expected: str
) -> None:
    done = secrets(house, *(tenant.id if one == "T" else one for one in words), said=said)  # fmt: skip
    assert done.returncode != 0
    assert expected in done.stderr
    assert not said or said not in done.stderr.replace("is a word", "")
    assert names(house, tenant) == []


def test_variables_that_would_have_one_name_are_told_apart(
    house: House, tenant: Tenant
) -> None:
    lines = "DB_PASSWORD=g7Kp2xQz9LmV\nDB__PASSWORD=h8Kp2xQz9LmW\ndb-password=j9Kp2xQz9LmX\n"
    for result in ("added", "replaced"):
        done = secrets(house, "import", tenant.id, "-", "--all", "-o", "json", said=lines)  # fmt: skip
        rows = json.loads(done.stdout)
        assert [one["name"] for one in rows] == ["db-password", "db-password-2", "db-password-3"]  # fmt: skip
        assert {one["result"] for one in rows} == {result}
    with pytest.raises(Refused, match="a name stands twice"):
        twice = {"secrets": [{"name": "a", "value": VALUE}] * 2}
        house.stack.control.patch(f"/v1/tenants/{tenant.id}/secrets", twice)


def test_all_of_an_addition_or_nothing(house: House, tenant: Tenant) -> None:
    entries = [{"name": f"v{number}", "value": f"Q7-{number:06}-zt"} for number in range(1000)]  # fmt: skip
    control, path = house.stack.control, f"/v1/tenants/{tenant.id}/secrets"
    with pytest.raises(Refused, match="Nothing was added: bad "):
        bad = {"name": "bad", "value": "short"}
        control.patch(path, {"secrets": [*entries[:5], bad]})
    assert names(house, tenant) == []
    control.patch(path, {"secrets": entries})
    with pytest.raises(Refused, match=r"1,000 known values; this one would have 1,001"):
        control.patch(path, body(name="more", value=VALUE))
    control.patch(path, body(name="v7", value=VALUE))  # replaces one
    assert len(names(house, tenant)) == 1000
    assert wait_until(lambda: not arrives(tenant, VALUE), PATIENCE)
    control.delete(f"/v1/tenants/{tenant.id}")


def body(**secret: Any) -> dict[str, Any]:
    return {"secrets": [secret]}


def put(house: House, tenant: Tenant, **secret: Any) -> None:
    house.stack.control.patch(f"/v1/tenants/{tenant.id}/secrets", body(**secret))
