"""Layers of rules: put, proven, in force, reverted; by whom, and who may not."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.client import Refused
from cli.processes import wait_until
from control.__main__ import first_rules
from control.api.layers import one_proof
from control.errors import ApiError
from control.jobs import reload
from control.rule_files import hash_of, signature
from control.state import State
from control.store import layers, snapshots, tenants
from control.store.layers import New
from rules.layers import ALL, source_of
from rules.sources import shipped, version_of
from tests.control.test_api import ask
from tests.support.house import (
    EARTHFLOW,
    PATIENCE,
    House,
    Tenant,
    command_environment,
    message,
)

EVERYBODYS = "/v1/rules/layers/all"
BLOCKED = 400  # by which OpenAI's clients are refused


def rule(word: str, action: str = "block") -> str:
    return (
        f"earthflow: 1\nrules:\n  - id: acme.{word}\n    message: Project {word} is not for models\n    action: {action}\n"
        f"    match: {{keywords: [{word}]}}\n    tests: [{{match: about {word}}}, {{ok: about nothing}}]\n"
    )


def put(house: House, path: str, text: str, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = house.stack.control.post(path, {"text": text, "reason": "a test", **more})  # fmt: skip
    return told


def refused(house: House, path: str, **body: Any) -> str:
    with pytest.raises(Refused) as error:
        house.stack.control.post(path, {"reason": "a test", **body})
    return f"{error.value.code}: {error.value}"


def operators(tenant: Tenant) -> str:
    return f"/v1/tenants/{tenant.id}/rules/layer"


def own(tenant: Tenant) -> str:
    return f"/v1/tenants/{tenant.id}/rules/own"


def becomes(tenant: Tenant, text: str, status: int) -> bool:
    """Whether a call with this text is soon answered so, and stays so."""
    return wait_until(lambda: tenant.post(message(text))[0] == status, PATIENCE)


def test_a_layer_for_all_is_in_force_on_the_proxy_and_reverts_to_the_same_rules(
    house: House, tenant: Tenant
) -> None:
    assert tenant.post(message("about zanzibar"))[0] == 200
    first = put(house, EVERYBODYS, rule("zanzibar"))
    assert becomes(tenant, "about zanzibar", BLOCKED)
    got = house.stack.control.get(EVERYBODYS)
    assert (got["text"], got["version"]) == (rule("zanzibar"), first["version"])
    (blocked,) = tenant.audit(1, query="&status=BLOCK")
    told = house.stack.control.get(f"/v1/audit/{blocked['id']}/explanation")
    (fired,) = (one for one in told["rules"] if one["rule"] == "acme.zanzibar")
    assert (fired["source"], told["rules_changed"]) == ("layers/all.yaml:3", False)
    put(house, EVERYBODYS, "")
    assert becomes(tenant, "about zanzibar", 200)
    by = f"/v1/audit?tenant={tenant.id}&limit=1"
    bare = version_of("default", shipped())  # others have left a layer there, perhaps
    assert wait_until(lambda: house.stack.control.get(by)["audit"][0]["rulebook"] == bare, PATIENCE)  # fmt: skip
    again = house.stack.control.post(EVERYBODYS, {"version": first["version"], "reason": "after all"})  # fmt: skip
    assert (again["version"], again["text"]) == (first["version"] + 2, rule("zanzibar"))
    assert becomes(tenant, "about zanzibar", BLOCKED)
    assert [one["reason"] for one in again["history"][:3]] == ["after all", "a test", "a test"]  # fmt: skip
    put(house, EVERYBODYS, "")


def test_a_tenants_layers_concern_nobody_else(house: House, tenant: Tenant) -> None:
    other = house.tenant()
    put(house, operators(tenant), rule("yokohama"))
    put(house, own(tenant), rule("xanadu"))
    assert becomes(tenant, "about yokohama", BLOCKED)
    assert becomes(tenant, "about xanadu", BLOCKED)
    assert other.post(message("about yokohama and xanadu"))[0] == 200
    listed = house.stack.control.get(f"/v1/rules/layers?tenant={tenant.id}")["layers"]
    assert [(one["layer"], one["tenant"], one["version"]) for one in listed if one["tenant"]] == [("tenant", tenant.id, 1), ("own", tenant.id, 1)]  # fmt: skip
    # Who ends takes its layers along.
    house.stack.control.delete(f"/v1/tenants/{tenant.id}")
    assert refused(house, own(tenant), text="").startswith("not_found")


def test_an_operators_layer_loosens_and_a_tenants_own_only_tightens(
    house: House, tenant: Tenant
) -> None:
    loose = 'earthflow: 1\noverrides: {"confidential.*": {mode: "off"}}\n'
    marked = "TLP:RED\nthe plan"
    assert tenant.post(message(marked))[0] == BLOCKED
    assert "bad_rules" in refused(house, own(tenant), text=loose)
    put(house, operators(tenant), loose)
    assert becomes(tenant, marked, 200)
    # The operator's says off: the tenant may still have it on.
    put(house, own(tenant), "earthflow: 1\noverrides: {confidential.tlp-red: {mode: enforce}}\n")  # fmt: skip
    assert becomes(tenant, marked, BLOCKED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("earthflow: 1\nextends: [earthflow/strict]\n", "extends nothing"),
        ("earthflow: 1\nrules:\n  - {id: a.b, message: x, action: allow, allows: ['*'], when: {user: x}}\n", "only tightens"),
        ("earthflow: 1\noverrides: {'personal.*': {action: allow}}\n", "does not tighten"),
        ("earthflow: 1\noverrides: {'personal.*': {mode: 'off'}}\n", "makes no rule stricter"),
        ("earthflow: 1\noverrides: {personal.email: {priority: 1}}\n", "does not tighten"),
        ("earthflow: 1\noverrides: {personal.email: {restore: all}}\n", "does not tighten"),
        ("earthflow: 1\nrules:\n  - {id: personal.email, message: x, action: block, match: {keywords: [never]}}\n", "which stays"),
        ("earthflow: 1\nrules:\n  - {id: a.b, message: x, action: redact, match: {keywords: [q]}, redact: {restore: all}}\n", "is not restored"),
        (rule("word").replace("match: about word", "match: about nothing"), "did not fire"),
        (rule("word").replace("ok: about nothing", "ok: about word"), "fired"),
        ("earthflow: 1\nrules: [", "yaml"),
        ("earthflow: 1\noverrides: {no.such: {mode: enforce}}\n", "makes no rule stricter"),
        ("earthflow: 1\noverrides: {confidential.draft: {action: redact}}\n", "does not tighten"),
        ("earthflow: 1\noverrides: {personal.email: {except: {values: [x]}}}\n", "makes an exception"),
    ],
)  # fmt: skip
def test_what_a_tenants_own_layer_may_not_say_is_refused_and_changes_nothing(
    house: House, tenant: Tenant, text: str, said: str
) -> None:
    told = refused(house, own(tenant), text=text)
    assert told.startswith("bad_rules")
    assert said in told
    assert house.stack.control.get(own(tenant))["version"] == 0


def test_a_layer_that_cannot_be_is_refused_by_name(
    house: House, tenant: Tenant
) -> None:
    path = operators(tenant)
    assert "hits no rule" in refused(house, path, text="earthflow: 1\noverrides: {no.such: {mode: 'off'}}\n")  # fmt: skip
    assert refused(house, path).startswith("bad_request")
    assert refused(house, path, text="", version=1).startswith("bad_request")
    assert refused(house, path, version=1).startswith("not_found")
    assert refused(house, path, text="", reason="").startswith("bad_request")
    assert refused(house, path, text="", reason="a\nb").startswith("bad_request")
    assert refused(house, path, text="earthflow: 1\n# \x00").startswith("bad_r")
    put(house, path, rule("wagga"))
    assert refused(house, path, text="", after=7).startswith("changed_meanwhile")
    dry = put(house, path, rule("ulm"), dry_run=True, after=1)
    assert (dry["version"], dry["text"]) == (1, rule("wagga"))
    put(house, path, "", after=1)
    entries = house.stack.control.get(f"/v1/audit/admin?tenant={tenant.id}&action=layers")["entries"]  # fmt: skip
    assert [one["outcome"] for one in entries].count("done") == 3
    assert "wagga" not in json.dumps(entries), "a layer may name what is secret"


def test_of_one_key_one_change_is_proven_at_a_time(state: State) -> None:
    with one_proof(state, "k"), one_proof(state, "another"):
        with pytest.raises(ApiError, match="is being proven"), one_proof(state, "k"):
            pass
        assert state.provers == {"k", "another"}
    assert not state.provers


@pytest.mark.parametrize(
    "rules", [[rule(f"w{n}")[19:] for n in range(101)], ["# " + "x" * 64 * 1024]]
)
def test_an_own_layer_is_no_larger_than_can_be_proven_beside_others(
    house: House, tenant: Tenant, rules: list[str]
) -> None:
    text = (
        "earthflow: 1\nrules:\n" + "\n".join(rules)
        if len(rules) > 1
        else f"earthflow: 1\n{rules[0]}\n"
    )
    assert "100 rules and 65,536 characters at most" in refused(house, own(tenant), text=text)  # fmt: skip


def test_who_may_change_which_layer(house: House, tenant: Tenant) -> None:
    made = house.stack.control.post("/v1/keys", {"role": "operator", "tenants": [tenant.id]})  # fmt: skip
    other = house.tenant()

    def status(path: str, key: str = made["api_key"]) -> int:
        body = json.dumps({"text": rule("tonga"), "reason": "mine"})
        return ask(house, path, "-X", "POST", "-d", body, "-H", f"X-API-Key: {key}")[0]

    assert status(own(tenant)) == 200
    assert status(own(other)) == 404
    assert [status(path) for path in (operators(tenant), EVERYBODYS)] == [403, 403]
    assert status(own(tenant), tenant.key) == 403
    seen = ask(house, "/v1/rules/layers", "-H", f"X-API-Key: {made['api_key']}")[1]
    assert {one["tenant"] for one in seen["layers"]} <= {tenant.id, None}


def test_the_command_puts_gets_lists_and_reverts(
    house: House, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / "layer.yaml"
    file.write_text(rule("samoa"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [EARTHFLOW, "rules", *words], env=command_environment(house), capture_output=True, text=True,
        )  # fmt: skip

    whose = ("--tenant", tenant.id)
    done = run("put", str(file), *whose, "--reason", "a secret island", "--dry-run")
    assert (done.returncode, "proven" in done.stdout) == (0, True), done.stderr
    done = run("put", str(file), *whose, "--reason", "a secret island")
    assert "version 1 is in force" in done.stdout, done.stderr
    assert run("get", *whose).stdout == rule("samoa")
    file.write_text(rule("rhodes", "flag"))
    assert json.loads(run("put", str(file), *whose, "--reason", "b", "-o", "json").stdout)["version"] == 2  # fmt: skip
    assert "version 3" in run("revert", "1", *whose, "--reason", "c").stdout
    assert run("get", *whose).stdout == rule("samoa") == run("get", *whose, "--version", "1").stdout  # fmt: skip
    versions = json.loads(run("history", *whose, "-o", "json").stdout)
    assert [(one["version"], one["reason"]) for one in versions] == [(3, "c"), (2, "b"), (1, "a secret island")]  # fmt: skip
    assert json.loads(run("layers", *whose, "-o", "json").stdout)[-1]["version"] == 3
    (shown,) = json.loads(run("show", "--effective", *whose, "--only", "acme.samoa", "-o", "json").stdout)  # fmt: skip
    assert (shown["action"], shown["from"]) == ("block", f"tenants/{tenant.id}/layer.yaml:3")  # fmt: skip
    file.write_text("earthflow: 2\n")
    wrong = run("put", str(file), *whose, "--reason", "d")
    assert (wrong.returncode, "this version reads schema 1 only" in wrong.stderr) == (3, True)  # fmt: skip
    assert run("put", str(file), "--own", "--reason", "d").returncode == 2


async def becomes_true(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0.05)


async def made(state: State, id: str) -> None:
    """Make a tenant."""
    columns = {
        "id": id,
        "name": id,
        "preset": "default",
        "prompt_key": state.vault.new_secret(),
    }
    async with state.pool.connection() as connection:
        await tenants.insert(connection, columns)


async def changed(
    state: State, layer: str, text: str, tenant: str | None = None
) -> bool:
    """Put a version as if it had been proven with all that there is."""
    change = (await layers.in_force(state.pool)).change
    served = (await snapshots.served(state.pool)).rules
    return await layers.put(state.pool, New(layer, tenant, text, "a test"), change, state.rules_hash, served)  # fmt: skip


async def test_of_two_changes_at_once_neither_is_proven_without_the_other(
    state: State,
) -> None:
    change = (await layers.in_force(state.pool)).change
    first, second = (New(ALL, None, rule(word), "a test") for word in ("qatar", "peru"))
    done = await asyncio.gather(*(layers.put(state.pool, one, change, "", "") for one in (first, second)))  # fmt: skip
    assert sorted(done) == [False, True]
    # Nor files beside a layer.
    assert not await snapshots.note_rules(state.pool, "hash", {}, change)
    assert not await layers.put(state.pool, second, change + 1, "", "others")
    assert (await snapshots.served(state.pool)).rules == ""


async def test_as_many_versions_are_kept_as_the_history_has(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "MOST_VERSIONS", 3)
    for _ in range(5):
        assert await changed(state, ALL, rule("oman"))
    assert [one.version for one in await layers.versions(state.pool, ALL)] == [5, 4, 3]
    monkeypatch.setattr(layers, "MOST_BYTES", 2 * len(rule("oman")) - 1)
    await made(state, "t")
    monkeypatch.setattr(layers, "MOST_HISTORY", 2 * len(rule("oman")))
    assert await changed(state, ALL, rule("oman"))
    assert [one.version for one in await layers.versions(state.pool, ALL)] == [6, 5]
    assert await layers.one(state.pool, ALL, 4) is None
    with pytest.raises(layers.TooLarge):
        await changed(state, source_of("own", "t"), rule("oman"), "t")
    assert await changed(state, ALL, rule("oman"))


async def test_files_that_contradict_a_layer_are_not_served_until_either_changes(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(rule("nauru"))
    monkeypatch.setattr(state, "settings", state.settings.model_copy(update={"rules_dir": tmp_path}))  # fmt: skip
    both = {**shipped(), "own.yaml": rule("nauru")}
    assert await first_rules(state.pool, both) == (None, "")
    state.rules, state.rules_hash = both, hash_of(both)
    state.rules_signature = signature(tmp_path)
    assert await changed(state, ALL, "earthflow: 1\noverrides: {acme.nauru: {mode: monitor}}\n")  # fmt: skip
    # The file goes, the layer's override is left: a control that starts then serves nothing new.
    unfit, complaint = await first_rules(state.pool, shipped())
    assert complaint == "layers/all.yaml:2:13"
    assert (await snapshots.served(state.pool)).rules == hash_of(both)
    # One that runs keeps what it has, and tries again when layers change.
    file.unlink()
    task = asyncio.create_task(reload.run(state))
    await becomes_true(lambda: state.unfit is not None)
    assert (unfit, both) == (state.unfit, state.rules)
    assert await changed(state, ALL, "")
    await becomes_true(lambda: state.unfit is None)
    task.cancel()
    assert (await snapshots.served(state.pool)).rules == hash_of(shipped()) == state.rules_hash  # fmt: skip


def test_a_version_covers_whose_rules_it_is_of() -> None:
    known = dict(shipped())
    before = version_of("default", known, "t")
    assert version_of("default", {**known, source_of("own", "u"): rule("malta")}, "t") == before  # fmt: skip
    seen = {version_of("default", {**known, name: rule("malta")}, "t") for name in (ALL, source_of("tenant", "t"), source_of("own", "t"))}  # fmt: skip
    assert len(seen | {before}) == 4
