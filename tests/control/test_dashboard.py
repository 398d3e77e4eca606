"""The dashboard: who sees which page, what a session is worth, and what strangers can do with the pages of others."""

import asyncio
import html
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as aioredis
from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from jinja2.ext import extract_from_ast
from multidict import CIMultiDict
from pydantic import SecretStr
from yarl import URL

from contract.decision import Decision, Fired, Place, new_id, time_of
from contract.setting_types import networks
from control import sessions
from control.app import application
from control.dashboard import account, decisions, render, site
from control.dashboard.languages import GIVEN, LANGUAGES
from control.keyring import REFUSALS, TRIES
from control.permissions import PERMISSIONS, Caller
from control.state import State
from control.store import admin_audit
from control.store.admin_audit import Wanted
from tests.control.test_activity import keep

ADMIN = "a" * 40
STRANGE = "<script>alert(1)</script>\u202e\u200b& \"'"
COOKIE = "earthflow"
PAGES = [one for one in site.PAGES if one.method == "GET"]
FORMS = [one for one in site.PAGES if one.method == "POST"]


class Person:
    """Somebody at a browser: it keeps cookies, and sends forms with what the page before gave it."""

    def __init__(self, client: "TestClient[Any, Any]"):
        self.client, self.text, self.token = client, "", ""

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self._take(await self.client.get(path, headers=headers, allow_redirects=False))  # fmt: skip

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> ClientResponse:  # fmt: skip
        told = {"Origin": str(self.client.make_url("")).rstrip("/"), **headers}
        data = {"form_token": self.token, **fields}
        return await self._take(await self.client.post(path, data=data, headers=told, allow_redirects=False))  # fmt: skip

    async def _take(self, answer: ClientResponse) -> ClientResponse:
        self.text = await answer.text()
        found = re.search(r'name="form_token" value="(\w+)"', self.text)
        self.token = found[1] if found else self.token
        return answer

    async def sign_in(self, key: str, **fields: str) -> ClientResponse:
        answer = await self.post("/sign-in", {"key": key, **fields})
        if answer.status == 303:
            await self.get("/account")
        return answer

    @property
    def cookie(self) -> str:
        return next((one.value for one in self.client.session.cookie_jar if one.key == COOKIE), "")  # fmt: skip

    def carry(self, cookie: str) -> None:
        """Have another cookie."""
        self.client.session.cookie_jar.update_cookies({COOKIE: cookie}, self.client.make_url("/"))  # fmt: skip


@asynccontextmanager
async def person(state: State) -> AsyncIterator[Person]:
    """Somebody at a control of this state."""
    async with TestClient(TestServer(application(state)), cookie_jar=CookieJar(unsafe=True)) as client:  # fmt: skip
        yield Person(client)


@pytest.fixture
async def ada(state: State) -> AsyncIterator[Person]:
    await state.read_keys()
    async with person(state) as made:
        yield made


async def entries(state: State, action: str) -> list[Any]:
    return await admin_audit.search(state.pool, Wanted(action=action), limit=50, after=None)  # fmt: skip


# -- in and out -------------------------------------------------------------------------------------------------------


async def test_somebody_signs_in_by_a_key_and_out_and_both_are_written_down(ada: Person, state: State) -> None:  # fmt: skip
    assert (await ada.get("/decisions?status=BLOCK")).headers["Location"] == "/sign-in?then=/decisions?status%3DBLOCK"  # fmt: skip
    answer = await ada.sign_in(ADMIN, then="/decisions?status=BLOCK")
    assert (answer.status, answer.headers["Location"]) == (303, "/decisions?status=BLOCK")  # fmt: skip
    assert (await ada.get("/")).status == 200
    kept = ada.cookie
    assert (await ada.post("/sign-out", {})).headers["Location"] == "/sign-in"
    assert not ada.cookie
    ada.carry(kept)
    assert (await ada.get("/")).status == 303
    assert [(one.actor, one.after) for one in await entries(state, "sign_ins.begin")] == [("environment", {"by": "key"})]  # fmt: skip
    assert len(await entries(state, "sign_ins.end")) == 1


async def test_a_wrong_key_is_refused_and_not_without_end(ada: Person) -> None:
    statuses = [(await ada.sign_in("ef_adm_nobody")).status for _ in range(TRIES + 1)]
    assert statuses == [401] * TRIES + [429]
    assert "not valid" not in ada.text and "Too many wrong keys" in ada.text
    assert not ada.cookie


