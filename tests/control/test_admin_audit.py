"""The audit of administration: each change, each refusal and each reading of note is one entry, in the change's own transaction, without a secret."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict

from contract.decision import new_id
from contract.proof import RELAYED, relayed_mac
from contract.setting_types import networks
from control.api.paging import BAD_AFTER, BAD_CURSOR
from control.app import application
from control.errors import NO_TENANT
from control.keyring import REFUSALS, TRIES
from control.routes import ROUTES
from control.state import State
from control.store import admin_audit, known_values, snapshots, tally, webhooks
from control.store.admin_audit import UNDER_WAY, Act, Wanted
from control.store.known_values import New
from control.store.tally import Series

ADMIN = {"X-API-Key": "a" * 40}
PATIENCE = 20.0
# What must be in no entry.
PATH, VALUE, MASTER = "T0SECRETPATH", "Zx81-mk3l-Qu77", Fernet.generate_key().decode()

Client = TestClient[Any, Any]


class Answered(NamedTuple):
    """An answer of the API: its status, its JSON, and the id of its request."""

    status: int
    body: Any
    request: str


@pytest.fixture
async def client(state: State) -> AsyncIterator[Client]:
    await snapshots.pepper(state.pool, state.vault.new_secret())
    async with TestClient(TestServer(application(state))) as made:
        yield made


async def ask(
    client: Client, method: str, path: str, body: object = None, **headers: str
) -> Answered:
    content = body if isinstance(body, str | None) else json.dumps(body)
    told = {**ADMIN, **{name.replace("_", "-"): one for name, one in headers.items()}}
    async with client.request(method, path, data=content, headers=told) as answered:
        text = await answered.text()
        shown = json.loads(text) if text.startswith("{") else text
        return Answered(answered.status, shown, answered.headers["x-request-id"])


async def entries(client: Client, query: str = "", **headers: str) -> Any:
    return (await ask(client, "GET", f"/v1/audit/admin?{query}", **headers)).body[
        "entries"
    ]


async def only(client: Client, answered: Answered) -> dict[str, Any]:
    """The one entry of a request."""
    (entry,) = await entries(client, f"request={answered.request}")
    found: dict[str, Any] = entry
    return found


def signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()  # fmt: skip


EXCHANGE = new_id()
PLACE = {"part": 0, "role": "tool", "kind": "tool_result", "offset": 0, "length": 19, "tool": "Read"}  # fmt: skip
ARCHIVED = json.dumps(
    {
        "id": EXCHANGE, "time": datetime.now(UTC).isoformat(), "tenant": "acme", "status": "BLOCK",
        "rules": [{"rule": "personal.card", "action": "BLOCK", "severity": "high", "count": 1, "findings": [PLACE]}],
    }
)  # fmt: skip
# What an admin does in a day, in order: method, path, body; the entry's action and object. `{…}` is what was answered before.
DAY: list[tuple[str, str, Any, str, str]] = [
    ("POST", "/v1/tenants", {"name": "Acme", "id": "acme"}, "tenants.create", "acme"),
    ("POST", "/v1/tenants:batch", {"tenants": [{"name": "Bee", "id": "bee"}]}, "tenants.batch", "bee"),
    ("POST", "/v1/tenants:apply", {"tenants": [{"id": "bee", "labels": {"a": "b"}}]}, "apply.apply", "bee"),
    ("PATCH", "/v1/tenants/acme", {"max_requests_per_minute": 50}, "tenants.change", "acme"),
    ("PATCH", "/v1/tenants/acme", {"webhook": f"https://hooks.invalid/{PATH}"}, "tenants.change", "acme"),
    ("POST", "/v1/tenants/acme/keys", {"name": "laptop"}, "keys.create", "{id}"),
    ("DELETE", "/v1/tenants/acme/keys/{id}", None, "keys.revoke", "{revoked}"),
    ("POST", "/v1/keys", {"role": "metrics"}, "keys.create_for_nobody", "{id}"),
    ("DELETE", "/v1/keys/{id}", None, "keys.revoke_of_nobody", "{revoked}"),
    ("POST", "/v1/keys/rotate", {"tenant_id": "acme", "dry_run": True}, "keys.rotate", ""),
    ("POST", "/v1/keys/rotate", {"tenant_id": "acme"}, "keys.rotate", "{new}"),
    ("PATCH", "/v1/tenants/acme/secrets", {"secrets": [{"name": "db", "value": VALUE}]}, "known_values.put", "acme"),
    ("DELETE", "/v1/tenants/acme/secrets/db", None, "known_values.delete", "db"),
    ("POST", "/v1/tenants/acme/webhooks", {"url": f"https://hooks.invalid/{PATH}"}, "webhooks.create", "{id}"),
    ("PATCH", "/v1/webhooks/{id}", {"statuses": ["FLAG"]}, "webhooks.change", "{id}"),
    ("POST", "/v1/webhooks/{id}/test", None, "webhooks.test", "{webhook}"),
    ("POST", "/v1/webhooks/{webhook}/replay", {}, "webhooks.replay", "{webhook}"),
    ("POST", "/v1/webhooks/{webhook}/secret", {}, "webhooks.new_secret", "{webhook}"),
    ("DELETE", "/v1/webhooks/{webhook}", None, "webhooks.delete", "{webhook}"),
    ("POST", "/v1/quarantine/replay", {}, "quarantine.replay", ""),
    ("POST", "/v1/audit/import", ARCHIVED, "archive.take_in", ""),
    ("POST", f"/v1/audit/{EXCHANGE}/exceptions", {"by": "tool", "reason": "a guess"}, "exceptions.create", "tenants/acme/exceptions.yaml"),
    ("DELETE", f"/v1/audit/{EXCHANGE}/exceptions", None, "exceptions.delete", "tenants/acme/exceptions.yaml"),
    ("POST", f"/v1/audit/{EXCHANGE}/marks", {"verdict": "false_positive"}, "marks.put", EXCHANGE),
    ("POST", "/v1/rules/replays", {"text": ""}, "replays.create", ""),
    ("POST", "/v1/rules/tries", {"text": f"my password is {VALUE}"}, "tries.create", ""),
    ("POST", "/v1/views", {"name": "blocked", "query": "status=BLOCK"}, "views.put", "{id}"),
    ("DELETE", "/v1/views/{id}", None, "views.delete", "{deleted}"),
    ("POST", "/v1/rules/layers/all", {"reason": "quiet", "text": "earthflow: 1\n"}, "layers.put_for_all", "layers/all.yaml"),
    ("POST", "/v1/tenants/acme/rules/layer", {"reason": "loud", "text": f"earthflow: 1\n# {VALUE}"}, "layers.put_for_tenant", "tenants/acme/layer.yaml"),
    ("POST", "/v1/tenants/acme/rules/own", {"reason": "strict", "text": "earthflow: 1\n"}, "layers.put_own", "tenants/acme/own.yaml"),
    ("POST", "/v1/ca", {}, "authorities.create", "{sha256}"),
    ("POST", "/v1/ca/issue", {"request": signing_request(), "hosts": ["api.openai.com"]}, "authorities.issue", ""),
    ("POST", "/v1/ca", {"beside": True}, "authorities.create", "{sha256}"),
    ("POST", "/v1/ca/finish", None, "authorities.finish", "{sha256}"),
    ("POST", "/v1/master/verify", {"new_key": "{master}"}, "masters.verify", ""),
    ("POST", "/v1/master/rotate", {"new_key": MASTER}, "masters.rotate", "{newest}"),
    ("POST", "/v1/master/abort", None, "masters.abort", "{newest}"),
    ("DELETE", "/v1/tenants/acme", None, "tenants.delete", "acme"),
]  # fmt: skip


def filled(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


async def test_each_change_is_one_entry_and_none_has_a_secret(
    client: Client, state: State
) -> None:
    known: dict[str, str] = {"master": state.vault.master}
    secrets = [PATH, VALUE, MASTER, state.vault.master, "a" * 40]
    for method, path, body, action, object in DAY:
        text = body if isinstance(body, str | None) else json.dumps(body)
        path = filled(path, known)
        done = await ask(client, method, path, text and filled(text, known))
        assert done.status in (200, 201), (path, done)
        told = done.body
        known |= {name: one for name, one in told.items() if isinstance(one, str)}
        known |= {"new": told["rotated"][0].get("new", "")} if "rotated" in told else {}
        known |= {"webhook": known["id"]} if action == "webhooks.change" else {}
        known |= {"sha256": told["roots"][-1]["sha256"]} if "roots" in told and told["roots"] and isinstance(told["roots"], list) else {}  # fmt: skip
        known |= {"newest": told["keys"][-1]["id"]} if action.startswith("masters") and "keys" in told else {}  # fmt: skip
        secrets += [told[name] for name in ("api_key", "secret", "webhook_secret") if name in told]  # fmt: skip
        secrets += [one["api_key"] for one in told.get("rotated", ()) if "api_key" in one]  # fmt: skip
        if (
            action == "webhooks.replay"
        ):  # none was given up but the test: nothing changed
            object = known["webhook"]
        entry = await only(client, done)
        assert (entry["action"], entry["object"], entry["outcome"]) == (action, filled(object, known), "done")  # fmt: skip
        assert (entry["actor"], entry["role"], entry["address"]) == ("environment", "admin", "127.0.0.1")  # fmt: skip
    every = json.dumps(await entries(client, "limit=1000"))
    async with state.pool.connection() as connection:
        rows = await (await connection.execute("SELECT admin_entry::text AS row FROM admin_entry")).fetchall()  # fmt: skip
    for secret in secrets:
        assert secret not in every
        assert not any(secret in row["row"] for row in rows)
    assert len(await entries(client, "limit=1000&outcome=done")) == len(DAY)


async def test_every_route_that_writes_is_in_that_day() -> None:
    done = {(method, action) for method, _, _, action, _ in DAY}
    nouns = {"master_keys": "masters"}
    for route in ROUTES:
        if route.method == "GET" or not route.path.startswith("/v1/"):
            continue
        noun = route.handler.__module__.rpartition(".")[2]
        action = f"{nouns.get(noun, noun)}.{route.handler.__name__}"
        if action != "masters.finalize":  # needs a start with the new key
            assert (route.method, action) in done


async def test_what_was_changed_is_told_before_and_after(client: Client) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    changes = {"name": "B", "rules_preset": "strict", "labels": {"team": "x"}}
    entry = await only(client, await ask(client, "PATCH", "/v1/tenants/a", changes))
    before, after = entry["before"], entry["after"]
    assert before == {"name": "A", "rules_preset": "default", "labels": {}}
    assert after == changes
    same = await only(client, await ask(client, "PATCH", "/v1/tenants/a", changes))
    assert (same["before"], same["after"], same["outcome"]) == ({}, {}, "done")


@pytest.mark.parametrize(
    ("method", "path", "body", "outcome", "object"),
    [
        ("PATCH", "/v1/tenants/none", "{}", "not_found", "none"),
        ("PATCH", "/v1/tenants/%2e%2e%01", "{}", "not_found", "unreadable"),
        ("POST", "/v1/tenants", "[", "bad_request", ""),
        ("POST", "/v1/tenants", '{"name": "x", "id": "a"}', "tenant_exists", "a"),
        ("POST", "/v1/master/abort", None, "not_now", ""),
        ("DELETE", "/v1/tenants/a?x=1", None, "unknown_parameter", "a"),
    ],
)
async def test_what_failed_is_an_entry_and_says_why(
    client: Client, method: str, path: str, body: str | None, outcome: str, object: str
) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    entry = await only(client, await ask(client, method, path, body))
    assert (entry["outcome"], entry["object"], entry["after"]) == (outcome, object, {})


async def test_a_role_that_is_refused_is_an_entry_which_its_tenant_sees(
    client: Client, state: State
) -> None:
    made = [await ask(client, "POST", "/v1/tenants", {"name": id, "id": id}) for id in ("a", "b")]  # fmt: skip
    key = made[0].body["api_key"]
    refused = [
        await ask(client, method, path, X_API_Key=key)
        for method, path in (("GET", "/v1/rules"), ("DELETE", "/v1/tenants/b"), ("PATCH", "/v1/tenants/b"))
    ]  # fmt: skip
    assert [one.status for one in refused] == [403] * 3
    for one in refused:
        entry = await only(client, one)
        assert (entry["outcome"], entry["role"], entry["tenant"]) == ("forbidden", "tenant", "a")  # fmt: skip
        assert entry["actor"] == made[0].body["keys"][0]
    mine = await entries(client, X_API_Key=key)
    assert [one["action"] for one in mine] == ["tenants.change", "tenants.delete", "rules.export", "tenants.create"]  # fmt: skip
    theirs = await ask(client, "GET", "/v1/audit/admin?tenant=b", X_API_Key=key)
    assert theirs.status == 404
    assert (await ask(client, "GET", "/v1/tenants/b", X_API_Key=key)).status == 404
    assert len(await entries(client, X_API_Key=key)) == 4, "a reader sees no entry of what does not exist for it"  # fmt: skip


async def test_a_key_that_is_refused_too_often_must_wait(
    client: Client, state: State
) -> None:
    made = await ask(client, "POST", "/v1/keys", {"role": "metrics"})
    for _ in range(REFUSALS):
        state.guesses.refused(made.body["id"])
    key = made.body["api_key"]
    refused = await ask(client, "GET", "/v1/tenants", X_API_Key=key)
    assert (refused.status, refused.body["error"]["code"]) == (429, "too_many_refused")
    assert (await ask(client, "GET", "/v1/dashboard/metrics", X_API_Key=key)).status == 200  # fmt: skip
    assert await entries(client, f"request={refused.request}") == []


async def test_wrong_keys_are_counted(client: Client, state: State) -> None:
    for number in range(TRIES + 2):
        await ask(client, "GET", "/v1/tenants", X_API_Key=f"wrong{number}")
    await ask(client, "GET", "/v1/tenants", X_API_Key="")
    series = Series("unauthorized_requests", ())
    async with asyncio.timeout(PATIENCE):
        while (await tally.read(state.pool)).get(series, 0) < TRIES + 3:
            await asyncio.sleep(0.05)
    assert (await tally.read(state.pool))[series] == TRIES + 3
    assert await entries(client) == []


async def test_a_change_that_is_undone_has_no_entry(
    state: State, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    monkeypatch.setattr(known_values, "MAX_VALUES", 1)
    token = UNDER_WAY.set(Act("known_values.put", actor="x", role="admin"))
    with pytest.raises(known_values.TooMany):
        await known_values.put(state.pool, "a", [New("b", "x", False), New("c", "x", False)])  # fmt: skip
    UNDER_WAY.reset(token)
    assert await entries(client, "action=known_values") == []


async def test_what_cannot_be_noted_is_not_done(client: Client, state: State) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    async with state.pool.connection() as connection:
        await connection.execute("ALTER TABLE admin_entry ADD CHECK (actor = 'nobody') NOT VALID")  # fmt: skip
    for method, path in (("DELETE", "/v1/tenants/a"), ("GET", "/v1/rules"), ("POST", "/v1/keys/rotate")):  # fmt: skip
        done = await ask(client, method, path, "{}" if method == "POST" else None)
        assert done.status == 500
    assert (await ask(client, "GET", "/v1/tenants/a")).status == 200


async def test_what_is_repeated_with_a_key_is_one_entry(client: Client) -> None:
    body = {"name": "A", "id": "a"}
    first = await ask(client, "POST", "/v1/tenants", body, Idempotency_Key="k")
    again = await ask(client, "POST", "/v1/tenants", body, Idempotency_Key="k")
    assert (again.status, again.body) == (201, first.body)
    assert [one["request"] for one in await entries(client)] == [first.request]


async def test_exports_are_entries_and_looking_is_none(client: Client) -> None:
    for _ in range(3):
        await ask(client, "GET", "/v1/audit?limit=100")
    assert await entries(client) == []
    await ask(client, "GET", "/v1/audit?limit=101&status=BLOCK")
    (noted,) = await entries(client)
    assert (noted["action"], noted["object"], noted["after"]) == ("audit.export", "all tenants", {"status": "BLOCK"})  # fmt: skip
    await ask(client, "GET", "/v1/audit?limit=101&status=BLOCK&cursor=MjAyNi0wMS0wMSAwMTlhMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDA=")  # fmt: skip
    assert len(await entries(client)) == 1, "a page that follows is the same export"
    await ask(client, "GET", "/v1/rules")
    assert [one["action"] for one in await entries(client)] == ["rules.export", "audit.export"]  # fmt: skip


async def test_rules_that_take_effect_are_one_entry(
    state: State, client: Client
) -> None:
    for _ in range(2):  # a second control process sees the same files
        await snapshots.note_rules(state.pool, "hash", {"own.yaml": "f00"}, 0)
    (noted,) = await entries(client)
    assert (noted["action"], noted["actor"]) == ("rules.reload", "control")
    assert noted["after"] == {"version": "hash", "files": {"own.yaml": "f00"}}


async def test_an_address_is_believed_from_our_proxies_and_named_ones_alone(
    client: Client, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen(said: str, mac: str = "") -> Any:
        told = {"X_Forwarded_For": said, **({RELAYED.replace("-", "_"): mac} if mac else {})}  # fmt: skip
        done = await ask(client, "PATCH", "/v1/tenants/none", "{}", **told)
        return (await only(client, done))["address"]

    right = relayed_mac(state.vault.proxy_token, "203.0.113.9")
    assert await seen("203.0.113.9") == "127.0.0.1"
    assert await seen("203.0.113.9", right) == "203.0.113.9"
    assert await seen("203.0.113.10", right) == "127.0.0.1"
    named = type(state.settings).model_validate(
        {
            "EARTHFLOW_MASTER_KEY": state.vault.master,
            "EARTHFLOW_ADMIN_API_KEY": "a" * 40,
            "POSTGRES_PASSWORD": "x" * 20,
            "EARTHFLOW_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8",
        }
    )
    monkeypatch.setattr(state, "settings", named)
    assert await seen("198.51.100.7, 203.0.113.9") == "203.0.113.9"
    assert await seen("198.51.100.7, 203.0.113.9, 10.1.2.3") == "203.0.113.9"
    assert await seen("10.9.9.9, 10.1.2.3") == "10.9.9.9"
    assert await seen("x" * 300) == "x" * 64


async def test_pages_and_filters(client: Client) -> None:
    for id in ("a", "b", "c"):
        await ask(client, "POST", "/v1/tenants", {"name": id, "id": id})
    await ask(client, "DELETE", "/v1/tenants/b")
    first = (await ask(client, "GET", "/v1/audit/admin?limit=3")).body
    rest = (await ask(client, "GET", f"/v1/audit/admin?limit=3&cursor={first['next']}")).body  # fmt: skip
    found = first["entries"] + rest["entries"]
    assert [one["object"] for one in found] == ["b", "c", "b", "a"]
    assert rest["next"] is None
    for query, count in (
        ("object=b", 2),
        ("tenant=b", 2),
        ("action=tenants", 4),
        ("action=tenants.delete", 1),
        ("outcome=forbidden", 0),
        ("actor=environment", 4),
        (f"from={found[1]['at'].replace('+', '%2B')}", 2),
        (f"to={found[1]['at'].replace('+', '%2B')}", 2),
    ):
        assert len(await entries(client, query)) == count, query


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("colour=1", "unknown_parameter"), ("actor=a&actor=b", "given_twice"), ("limit=0", "bad_limit"), ("cursor=x", "bad_cursor"),
        ("from=2026-02-02T00:00:00Z&to=2026-02-01T00:00:00Z", "bad_range"), ("from=yesterday", "bad_from"),
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_refused(
    client: Client, query: str, code: str
) -> None:
    for path in ("/v1/audit/admin", "/v1/audit"):
        known = "actor" not in query or path.endswith("admin")
        answered = await ask(client, "GET", f"{path}?{query}")
        assert answered.status == 400
        if known:
            assert answered.body["error"]["code"] == code


async def test_an_act_of_nobody_changes_without_an_entry(state: State) -> None:
    assert await webhooks.delete(state.pool, "none") is False
    assert await admin_audit.search(state.pool, Wanted(), limit=9, after=None) == []


# -- found by a review and an attack ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/tenants", "/v1/tenants?x=1"])
async def test_refused_writes_of_a_role_are_bounded_and_then_no_entries(
    client: Client, state: State, path: str
) -> None:
    made = await ask(client, "POST", "/v1/keys", {"role": "metrics"})
    key, id = made.body["api_key"], made.body["id"]
    for _ in range(REFUSALS - 2):
        state.guesses.refused(id)
    answers = [await ask(client, "POST", path, "{}", X_API_Key=key) for _ in range(6)]
    assert [one.status for one in answers].count(429) == 4
    assert len(await entries(client, f"actor={id}")) == 2


async def test_an_address_that_cannot_be_read_is_no_fault(client: Client) -> None:
    for said in ("\xff", "1.2.3.4\x80"):
        done = await ask(
            client, "PATCH", "/v1/tenants/none", "{}", X_Forwarded_For=said
        )
        assert done.status == 404


async def test_the_last_of_several_lines_of_addresses_is_the_nearest(
    client: Client, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = state.settings.model_copy(update={"trusted_proxies": networks("127.0.0.1")})
    monkeypatch.setattr(state, "settings", named)
    headers = CIMultiDict([("X-API-Key", "a" * 40), ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.9")])  # fmt: skip
    async with client.patch("/v1/tenants/none", data="{}", headers=headers) as done:
        query = f"request={done.headers['x-request-id']}"
    assert (await entries(client, query))[0]["address"] == "203.0.113.9"


async def test_a_new_key_works_at_once_while_others_are_revoked(
    client: Client,
) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})

    async def churn() -> None:
        for _ in range(15):
            made = await ask(client, "POST", "/v1/tenants/a/keys", {})
            await ask(client, "DELETE", f"/v1/tenants/a/keys/{made.body['id']}")

    async def fresh() -> list[int]:
        found = []
        for _ in range(15):
            made = await ask(client, "POST", "/v1/tenants/a/keys", {})
            key = made.body["api_key"]
            found.append((await ask(client, "GET", "/v1/tenants/a", X_API_Key=key)).status)  # fmt: skip
        return found

    _, found = await asyncio.gather(churn(), fresh())
    assert found == [200] * 15


async def test_a_revoked_key_is_not_revived_by_a_creation(client: Client) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    keys = [(await ask(client, "POST", "/v1/tenants/a/keys", {})).body for _ in range(4)]  # fmt: skip
    await asyncio.gather(
        *(ask(client, "DELETE", f"/v1/tenants/a/keys/{one['id']}") for one in keys),
        *(ask(client, "POST", "/v1/tenants/a/keys", {}) for _ in keys),
    )
    for one in keys:
        got = await ask(client, "GET", "/v1/tenants/a", X_API_Key=one["api_key"])
        assert got.status == 401


async def test_changes_of_two_admins_are_told_apart_and_wait_for_one_another(
    client: Client,
) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    hook = {"webhooks": [{"url": "https://two.invalid/", "statuses": ["FLAG"]}]}
    for round in range(6):
        done = await asyncio.gather(
            ask(client, "PATCH", "/v1/tenants/a", {"name": f"N{round}", "webhook": f"https://one.invalid/{round}"}),
            ask(client, "POST", "/v1/tenants:apply", {"tenants": [{"id": "a", **hook}], "prune": True}),
            ask(client, "PATCH", "/v1/tenants/a", {"labels": {"round": str(round)}}),
        )  # fmt: skip
        assert [one.status for one in done] == [200] * 3
        labels = await only(client, done[2])
        assert set(labels["before"]) | set(labels["after"]) == {"labels"}


async def test_a_tenant_does_not_learn_who_the_operators_are(client: Client) -> None:
    made = await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    (own,) = await entries(client, X_API_Key=made.body["api_key"])
    assert (own["actor"], own["address"], own["action"]) == ("admin", "", "tenants.create")  # fmt: skip


async def test_a_dry_run_is_told_apart(client: Client) -> None:
    for path, body in (
        ("/v1/keys/rotate", {"dry_run": True}),
        ("/v1/tenants:apply", {"tenants": [{"id": "a", "name": "A"}], "dry_run": True}),
    ):
        entry = await only(client, await ask(client, "POST", path, body))
        assert entry["after"] == {"dry_run": True}


async def test_what_apply_makes_is_found_by_its_id(client: Client) -> None:
    wanted = {"id": "a", "name": "A", "keys": ["k"], "webhooks": [{"url": "https://one.invalid/"}]}  # fmt: skip
    done = await ask(client, "POST", "/v1/tenants:apply", {"tenants": [wanted]})
    (applied,) = done.body["tenants"]
    for made in (*applied["new_keys"], *applied["new_webhooks"]):
        (entry,) = await entries(client, f"object={made['id']}")
        assert (entry["tenant"], entry["request"]) == ("a", done.request)


async def test_a_body_that_nobody_wants_is_not_read_for_long(state: State) -> None:
    from control.__main__ import LINGER_SECONDS

    runner = web.AppRunner(application(state), lingering_time=LINGER_SECONDS)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    writer.write(b"POST /v1/tenants HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")  # fmt: skip
    assert b" 401 " in await reader.readline()
    with pytest.raises((ConnectionError, TimeoutError)):
        async with asyncio.timeout(PATIENCE):
            while True:
                writer.write(b"1\r\na\r\n" * 1000)
                await writer.drain()
                if reader.at_eof() or writer.is_closing():
                    raise ConnectionResetError
                await asyncio.sleep(0)
    writer.close()
    await runner.cleanup()


async def bound_key(client: Client, role: str, *tenants: str) -> str:
    made = await ask(client, "POST", "/v1/keys", {"role": role, "tenants": list(tenants)})  # fmt: skip
    key: str = made.body["api_key"]
    return key


async def test_a_refusal_keeps_nothing_of_its_request(
    client: Client, state: State
) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "a", "id": "a"})
    key = await bound_key(client, "auditor", "a")
    for path in ("/v1/tenants/b", "/v1/tenants?after=none", "/v1/audit?cursor=none"):
        for _ in range(3):
            assert (await ask(client, "GET", path, X_API_Key=key)).status in (400, 404)
    for kept in (NO_TENANT, BAD_AFTER, BAD_CURSOR):
        assert (kept.__traceback__, kept.__context__) == (None, None)


async def test_what_a_bound_key_takes_away_is_an_entry_of_each_of_its_tenants(
    client: Client, state: State
) -> None:
    for id in ("a", "b", "c"):
        await ask(client, "POST", "/v1/tenants", {"name": id, "id": id})
    key = await bound_key(client, "auditor", "a", "b")
    for text in ("x", "y"):
        told = await ask(client, "GET", f"/v1/audit?limit=1000&text={text}", X_API_Key=key)  # fmt: skip
        assert told.status == 200
    exports = await entries(client, "action=audit.export")
    assert sorted(one["tenant"] for one in exports) == ["a", "b"]
    # A foreign tenant has no entry of what was refused.
    refused = await ask(client, "GET", "/v1/tenants/c", X_API_Key=key)
    assert refused.status == 404
    changed = await bound_key(client, "operator", "a")
    refused = await ask(client, "PATCH", "/v1/tenants/c", {"name": "x"}, X_API_Key=changed)  # fmt: skip
    assert refused.status == 404
    assert (await only(client, refused))["tenant"] is None


async def test_a_webhook_of_a_tenant_that_ended_is_changed_by_nobody(
    client: Client, state: State
) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "a", "id": "a"})
    await ask(client, "POST", "/v1/tenants", {"name": "b", "id": "b"})
    hook = (await ask(client, "POST", "/v1/tenants/a/webhooks", {"url": "https://hooks.invalid/"})).body["id"]  # fmt: skip
    key = await bound_key(client, "operator", "a", "b")
    assert (await ask(client, "DELETE", "/v1/tenants/a", X_API_Key=key)).status == 200
    path = f"/v1/webhooks/{hook}"
    for method, more, body in (("PATCH", "", {"statuses": ["BLOCK"]}), ("POST", "/secret", {}), ("POST", "/replay", {}), ("POST", "/test", None), ("DELETE", "", None)):  # fmt: skip
        assert (await ask(client, method, path + more, body, X_API_Key=key)).status == 404  # fmt: skip
    shown = await ask(client, "GET", path, X_API_Key=key)
    assert (shown.status, shown.body["disabled"]) == (200, "its tenant was deleted")


async def test_an_operators_own_mistakes_are_no_refusals(
    client: Client, state: State
) -> None:
    made = await ask(client, "POST", "/v1/keys", {"role": "operator"})
    key = made.body["api_key"]
    await ask(client, "POST", "/v1/tenants", {"name": "a", "id": "a"})
    for _ in range(REFUSALS):
        state.guesses.refused(made.body["id"])
    again = await ask(client, "POST", "/v1/tenants", {"name": "a", "id": "a"}, X_API_Key=key)  # fmt: skip
    assert again.status == 409
