"""A file of tenants is applied whole or not at all, changes nothing the second time, and prunes only when asked."""

import json
from typing import Any

import pytest

from control.api import tenants as tenants_api
from control.state import State
from control.store import tenants
from tests.control.test_admin_audit import Client, ask, client, entries

__all__ = ["client"]  # the fixture

FILE = [
    {
        "id": "acme", "name": "Acme", "rules_preset": "strict", "labels": {"team": "a"}, "max_requests_per_minute": 50,
        "keys": ["laptop", "ci"], "webhooks": [{"url": "https://hooks.invalid/SECRETPATH", "statuses": ["BLOCK", "FLAG"]}],
    },
    {"id": "bee", "name": "Bee"},
]  # fmt: skip


async def applied(client: Client, file: Any, **more: bool) -> Any:
    done = await ask(client, "POST", "/v1/tenants:apply", {"tenants": file, **more})
    assert done.status == 200, done.body
    return done.body["tenants"]


async def listed(client: Client, query: str = "") -> Any:
    return (await ask(client, "GET", f"/v1/tenants?{query}")).body


async def test_a_file_is_made_true_and_the_second_time_nothing_changes(
    client: Client,
) -> None:
    before = len(await entries(client))
    planned = await applied(client, FILE, dry_run=True)
    assert [one["action"] for one in planned] == ["create", "create"]
    assert "api_key" not in json.dumps(planned)
    assert [one["id"] for one in (await listed(client))["tenants"]] == []
    acme, bee = await applied(client, FILE)
    assert [key["name"] for key in acme["new_keys"]] == ["laptop", "ci"]
    assert [key["name"] for key in bee["new_keys"]] == [""]
    assert acme["new_webhooks"][0]["secret"].startswith("whsec_")
    shown = (await ask(client, "GET", "/v1/tenants/acme")).body
    assert (shown["rules_preset"], shown["labels"], len(shown["keys"])) == ("strict", {"team": "a"}, 2)  # fmt: skip
    key = acme["new_keys"][0]["api_key"]
    assert (await ask(client, "GET", "/v1/tenants/acme", X_API_Key=key)).status == 200
    again = await applied(client, FILE)
    assert [one["action"] for one in again] == ["same", "same"]
    assert not [one for one in again if one["new_keys"] or one["new_webhooks"]]
    noted = await entries(client)
    made = ["acme", "bee", acme["new_webhooks"][0]["id"], *(key["id"] for key in acme["new_keys"] + bee["new_keys"])]  # fmt: skip
    assert sorted((one["object"], one["outcome"]) for one in noted) == sorted([("", "done"), ("", "done"), *((one, "done") for one in made)])  # fmt: skip
    assert len(noted) == before + 8, (
        "dry run, two tenants with three keys and a webhook, nothing changed"
    )
    assert "SECRETPATH" not in json.dumps(noted)


async def test_what_a_file_does_not_name_stays_and_what_it_names_is_changed(
    client: Client,
) -> None:
    await applied(client, FILE)
    (one,) = await applied(client, [{"id": "acme", "max_requests_per_minute": None, "webhooks": [{"url": "https://other.invalid/"}]}])  # fmt: skip
    assert (one["action"], one["before"]["max_requests_per_minute"]) == ("change", 50)
    assert one["after"]["max_requests_per_minute"] is None
    hooks = (await ask(client, "GET", "/v1/tenants/acme/webhooks")).body["webhooks"]
    assert len(hooks) == 2, "without prune the other one stays"
    shown = (await ask(client, "GET", "/v1/tenants/acme")).body
    assert (shown["name"], shown["labels"], len(shown["keys"])) == ("Acme", {"team": "a"}, 2)  # fmt: skip
    (one,) = await applied(client, [{"id": "acme", "webhooks": [{"url": "https://other.invalid/", "statuses": ["FLAG"]}]}], prune=True)  # fmt: skip
    hooks = (await ask(client, "GET", "/v1/tenants/acme/webhooks")).body["webhooks"]
    assert [(hook["url"], hook["statuses"]) for hook in hooks] == [("https://other.invalid/", ["FLAG"])]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "status", "place"),
    [
        ({"id": "new"}, 400, "has no name"), ({"id": "new", "name": ""}, 400, "tenants[2].name"), ({"id": "NEW", "name": "x"}, 400, "tenants[2].id"),
        ({"id": "new", "name": "x", "colour": 1}, 400, "tenants[2]"), ({"id": "acme", "name": "x"}, 400, "twice"), ({"name": "x"}, 400, "tenants[2]"),
        ({"id": "old", "name": "x"}, 409, "has ended"), ({"id": "new", "name": "x", "webhooks": [{"url": "http://h/"}]}, 400, "webhook"),
        ({"id": "new", "name": "x", "webhooks": [{"url": "https://10.0.0.1/"}]}, 400, "public"), ({"id": "new", "name": "x", "rules_preset": "strikt"}, 400, "strict"),
        ({"id": "new", "name": "a\u202eb"}, 400, "tenants[2].name"), ({"id": "new", "name": "x", "keys": ["a"] * 101}, 400, "tenants[2].keys"),
        ({"id": "new", "name": "x", "max_requests_per_minute": 1_000_001}, 400, "tenants[2].max_requests_per_minute"),
    ],
)  # fmt: skip
async def test_a_file_that_is_half_wrong_changes_nothing(
    client: Client, bad: Any, status: int, place: str
) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "Old", "id": "old"})
    await ask(client, "DELETE", "/v1/tenants/old")
    for dry in (True, False):
        done = await ask(client, "POST", "/v1/tenants:apply", {"tenants": [*FILE, bad], "dry_run": dry})  # fmt: skip
        assert (done.status, place in json.dumps(done.body)) == (status, True), done.body  # fmt: skip
    assert (await listed(client))["tenants"] == []