async def test_the_cookie_is_for_this_host_by_https_and_for_no_script(ada: Person, state: State, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    answer = await ada.sign_in(ADMIN)
    told = answer.headers["Set-Cookie"]
    assert told.startswith("earthflow=") and "HttpOnly" in told and "SameSite=Lax" in told and "Path=/" in told  # fmt: skip
    assert "Secure" not in told and "Domain" not in told
    settings = state.settings.model_copy(update={"trusted_proxies": networks("127.0.0.0/8")})  # fmt: skip
    monkeypatch.setattr(state, "settings", settings)
    there = {"Host": "earthflow.corp.example", "X-Forwarded-Proto": "https"}
    answer = await ada.post("/sign-in", {"key": ADMIN}, **there, Origin="https://earthflow.corp.example")  # fmt: skip
    told = answer.headers["Set-Cookie"]
    assert told.startswith("__Host-earthflow=") and "Secure" in told and "Domain" not in told  # fmt: skip


@pytest.mark.parametrize("headers", [
    {"Host": "earthflow.corp.example"},
    {"Host": "earthflow.corp.example", "X-Forwarded-Proto": "https"},
    {"Host": "localhost.evil.example"},
    {"Host": "10.0.0.7"},
])  # fmt: skip
async def test_no_key_is_taken_without_https_but_on_the_own_machine(ada: Person, headers: dict[str, str]) -> None:  # fmt: skip
    assert (await ada.get("/", **headers)).status == 403
    assert "without HTTPS" in ada.text and 'name="key"' not in ada.text
    origin = f"http://{headers['Host']}"
    assert (await ada.post("/sign-in", {"key": ADMIN}, **headers, Origin=origin)).status == 403  # fmt: skip
    assert not ada.cookie
    assert (await ada.get("/sign-in", Host="localhost:8080")).status == 200
    assert 'name="key"' in ada.text


async def test_a_session_is_another_after_each_sign_in(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    first = ada.cookie
    await ada.sign_in(ADMIN)
    second = ada.cookie
    ids = [sessions.opened(state, one) for one in (first, second)]
    assert ids[0] is not None and ids[1] is not None and ids[0].id != ids[1].id
    ada.carry(first)  # as somebody had who gave it to her
    assert (await ada.get("/")).status == 303
    ada.carry(second)
    assert (await ada.get("/")).status == 200


@pytest.mark.parametrize("change", [
    {"began": -sessions.LASTS - 1}, {"seen": -sessions.IDLE - 1}, {"began": sessions.SKEW * 10}, {"proof": "0" * 64}, {"key": "nobody"},
])  # fmt: skip
async def test_a_session_that_is_too_old_or_of_no_key_is_worth_nothing(ada: Person, state: State, change: dict[str, Any]) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    session = sessions.opened(state, ada.cookie)
    assert session is not None
    told = {name: value if isinstance(value, str) else getattr(session, name) + value for name, value in change.items()}  # fmt: skip
    other = msgspec.structs.replace(session, **told)
    ada.carry(sessions.seal(state, other))
    assert (await ada.get("/")).status == 303
    for forged in ("", "x", state.vault.seal("session", b"{}"), state.vault.seal("draft", msgspec.json.encode(session)), state.vault.wrap(msgspec.json.encode(session)), ada.cookie[:-4]):  # fmt: skip
        ada.carry(forged)
        assert (await ada.get("/")).status == 303


async def test_a_session_is_in_use_as_long_as_pages_are_open(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    session = sessions.opened(state, ada.cookie)
    assert session is not None
    assert "Set-Cookie" not in (await ada.get("/")).headers
    old = msgspec.structs.replace(session, seen=session.seen - sessions.RESEAL - 1)
    ada.carry(sessions.seal(state, old))
    await ada.get("/")
    renewed = sessions.opened(state, ada.cookie)
    assert renewed is not None and renewed.id == session.id
    assert renewed.seen > old.seen and renewed.began == session.began


async def made_key(ada: Person, role: str, *tenants: str) -> dict[str, str]:
    body = {"role": role, "tenants": list(tenants) or None}
    answer = await ada.client.post("/v1/keys", json=body, headers={"X-API-Key": ADMIN})
    told: dict[str, str] = await answer.json()
    return told


async def test_a_revoked_key_ends_its_sessions(ada: Person) -> None:
    made = await made_key(ada, "auditor")
    await ada.sign_in(made["api_key"])
    assert (await ada.get("/")).status == 200
    await ada.client.delete(f"/v1/keys/{made['id']}", headers={"X-API-Key": ADMIN})
    assert (await ada.get("/")).status == 303


async def test_another_admin_key_ends_the_sessions_of_the_one_before(ada: Person, state: State, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    monkeypatch.setattr(state, "settings", state.settings.model_copy(update={"admin_key": SecretStr("b" * 40)}))  # fmt: skip
    assert (await ada.get("/")).status == 303


async def test_signing_out_everywhere_ends_the_other_browsers_too(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    async with person(state) as other:
        await other.sign_in(ADMIN)
        assert (await other.get("/")).status == 200
        assert (await ada.post("/account/sign-out-everywhere", {})).status == 303
        assert (await other.get("/")).status == 303
        await other.sign_in(ADMIN)  # a new one works
        assert (await other.get("/")).status == 200
    assert [one.after for one in await entries(state, "sign_ins.end")] == [{"everywhere": True}]  # fmt: skip


async def test_a_session_that_ended_stays_so_where_postgresql_or_redis_is_away(ada: Person, state: State, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    ended = ada.cookie
    await ada.post("/sign-out", {})
    await ada.sign_in(ADMIN)
    current = ada.cookie
    gone = aioredis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=1)
    redis = state.redis
    monkeypatch.setattr(state, "redis", gone)
    for cookie, status in ((ended, 303), (current, 200)):
        ada.carry(cookie)
        assert (await ada.get("/account")).status == status
    await state.pool.close()
    monkeypatch.setattr(state, "redis", redis)
    for cookie, status in ((ended, 303), (current, 200)):
        ada.carry(cookie)
        assert (await ada.get("/account")).status == status
    # With both away nobody knows, so nothing can be changed, and the page says why.
    monkeypatch.setattr(state, "redis", gone)
    ada.carry(current)
    assert (await ada.get("/account")).status == 200
    answer = await ada.post("/tenants", {"name": "x"})
    assert answer.status == 503 and "PostgreSQL does not answer" in ada.text
    assert (await ada.get("/")).status == 200 and "does not answer" in ada.text
    await gone.aclose()


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [
    {"form_token": ""}, {"form_token": "0" * 64}, {"form_token": "\udcff"},
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"},
], ids=str)  # fmt: skip
async def test_a_form_of_another_page_does_nothing(ada: Person, state: State, wrong: dict[str, str]) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    fields = {name: value.encode("utf-8", "replace").decode() for name, value in wrong.items() if name == "form_token"}  # fmt: skip
    headers = {name: value for name, value in wrong.items() if name == "Origin"}
    for path in ("/tenants", "/staff", "/account/sign-out-everywhere", "/decisions/views"):  # fmt: skip
        assert (await ada.post(path, {"name": "x", **fields}, **headers)).status == 403, path  # fmt: skip
    assert await entries(state, "tenants.create") == []
    assert (await ada.get("/")).status == 200


async def test_the_form_token_of_one_session_is_not_that_of_another(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    token = ada.token
    async with person(state) as eve:
        await eve.sign_in(ADMIN)
        assert eve.token != token
        eve.token = token
        assert (await eve.post("/tenants", {"name": "x"})).status == 403


async def test_a_form_whose_sender_was_signed_out_is_shown_to_them_again(ada: Person, state: State) -> None:  # fmt: skip
    made = await made_key(ada, "admin")
    await ada.sign_in(made["api_key"])
    session = sessions.opened(state, ada.cookie)
    assert session is not None
    await sessions.end(state, session.id)
    answer = await ada.post("/tenants", {"name": "Typed <b>", "id": "typed"})
    assert answer.status == 401 and "nothing you typed is lost" in ada.text
    assert "Typed" not in ada.text  # it is sealed
    draft = re.search(r'name="draft" value="([^"]+)"', ada.text)
    assert draft is not None
    # somebody else at this browser does not see it
    await ada.post("/sign-in", {"key": ADMIN, "draft": draft[1]})
    assert "was somebody else" in html.unescape(ada.text) and "Typed" not in ada.text
    await ada.post("/sign-out", {})
    answer = await ada.post("/sign-in", {"key": made["api_key"], "draft": draft[1]})
    assert answer.status == 200 and "Typed &lt;b&gt;" in ada.text
    fields = {name: html.unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', ada.text)}  # fmt: skip
    assert (await ada.post("/tenants", fields)).status == 200
    assert [one.object for one in await entries(state, "tenants.create")] == ["typed"]


async def test_what_is_sent_twice_is_done_once(ada: Person, state: State) -> None:
    await ada.sign_in(ADMIN)
    await ada.get("/tenants")
    once = re.search(r'name="once" value="([\w-]+)"', ada.text)
    assert once is not None
    for _ in range(2):  # as by reloading the page with the key
        assert (await ada.post("/tenants", {"name": "Acme", "id": "acme", "once": once[1]})).status == 200  # fmt: skip
        assert re.search(r"ef_live_\w+", ada.text)
    assert len(await entries(state, "tenants.create")) == 1


async def test_of_two_who_change_the_same_the_second_is_told(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    await ada.post("/tenants", {"name": "Acme", "id": "acme"})
    form = {"name": "Acme", "was_name": "Acme", "rules_preset": "strict", "was_rules_preset": "default"}  # fmt: skip
    assert (await ada.post("/tenants/acme", form)).status == 303
    form = {"name": "Typed", "was_name": "Acme", "rules_preset": "monitor", "was_rules_preset": "default"}  # fmt: skip
    answer = await ada.post("/tenants/acme", form)
    assert answer.status == 409 and "Somebody changed rules_preset meanwhile, to strict" in ada.text  # fmt: skip
    assert 'value="Typed"' in ada.text  # what they typed is there still
    assert len(await entries(state, "tenants.change")) == 1
    text = "earthflow: 1\nrules: []\n"
    layer = {"text": text, "reason": "one", "after": "0", "do": "put"}
    assert (await ada.post("/rules/layers/all", layer)).status == 303
    answer = await ada.post("/rules/layers/all", {**layer, "text": text + "# mine\n"})
    assert answer.status == 409 and "# mine" in ada.text


async def test_nothing_is_ended_or_revoked_whose_name_was_not_typed(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    await ada.post("/tenants", {"name": "Acme", "id": "acme"})
    (key,) = (await (await ada.client.get("/v1/tenants/acme/keys", headers={"X-API-Key": ADMIN})).json())["keys"]  # fmt: skip
    for path in ("/tenants/acme/end", "/tenants/acme/keys/rotate", f"/tenants/acme/keys/{key['id']}/revoke"):  # fmt: skip
        assert (await ada.post(path, {"typed": "acm"})).status == 400
        assert "Nothing was done" in ada.text
    assert (await ada.post(f"/tenants/acme/keys/{key['id']}/revoke", {"typed": key["id"]})).status == 303  # fmt: skip
    assert (await ada.post("/tenants/acme/end", {"typed": "acme"})).status == 303
    assert len(await entries(state, "keys.revoke")) == 1
    assert len(await entries(state, "tenants.delete")) == 1


# -- what strangers try ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/x\r\nSet-Cookie: a=b", "\\\\evil"])  # fmt: skip
async def test_nobody_is_sent_elsewhere(ada: Person, then: str) -> None:
    assert (await ada.sign_in(ADMIN, then=then)).headers["Location"] == "/"
    for path in ("/sign-in", "/language"):
        answer = await ada.client.get(path, params={"then": then, "language": "fr"}, allow_redirects=False)  # fmt: skip
        assert answer.headers["Location"] == "/"
        assert "a=b" not in str(answer.headers.getall("Set-Cookie", []))


async def test_every_page_forbids_what_it_does_not_need(ada: Person) -> None:
    await ada.sign_in(ADMIN)
    paths = [one.path.format(id="none", kind="all", key="k") for one in PAGES]
    paths.remove("/decisions/tail")
    for path in [*paths, "/sign-in", "/signed-in", "/assets/earthflow.css", "/assets/earthflow.js"]:  # fmt: skip
        answer = await ada.get(path)
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "same-origin"
        if path.startswith("/assets"):
            continue
        assert headers["Cache-Control"] == "no-store", path
        if answer.status == 303:
            continue
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):  # fmt: skip
            assert part in policy, path
        assert headers["X-Frame-Options"] == "DENY"
        for wrong in (r"<script(?! type=\"module\" src=\"/assets/)", r"\son\w+=", r"\sstyle=", r"<style", "javascript:"):  # fmt: skip
            assert not re.search(wrong, await answer.text()), (path, wrong)


async def test_names_with_markup_and_turning_characters_are_only_names(ada: Person, state: State) -> None:  # fmt: skip
    # The API takes no such name; a record may have anything.
    strange = Decision(
        id=(id := new_id()), time=time_of(id), place=Place("w", "b", 1), tenant="acme", key="k", action="BLOCK", coverage="none",
        rules=(Fired(STRANGE, "BLOCK", "high", 1),), provider=STRANGE, host=STRANGE, model=STRANGE, path=f"/{STRANGE}", client=STRANGE, method="POST",
    )  # fmt: skip
    await keep(state, [strange])
    await ada.sign_in(ADMIN)
    await ada.post("/tenants", {"name": "Acme", "id": "acme"})
    for path in ("/", "/decisions", f"/decisions/{id}", "/clients", "/rules", f"/decisions?panel={id}", "/decisions?model=" + "%3Cscript%3E"):  # fmt: skip
        assert (await ada.get(path)).status == 200, path
        assert "<script>alert" not in ada.text and "\u202e" not in ada.text, path
    assert "␛202E" in ada.text or "script" in ada.text
    csv = await ada.get("/decisions.csv")
    assert csv.headers["Content-Disposition"].startswith("attachment")
    assert "\u202e" not in ada.text


async def test_a_spreadsheet_takes_no_cell_for_a_formula(ada: Person, state: State) -> None:  # fmt: skip
    record = Decision(id=(id := new_id()), time=time_of(id), place=Place("w", "b", 1), tenant="acme", key="k", action="ALLOW", coverage="none", host="h", model='=HYPERLINK("x")')  # fmt: skip
    await keep(state, [record])
    await ada.sign_in(ADMIN)
    await ada.get("/decisions.csv")
    assert "'=HYPERLINK" in ada.text
    for text in ("\t=1", "\n=1", " =1+1", "＝1+1", "−1", "@x", "+1"):
        assert str(decisions._cell(text)).startswith("'"), text
    assert decisions._cell("gpt-5.2") == "gpt-5.2"


# -- roles ------------------------------------------------------------------------------------------------------------

ROLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("admin", ()), ("operator", ()), ("operator", ("acme",)), ("auditor", ()), ("auditor", ("acme",)), ("auditor+prompts", ("acme",)), ("tenant", ("acme",)),
)  # fmt: skip


async def test_each_role_sees_its_own_pages_and_no_foreign_cell(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    ids, keys = {}, {}
    for tenant in ("acme", "globex"):
        await ada.post("/tenants", {"name": f"Name of {tenant}", "id": tenant})
        found = re.search(r"ef_live_\w+", ada.text)
        assert found is not None
        keys[tenant] = found[0]
        record = Decision(
            id=(id := new_id()), time=time_of(id), place=Place(tenant, "b", 1), tenant=tenant, key="k", action="BLOCK", coverage="full", host=f"{tenant}.example",
            model=f"model-of-{tenant}", provider=f"provider-of-{tenant}", rules=(Fired(f"{tenant}.rule", "BLOCK", "high", 1),),
        )  # fmt: skip
        ids[tenant] = id
        await keep(state, [record])
    for role, bound in ROLES:
        key = keys["acme"] if role == "tenant" else (await made_key(ada, role, *bound))["api_key"]  # fmt: skip
        await state.read_keys()
        who = Caller(role, frozenset(bound) if bound else None)  # type: ignore[arg-type]
        async with person(state) as one:
            assert (await one.sign_in(key)).status == 303
            for page in PAGES:
                if page.path == "/decisions/tail":
                    continue
                for tenant in ("acme", "globex"):
                    await _look(one, page, who, tenant, ids[tenant])
            for form in FORMS:
                path = form.path.format(id="globex", key="k", kind="all")
                allowed = who.may(form.needs)
                status = (await one.post(path, {})).status
                assert (status == 403) or allowed, (role, bound, path, status)


async def _look(one: Person, page: site.Page, who: Caller, tenant: str, id: str) -> None:  # fmt: skip
    exact = {"/decisions/": id, "/tenants/": tenant, "/delivery/": "none"}
    value = next((exact[part] for part in exact if page.path.startswith(part)), "none")
    for query in ("", f"?tenant={tenant}", f"?panel={id}"):
        path = page.path.format(id=value, kind="all" if not query.startswith("?t") else "tenant")  # fmt: skip
        answer = await one.get(path + query)
        foreign = tenant == "globex" and not who.sees("globex")
        if not who.may(page.needs):
            assert answer.status == 403, (who, path)
        elif not foreign and query == "" and value != "none":
            assert answer.status == 200, (who, path, one.text)
        else:
            assert answer.status < 500, (who, path)
        if not who.sees("globex"):
            shown = one.text.replace(html.escape(path + query), "").replace("tenant=globex", "").replace("tenant%3Dglobex", "")  # fmt: skip
            shown = re.sub(r"(value=\"|<b dir=\"auto\">|panel=|then=[^\"]*)globex", "", shown)  # fmt: skip
            for cell in ("Name of globex", "globex.example", "model-of-globex", "provider-of-globex", "globex.rule"):  # fmt: skip
                assert cell not in shown, (who, path + query)


async def test_a_key_for_metrics_opens_no_page(ada: Person) -> None:
    made = await made_key(ada, "metrics")
    assert (await ada.sign_in(made["api_key"])).status == 403
    assert "opens no page" in ada.text and not ada.cookie


@pytest.mark.parametrize("path", [
    "/tenants/..%2fkeys", "/tenants/..", "/tenants/acme%2f..%2f..%2fkeys", "/decisions/..%2f..%2finternal%2fsnapshot", "/decisions/x%3fprompt=yes",
    "/delivery/%2e%2e%2fkeys", "/rules/layers/tenant?tenant=..%2f..%2fkeys%2f", "/rules/layers/all%2f..", "/tenants/a%00b", "/tenants/a%0d%0ab",
])  # fmt: skip
async def test_a_part_of_a_path_leads_to_no_other(ada: Person, path: str) -> None:
    await ada.sign_in(ADMIN)
    answer = await ada.client.session.get(URL(str(ada.client.make_url("")).rstrip("/") + path, encoded=True))  # fmt: skip
    assert answer.status == 404, await answer.text()


async def test_no_secret_stands_on_a_page_or_in_the_log(ada: Person, state: State, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    caplog.set_level("DEBUG")
    wrong = "ef_adm_" + "w" * 40
    await ada.sign_in(wrong)
    await ada.sign_in(ADMIN)
    await ada.post("/tenants", {"name": "Acme", "id": "acme"})
    found = re.search(r"ef_live_\w+", ada.text)
    assert found is not None
    database = state.settings.database
    secrets = [ADMIN, wrong, found[0], ada.cookie, ada.token, state.vault.master, database]  # fmt: skip
    await ada.post("/rules/try", {"text": "the password is Tr0ub4dor&3xyzzy"})
    seen = []
    for page in PAGES:
        if page.path != "/decisions/tail":
            await ada.get(page.path.format(id="acme", kind="all"))
            seen.append(ada.text.replace(ada.token, ""))
    for secret in (*secrets, "Tr0ub4dor&3xyzzy"):
        assert not [one for one in seen if secret in one], secret
        assert secret not in caplog.text
    async with state.pool.connection() as connection:
        rows = await (await connection.execute("SELECT e::text AS row FROM admin_entry e")).fetchall()  # fmt: skip
        assert not [one for one in (*secrets, "Tr0ub4dor") for row in rows if one in row["row"]]  # fmt: skip
    keys = [name async for name in state.redis.scan_iter("earthflow:session*")]
    assert not [one for one in secrets for name in keys if one in str(name)]


async def test_what_is_refused_is_an_entry_and_not_without_end(ada: Person, state: State) -> None:  # fmt: skip
    made = await made_key(ada, "auditor")
    await ada.sign_in(made["api_key"])
    for path in ("/staff", "/tenants", "/tenants/acme/end"):
        assert (await ada.post(path, {"typed": "acme"})).status == 403
    found = await entries(state, "pages.open")
    assert [(one.actor, one.object, one.outcome) for one in found] == [(made["id"], path, "forbidden") for path in ("/tenants/{id}/end", "/tenants", "/staff")]  # fmt: skip
    statuses = {(await ada.post("/staff", {})).status for _ in range(REFUSALS)}
    assert statuses == {403, 429}


async def test_whoever_signed_in_watches_and_nobody_whose_key_is_sent_beside(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    keys = {}
    for tenant in ("acme", "globex"):
        await ada.post("/tenants", {"name": tenant, "id": tenant})
        found = re.search(r"ef_live_\w+", ada.text)
        assert found is not None
        keys[tenant] = found[0]
    await state.read_keys()
    await ada.sign_in(keys["acme"])
    for headers in ({}, {"X-API-Key": ADMIN}):
        async with ada.client.get("/decisions/tail", headers=headers) as answer:
            await answer.content.readuntil(b": nothing new\n")
            for tenant in ("globex", "acme"):
                record = Decision(id=(id := new_id()), time=time_of(id), place=Place(tenant, id, 1), tenant=tenant, key="k", action="ALLOW", coverage="full", host="h")  # fmt: skip
                await keep(state, [record])
            seen = await asyncio.wait_for(answer.content.readuntil(b"</tr>"), 20)
            assert b"globex" not in seen and b"acme" in seen


async def test_a_change_by_a_page_is_noted_with_the_address_of_its_person(ada: Person, state: State, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    monkeypatch.setattr(state, "settings", state.settings.model_copy(update={"trusted_proxies": networks("127.0.0.1,10.0.0.9")}))  # fmt: skip
    url = ada.client.make_url("/tenants")
    headers = CIMultiDict(Origin=str(url.origin()), **{"X-Forwarded-For": "203.0.113.7"})  # fmt: skip
    headers.add("X-Forwarded-For", "10.0.0.9")
    async with ada.client.session.post(url, data={"form_token": ada.token, "name": "A", "id": "acme"}, headers=headers) as answer:  # fmt: skip
        assert answer.status == 200
    assert [one.address for one in await entries(state, "tenants.create")] == ["203.0.113.7"]  # fmt: skip


@pytest.mark.parametrize("host", ["a:b:c", "x:99999", "127.0.0.1:xx", "::::", "[::1"])
async def test_a_host_that_is_none_is_refused(ada: Person, host: str) -> None:
    for path in ("/", "/sign-in", "/account"):
        assert (await ada.get(path, Host=host)).status < 500, (path, host)
        assert 'name="key"' not in ada.text or host == "[::1"


async def test_a_form_that_is_none_is_refused(ada: Person) -> None:
    await ada.sign_in(ADMIN)
    origin = str(ada.client.make_url("")).rstrip("/")
    for headers, body in (
        ({"Content-Type": "multipart/form-data; boundary=x"}, b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: foo\r\n\r\n1\r\n--x--'),
        ({"Content-Type": "application/x-www-form-urlencoded; charset=none"}, b"a=b"),
        ({"Content-Type": "application/json"}, b"{}"), ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=" + b"b" * 1_100_000),
    ):  # fmt: skip
        for path in ("/tenants", "/sign-in"):
            answer = await ada.client.post(path, data=body, headers={"Origin": origin, "Accept": "text/html", **headers})  # fmt: skip
            assert answer.status in (400, 401, 403, 413), (path, headers)


async def test_an_address_that_is_none_is_a_page_for_a_browser_alone(ada: Person) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    for path in ("/nothing", "/staff/", "/rules/try", "/tenants/acme/keys"):
        answer = await ada.get(path, Accept="text/html,*/*")
        assert answer.status in (404, 405) and "<h1>" in ada.text, path
        assert "<h1>" not in await (await ada.client.get(path)).text()
    assert (await ada.client.get("/v1/nothing", headers={"Accept": "text/html"})).content_type == "application/json"  # fmt: skip


async def test_no_other_site_makes_entries_by_a_link(ada: Person, state: State) -> None:
    await ada.sign_in(ADMIN)
    for path in ("/v1/audit?limit=1000", "/v1/rules", "/decisions.csv", "/rules?files=show"):  # fmt: skip
        for other in ("cross-site", "same-site"):
            assert (await ada.get(path, **{"Sec-Fetch-Site": other})).status == 403
        assert (await ada.get(path, **{"Sec-Fetch-Site": "none"})).status == 200, path
    assert (await ada.get("/decisions", **{"Sec-Fetch-Site": "cross-site"})).status == 200  # fmt: skip
    assert [one.outcome for one in await entries(state, "audit.export")] == ["done"]


async def test_a_long_layer_is_not_compared(ada: Person) -> None:
    await ada.sign_in(ADMIN)
    text = "# a line\n" * 40_000
    await ada.post("/rules/layers/all", {"text": text, "reason": "x", "do": "put"})
    assert "not compared" in ada.text


def test_every_page_needs_a_permission_that_exists() -> None:
    assert {one.needs for one in site.PAGES} <= set(PERMISSIONS)


# -- decisions --------------------------------------------------------------------------------------------------------


async def test_a_view_is_kept_and_what_of_it_does_not_exist_any_more_is_said(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    await ada.get("/decisions?status=BLOCK&not.model=gpt&range=24h")
    saved = await ada.post("/decisions/views", {"name": "Mine", "query": "status=BLOCK&not.model=gpt&range=24h&nonsense=1", "shared": "yes"})  # fmt: skip
    assert saved.headers["Location"] == "/decisions?status=BLOCK&not.model=gpt&range=24h&done=view-saved"  # fmt: skip
    await ada.get("/decisions")
    assert "/decisions?status=BLOCK&amp;not.model=gpt&amp;range=24h&amp;view=v-" in ada.text  # fmt: skip
    async with state.pool.connection() as connection:
        await connection.execute("UPDATE saved_view SET query = 'status=BLOCK&colour=red'")  # fmt: skip
    await ada.get("/decisions?status=BLOCK&colour=red")
    assert "do not exist any more" in ada.text and "colour" in ada.text
    for role, tenants, sees in (("operator", (), True), ("operator", ("acme",), False)):
        if tenants:
            await ada.post("/tenants", {"name": "Acme", "id": "acme"})
        made = await made_key(ada, role, *tenants)
        async with person(state) as other:
            await other.sign_in(made["api_key"])
            await other.get("/decisions")
            assert (">Mine" in other.text) == sees
            assert "views/v-" not in other.text  # it is not theirs to delete


async def test_the_tail_of_the_page_ends_with_the_session(ada: Person, state: State) -> None:  # fmt: skip
    await ada.sign_in(ADMIN)
    session = sessions.opened(state, ada.cookie)
    assert session is not None
    async with ada.client.get(
        "/decisions/tail?status=ALLOW&colour=red&range=1h"
    ) as answer:
        assert answer.status == 200
        await answer.content.readuntil(b": nothing new\n")
        record = Decision(id=(id := new_id()), time=time_of(id), place=Place("w", "b", 1), tenant="acme", key="k", action="ALLOW", coverage="full", host="h", model=STRANGE)  # fmt: skip
        await keep(state, [record])
        row = await asyncio.wait_for(answer.content.readuntil(b"</tr>"), 20)
        assert id.encode() in row and b"<script>" not in row
        await sessions.end(state, session.id)
        await asyncio.wait_for(answer.content.read(), 20)
    assert (await ada.get("/decisions/tail")).status == 401
    assert (await ada.get("/", **{"X-Part": "now"})).status == 401


# -- languages --------------------------------------------------------------------------------------------------------


def messages() -> Iterator[str]:
    """All English texts of the templates, and those that the pages give to them."""
    environment = render._TEMPLATES
    folder = Path(render.__file__).parent / "templates"
    for file in sorted(folder.glob("*.html")):
        tree = environment.parse(file.read_text())
        for _, _, text in extract_from_ast(tree, ("_",)):
            if isinstance(text, str):
                yield text


@pytest.mark.parametrize("code", ["fr", "ar"])
def test_each_text_is_there_in_each_language_and_no_other(code: str) -> None:
    wanted, known = {*messages(), *GIVEN}, set(LANGUAGES[code].words)
    assert (sorted(wanted - known), sorted(known - wanted)) == ([], [])
    for english, other in LANGUAGES[code].words.items():
        assert other.strip() and english.count("%") == other.count("%"), english


async def test_a_page_is_in_the_language_that_was_chosen(ada: Person) -> None:
    await ada.sign_in(ADMIN)
    await ada.get("/", **{"Accept-Language": "ar-EG,fr;q=0.5"})
    assert '<html lang="ar" dir="rtl">' in ada.text
    answer = await ada.get("/language?language=fr&then=/rules")
    assert answer.headers["Location"] == "/rules"
    await ada.get("/", **{"Accept-Language": "ar"})
    assert '<html lang="fr" dir="ltr">' in ada.text
    await ada.get("/language?language=xx&then=/")
    await ada.get("/")
    assert '<html lang="fr"' in ada.text


async def test_assets_change_their_address_with_their_content(ada: Person) -> None:
    answer = await ada.get(render.asset("earthflow.css"))
    assert "immutable" in answer.headers["Cache-Control"]
    assert (await ada.get("/assets/..%2fsite.py")).status == 404
    assert (await ada.get("/assets/none.js")).status == 404


async def test_forms_wait_no_longer_than_an_hour(ada: Person, state: State) -> None:
    await ada.sign_in(ADMIN)
    old = account.Draft("/tenants", {"name": "Old"}, "environment", time.time() - account.KEPT - 1)  # fmt: skip
    answer = await ada.post("/sign-in/again", {"draft": state.vault.seal("draft", msgspec.json.encode(old))})  # fmt: skip
    assert answer.status == 410 and "Old" not in ada.text