async def test_two_admins_at_once_make_each_thing_once(client: Client) -> None:
    import asyncio

    await applied(client, [{"id": "acme", "name": "Acme"}])
    wanted = [{"id": "acme", "keys": ["laptop"], "webhooks": [{"url": "https://hooks.invalid/"}]}]  # fmt: skip
    both = await asyncio.gather(*(applied(client, wanted) for _ in range(4)))
    assert sorted(one["action"] for (one,) in both) == ["change", "same", "same", "same"]  # fmt: skip
    assert len((await ask(client, "GET", "/v1/tenants/acme")).body["keys"]) == 2


# -- pages and batches ------------------------------------------------------------------------------------------------


async def test_tenants_come_in_pages_with_a_search_and_ended_ones_when_asked(
    client: Client,
) -> None:
    ids = [f"t{number:03}" for number in range(25)]
    made = await ask(client, "POST", "/v1/tenants:batch", {"tenants": [{"id": id, "name": f"Name {id}"} for id in ids]})  # fmt: skip
    assert (made.status, len({one["api_key"] for one in made.body["tenants"]})) == (201, 25)  # fmt: skip
    await ask(client, "DELETE", "/v1/tenants/t003")
    found: list[str] = []
    after = ""
    while True:
        page = await listed(client, f"limit=10{after}")
        found += [one["id"] for one in page["tenants"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    live = [id for id in ids if id != "t003"]
    assert found == live
    assert [one["id"] for one in (await listed(client))["tenants"]] == live
    assert [one["id"] for one in (await listed(client, "search=NAME%20T01"))["tenants"]] == ids[10:20]  # fmt: skip
    assert (await listed(client, "search=100%25"))["tenants"] == []
    (ended,) = (await listed(client, "state=ended"))["tenants"]
    assert (ended["id"], ended["deleted_at"] is not None, ended["keys"] != []) == ("t003", True, True)  # fmt: skip
    assert len((await listed(client, "state=all&limit=100"))["tenants"]) == 25
    for query, code in (("limit=0", "bad_limit"), ("after=%20", "bad_after"), ("state=old", "bad_state"), ("search=" + "x" * 201, "bad_search")):  # fmt: skip
        assert (await listed(client, query))["error"]["code"] == code


async def test_all_tenants_are_streamed_whole(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants_api, "PAGE", 4)
    for count in (3, 4, 5, 8):
        ids = [f"c{count}-{number}" for number in range(count)]
        await ask(client, "POST", "/v1/tenants:batch", {"tenants": [{"id": id, "name": id} for id in ids]})  # fmt: skip
        found = await listed(client)
        assert [one["id"] for one in found["tenants"]] == ids
        assert found["next"] is None
        for id in ids:
            await ask(client, "DELETE", f"/v1/tenants/{id}")


async def test_a_batch_is_made_whole_or_not_at_all(client: Client, state: State) -> None:  # fmt: skip
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    for batch, status in (
        ([{"name": "b", "id": "b"}, {"name": "a", "id": "a"}], 409), ([{"name": "b", "id": "b"}, {"name": "b", "id": "b"}], 400),
        ([{"name": "b", "id": "b"}, {"name": ""}], 400), ([], 400), ([{"name": "x"}] * 501, 400),
    ):  # fmt: skip
        assert (await ask(client, "POST", "/v1/tenants:batch", {"tenants": batch})).status == status  # fmt: skip
    assert [one.id for one in await tenants.every(state.pool)] == ["a"]


async def test_keys_come_in_pages_and_ended_ones_stay_listed(client: Client) -> None:
    await ask(client, "POST", "/v1/tenants", {"name": "A", "id": "a"})
    made = [(await ask(client, "POST", "/v1/tenants/a/keys", {"name": f"k{n}"})).body["id"] for n in range(5)]  # fmt: skip
    await ask(client, "DELETE", f"/v1/tenants/a/keys/{made[1]}")
    first = (await ask(client, "GET", "/v1/tenants/a/keys?limit=4")).body
    rest = (await ask(client, "GET", f"/v1/tenants/a/keys?limit=4&after={first['next']}")).body  # fmt: skip
    every = first["keys"] + rest["keys"]
    assert [one["id"] for one in every][1:] == made
    assert [one["status"] for one in every].count("ended") == 1
    found = (await ask(client, "GET", "/v1/tenants/a/keys?search=K3")).body["keys"]
    assert [one["name"] for one in found] == ["k3"]
    await ask(client, "DELETE", "/v1/tenants/a")
    assert len((await ask(client, "GET", "/v1/tenants/a/keys")).body["keys"]) == 6


async def test_an_export_that_is_applied_changes_no_webhook(client: Client) -> None:
    await applied(client, FILE)
    await applied(client, [{"id": "acme", "webhooks": [{"url": "https://two.invalid/"}, {"url": "https://hooks.invalid/SECRETPATH", "statuses": ["BLOCK", "FLAG"]}]}])  # fmt: skip
    exported = (await listed(client))["tenants"]
    again = [{name: one[name] for name in ("id", "name", "webhook")} for one in exported]  # fmt: skip
    assert [one["action"] for one in await applied(client, again, prune=True)] == ["same", "same"]  # fmt: skip
    assert len((await ask(client, "GET", "/v1/tenants/acme/webhooks")).body["webhooks"]) == 2  # fmt: skip


async def test_the_id_of_a_key_that_ended_is_no_name_for_a_new_one(client: Client) -> None:  # fmt: skip
    (made,) = (await applied(client, [FILE[1]]))[0]["new_keys"]
    (same,) = await applied(client, [{"id": "bee", "keys": [made["id"]]}])
    assert same["action"] == "same"
    await ask(client, "DELETE", f"/v1/tenants/bee/keys/{made['id']}")
    for tenant in ("bee", "acme"):
        body = {"tenants": [{"id": tenant, "name": "x", "keys": [made["id"]]}]}
        done = await ask(client, "POST", "/v1/tenants:apply", body)
        assert (done.status, done.body["error"]["code"]) == (409, "key_ended")


async def test_a_url_twice_is_refused_and_two_admins_who_make_one_tenant_both_succeed(
    client: Client,
) -> None:
    import asyncio

    twice = [{"url": "https://one.invalid/"}, {"url": "https://one.invalid/", "statuses": ["FLAG"]}]  # fmt: skip
    done = await ask(client, "POST", "/v1/tenants:apply", {"tenants": [{"id": "a", "name": "A", "webhooks": twice}]})  # fmt: skip
    assert (done.status, done.body["error"]["code"]) == (400, "same_url")
    both = await asyncio.gather(*(applied(client, [{"id": "a", "name": "A"}]) for _ in range(6)))  # fmt: skip
    assert sorted(one["action"] for (one,) in both) == ["create", *["same"] * 5]


async def test_a_head_has_no_body_and_what_is_behind_no_id_is_said(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants_api, "PAGE", 2)
    await applied(client, [{"id": f"t{n}", "name": "x"} for n in range(5)])
    async with client.head("/v1/tenants", headers={"X-API-Key": "a" * 40}) as answered:
        assert (answered.status, await answered.read()) == (200, b"")
    key = (await ask(client, "GET", "/v1/tenants/t1/keys")).body["keys"][0]["id"]
    for path in ("/v1/tenants?after=none", "/v1/tenants/t0/keys?after=none", f"/v1/tenants/t0/keys?after={key}"):  # fmt: skip
        assert (await ask(client, "GET", path)).body["error"]["code"] == "bad_after"
