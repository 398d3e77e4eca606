"""Single sign-on at a real provider: in, again, out; what the provider sends wrong; commands; and a provider that is away."""

import asyncio
import json
import re
import stat
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import ValidationError
from yarl import URL

from cli.settings import environment
from contract.settings import explain
from control.app import application
from control.jobs import renew
from control.keyring import LOGINS, TRIES
from control.settings import SignIn
from control.sign_in import attempt
from control.sign_in.provider import Away, Client, Fresh, Provider, Refused
from control.sign_in.roles import grants_of
from control.sign_in.tokens import BadToken
from control.state import State
from control.store import admin_audit, keys, retention, sign_ins
from control.store.admin_audit import Wanted
from control.store.database import Connection
from tests.support.house import EARTHFLOW
from tests.support.identity_provider import (
    CLIENT,
    SECRET,
    Browser,
    IdentityProvider,
    browser,
    fields_of,
)
from tests.support.ports import free_ports

ROLES = (
    "platform=admin;security=auditor;acme-team=operator:acme;acme-team=operator:ghost"
)


@pytest.fixture(scope="module")
def here() -> str:
    """Where people find control."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture(scope="module")
def provider(here: str) -> Iterator[IdentityProvider]:
    """The provider of these tests."""
    running = IdentityProvider(f"{here}/sign-in/callback")
    yield running
    running.stop()


@pytest.fixture
def configured(here: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Control's settings for the provider, which is as at its start."""
    provider.token()
    for name, value in {
        "EARTHFLOW_OIDC_ISSUER": provider.url,
        "EARTHFLOW_OIDC_CLIENT_ID": CLIENT,
        "EARTHFLOW_OIDC_CLIENT_SECRET": SECRET,
        "EARTHFLOW_OIDC_ROLES": ROLES,
        "EARTHFLOW_DASHBOARD_URL": here,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def control(configured: None, state: State, here: str) -> AsyncIterator[State]:
    """Control at its address."""
    await state.read_keys()
    runner = web.AppRunner(application(state))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(here.rpartition(":")[2])).start()
    yield state
    await runner.cleanup()


async def signed_in(here: str, provider: IdentityProvider, ada: Browser, *groups: str) -> tuple[int, str, str]:  # fmt: skip
    """Ada, who is in these groups, signs in."""
    provider.order("groups", "ada", groups)
    return await ada.get(f"{here}/sign-in/provider", "ada")


async def role_of(here: str, ada: Browser) -> str:
    """What her role is, by the page that says it."""
    status, _, text = await ada.get(f"{here}/signed-in")
    assert status == 200
    found = re.search(r"<dt>Role</dt><dd>(.*?)</dd>.*<dt>Tenants</dt><dd>(.*?)</dd>", text, re.DOTALL)  # fmt: skip
    if found is None:
        return ""
    return found[1] if found[2] == "all" else f"{found[1]} for {found[2]}"


async def may(here: str, ada: Browser, path: str = "/v1/tenants") -> int:
    """The status of a request with what her browser has."""
    async with ada.session.get(here + path) as answer:
        return answer.status


async def key_of(control: State) -> str:
    """The id of the newest key of staff, which may have ended."""
    async with control.pool.connection() as connection:
        rows = await connection.execute("SELECT id FROM api_key WHERE tenant IS NULL ORDER BY created DESC LIMIT 1")  # fmt: skip
        row = await rows.fetchone()
    assert row is not None
    return str(row["id"])


async def entries(control: State, action: str) -> list[admin_audit.Entry]:
    """The entries of an action, the newest first."""
    return await admin_audit.search(control.pool, Wanted(action=action), limit=10, after=None)  # fmt: skip


async def set_back(control: State, **columns: str) -> None:
    """As if times of all sign-ins were so long ago."""
    async with control.pool.connection() as connection:
        for name, ago in columns.items():
            await connection.execute(f"UPDATE sign_in SET {name} = now() - %s::interval".encode(), (ago,))  # fmt: skip


def document(kind: str) -> list[str]:
    """The lines of this kind that docs/operating.md has about single sign-on."""
    text = Path("docs/operating.md").read_text().partition("### Single sign-on")[2]
    return text.partition(f"```{kind}\n")[2].partition("```")[0].splitlines()


def test_the_settings_of_the_document_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for line in document("env"):
        monkeypatch.setenv(*line.split("=", 1))
    told = SignIn().oidc
    assert told is not None
    assert (told.issuer, told.callback) == (
        "https://id.corp.example/realms/corp",
        "https://earthflow.corp.example/sign-in/callback",
    )
    assert [one.role for one in SignIn().oidc_roles] == ["admin", "auditor", "operator"]


@pytest.mark.parametrize("written", ["https://Earthflow.Corp.example", "HTTPS://earthflow.corp.example:443/", "https://earthflow.corp.example"])  # fmt: skip
def test_the_dashboards_url_is_as_browsers_write_an_origin(written: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("EARTHFLOW_DASHBOARD_URL", written)
    assert SignIn().public_url == "https://earthflow.corp.example"


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            {"EARTHFLOW_OIDC_CLIENT_ID": ""},
            "Single sign-on needs EARTHFLOW_OIDC_CLIENT_ID, too",
        ),
        (
            {"EARTHFLOW_DASHBOARD_URL": "", "EARTHFLOW_OIDC_ROLES": ""},
            "needs EARTHFLOW_OIDC_ROLES, EARTHFLOW_DASHBOARD_URL, too",
        ),
        (
            {"EARTHFLOW_OIDC_ISSUER": ""},
            "Single sign-on needs EARTHFLOW_OIDC_ISSUER, too",
        ),
        (
            {"EARTHFLOW_OIDC_ISSUER": "http://id.corp.example"},
            "EARTHFLOW_OIDC_ISSUER must begin with https://, unless it is on this machine",
        ),
        (
            {"EARTHFLOW_OIDC_ISSUER": "https://id.corp.example/?realm=x"},
            "EARTHFLOW_OIDC_ISSUER must be a URL like https://host, without ? and #",
        ),
        (
            {"EARTHFLOW_DASHBOARD_URL": "earthflow.corp.example"},
            "EARTHFLOW_DASHBOARD_URL must be a URL like https://host",
        ),
        (
            {"EARTHFLOW_OIDC_CLIENT_SECRET": "<secret>"},
            "EARTHFLOW_OIDC_CLIENT_SECRET is still an example's",
        ),
        (
            {"EARTHFLOW_OIDC_ROLES": "a=operator;a=admin"},
            "EARTHFLOW_OIDC_ROLES gives the group a two roles, operator and admin; name one",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], sentence: str
) -> None:
    for line in document("env"):
        monkeypatch.setenv(*line.split("=", 1))
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as error:
        SignIn()
    assert any(sentence in one for one in explain(error.value)), explain(error.value)


# -- in ---------------------------------------------------------------------------------------------------------------


async def test_a_person_gets_the_role_of_their_group_and_no_more(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        assert await may(here, ada) == 401
        assert (await signed_in(here, provider, ada, "security"))[:2] == (200, f"{here}/")  # fmt: skip
        assert await role_of(here, ada) == "auditor"
        assert await may(here, ada) == 200
        async with ada.session.post(f"{here}/v1/tenants", json={"name": "x"}, headers={"Origin": here}) as answer:  # fmt: skip
            assert answer.status == 403 and "auditor" in await answer.text()
    (entry,) = await entries(control, "sign_ins.begin")
    assert (entry.actor, entry.object, entry.role, entry.outcome) == (await key_of(control), await key_of(control), "auditor", "done")  # fmt: skip
    assert entry.after["name"] == "ada@corp.example (browser)"
    assert entry.after["subject"] == "ada"


async def test_another_page_does_nothing_with_the_cookie(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "platform")
        for origin in ({"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Origin": f"{here}.example"}, {}):  # fmt: skip
            async with ada.session.post(f"{here}/v1/tenants", json={"name": "x"}, headers=origin) as answer:  # fmt: skip
                assert (answer.status, (await answer.json())["error"]["code"]) == (403, "foreign_page")  # fmt: skip
        async with ada.session.post(f"{here}/v1/tenants", json={"name": "x"}, headers={"Origin": here}) as answer:  # fmt: skip
            assert answer.status == 201


async def test_the_cookie_is_for_this_host_and_no_script(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        (cookie,) = (one for one in ada.session.cookie_jar if one.key == "earthflow")
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")  # fmt: skip


async def test_whoever_is_in_no_group_has_no_entry_and_is_noted(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        status, _, text = await signed_in(here, provider, ada, "nobody-knows")
        assert status == 403 and "None of your groups has a role here" in text
        assert await may(here, ada) == 401
    (entry,) = await entries(control, "sign_ins.begin")
    assert (entry.outcome, entry.actor, entry.after["name"]) == ("no_role", "nobody", "ada@corp.example")  # fmt: skip
    assert await keys.of_tenant(control.pool, None) == []


async def test_of_two_roles_the_one_written_first_counts(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security", "platform")
        assert await role_of(here, ada) == "admin"


async def test_a_bound_role_is_for_the_tenants_that_are_there(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        assert (await signed_in(here, provider, ada, "acme-team"))[
            0
        ] == 403  # neither is there
        for name in ("acme", "other"):
            async with ada.session.post(f"{here}/v1/tenants", json={"id": name, "name": name}, headers={"X-API-Key": "a" * 40}) as answer:  # fmt: skip
                assert answer.status == 201
        await signed_in(here, provider, ada, "acme-team")
        assert await role_of(here, ada) == "operator for acme"
        assert (await may(here, ada, "/v1/tenants/acme"), await may(here, ada, "/v1/tenants/other")) == (200, 404)  # fmt: skip


async def test_no_token_of_the_provider_stands_in_clear(control: State, here: str, provider: IdentityProvider, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    caplog.set_level("DEBUG")
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        (cookie,) = (one for one in ada.session.cookie_jar if one.key == "earthflow")
    tokens = attempt.tokens_of(await sign_ins.tokens_of(control.pool, await key_of(control)) or "", control.vault)  # fmt: skip
    secrets = [tokens.id_token, str(tokens.refresh_token), cookie.value, SECRET]  # fmt: skip
    async with control.pool.connection() as connection:
        for table in await our_tables_of(connection):
            rows = await (await connection.execute(f"SELECT t::text AS row FROM {table} t".encode())).fetchall()  # fmt: skip
            assert not [one for one in secrets for row in rows if one in row["row"]], table  # fmt: skip
    assert not [one for one in secrets if one in caplog.text]


async def our_tables_of(connection: Connection) -> list[str]:
    """The tables of the database."""
    rows = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")  # fmt: skip
    return [row["tablename"] for row in await rows.fetchall()]


# -- what comes back --------------------------------------------------------------------------------------------------

HOUR = 3600
BAD_TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "of another issuer": ({"iss": "https://elsewhere.example"}, "its iss"),
    "of no issuer": ({"iss": None}, "its iss"),
    "for another client": ({"aud": ["another"]}, "its aud"),
    "for nobody": ({"aud": None}, "its aud"),
    "for several, said to be for another": ({"aud": [CLIENT, "another"], "azp": "another"}, "its azp"),
    "for several, not said for whom": ({"aud": [CLIENT, "another"], "azp": None}, "its azp"),
    "ended": ({"exp": int(time.time()) - 5 * HOUR}, "its exp"),
    "without an end": ({"exp": None}, "its exp"),
    "not begun": ({"nbf": int(time.time()) + HOUR}, "its nbf"),
    "of tomorrow": ({"iat": int(time.time()) + 24 * HOUR}, "its iat"),
    "of another attempt": ({"nonce": "another"}, "its nonce"),
    "of no attempt": ({"nonce": None}, "its nonce"),
    "with another access token": ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "its at_hash"),
    "about nobody": ({"sub": None}, "its sub"),
    "about an empty name": ({"sub": ""}, "nobody"),
    "about a number": ({"sub": 7}, "its sub"),
    "ended at a word": ({"exp": "soon"}, "its exp"),
    "unsigned": ({"signed": "none"}, "signed"),
    "signed with our secret": ({"signed": "by-secret"}, "signed in a way"),
    "signed with the public key as a secret": ({"signed": "by-public-key"}, "signed in a way"),
    "signed by another key of the same id": ({"signed": "by-another"}, "its signature"),
    "signed by an unknown key": ({"signed": "by-an-unknown"}, "a key that the provider does not have"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_a_bad_token_lets_nobody_in(control: State, here: str, provider: IdentityProvider, kind: str) -> None:  # fmt: skip
    change, why = BAD_TOKENS[kind]
    provider.token(**change)
    async with browser() as ada:
        status, _, text = await signed_in(here, provider, ada, "platform")
        assert status == 403 and "token is not believed" in text and why in text, text
        assert await may(here, ada) == 401
    assert await keys.of_tenant(control.pool, None) == []


@pytest.mark.parametrize("change", [{"aud": CLIENT}, {"amr": ["pwd"], "acr": "1"}])  # fmt: skip
async def test_a_good_token_does(control: State, here: str, provider: IdentityProvider, change: dict[str, Any]) -> None:  # fmt: skip
    """An audience may be a word; clocks may be a minute apart."""
    now = int(time.time())
    provider.token(**change, exp=now - 30, iat=now + 30)
    async with browser() as ada:
        assert (await signed_in(here, provider, ada, "security"))[0] == 200


async def test_new_keys_of_the_provider_are_learnt_at_once(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada, browser() as again:
        await signed_in(here, provider, ada, "security")
        provider.order("rotate")
        assert (await signed_in(here, provider, again, "security"))[0] == 200
        assert await may(here, ada) == 200


async def test_an_attempt_is_its_browsers_alone(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada, browser() as mallory:
        async with mallory.session.get(f"{here}/sign-in/provider", allow_redirects=False) as answer:  # fmt: skip
            state = parse_qs(urlsplit(answer.headers["Location"]).query)["state"][0]
        for query in ("", "?code=x", f"?code=x&state={state}", "?state=&code=x", f"?state={state}"):  # fmt: skip
            status, _, text = await ada.get(f"{here}/sign-in/callback{query}")
            assert status == 400 and "was begun elsewhere" in text
        assert (await mallory.get(f"{here}/sign-in/callback?code=made-up&state={state}"))[0] == 403  # fmt: skip
        assert (await mallory.get(f"{here}/sign-in/callback?error=access_denied&state={state}"))[0] == 403  # fmt: skip
        assert (await mallory.get(f"{here}/sign-in/callback?code=x&iss=https://else.example&state={state}"))[0] == 403  # fmt: skip


async def test_codes_are_not_tried_without_end(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as mallory:
        async with mallory.session.get(f"{here}/sign-in/provider", allow_redirects=False) as answer:  # fmt: skip
            state = parse_qs(urlsplit(answer.headers["Location"]).query)["state"][0]
        tried = [(await mallory.get(f"{here}/sign-in/callback?code={number}&state={state}"))[0] for number in range(TRIES + 2)]  # fmt: skip
    assert tried == [403] * TRIES + [429] * 2


@pytest.mark.parametrize("then", ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere.example", "/a b", "elsewhere", "/x\ty"])  # fmt: skip
async def test_afterwards_nobody_is_sent_elsewhere(control: State, here: str, provider: IdentityProvider, then: str) -> None:  # fmt: skip
    provider.order("groups", "ada", ["security"])
    async with browser() as ada:
        assert (await ada.get(f"{here}/sign-in/provider?then={quote(then)}", "ada"))[1] == f"{here}/"  # fmt: skip
        assert (await ada.get(f"{here}/sign-in/provider?then=/v1/tenants%3Fstate=all"))[1] == f"{here}/v1/tenants?state=all"  # fmt: skip


# -- again, and out ---------------------------------------------------------------------------------------------------


async def test_a_sign_in_is_renewed_with_new_tokens(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        key = await key_of(control)
        for _ in range(3):
            before = await sign_ins.tokens_of(control.pool, key)
            await set_back(control, renew_after="1 second", heard="59 minutes")
            await renew.renew(control)
            assert await may(here, ada) == 200
            old, new = (attempt.tokens_of(one or "", control.vault).refresh_token for one in (before, await sign_ins.tokens_of(control.pool, key)))  # fmt: skip
            assert old != new


async def test_nobody_is_asked_about_before_time(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        assert await sign_ins.due(control.pool) == []
        await set_back(control, renew_after="1 second")
        assert [len(await sign_ins.due(control.pool)) for _ in range(2)] == [1, 0]


async def gone_groups(provider: IdentityProvider, control: State) -> None:
    provider.order("groups", "ada", ["nobody-knows"])


async def other_groups(provider: IdentityProvider, control: State) -> None:
    provider.order("groups", "ada", ["platform"])


async def revoked(provider: IdentityProvider, control: State) -> None:
    provider.order("revoke")


async def unused(provider: IdentityProvider, control: State) -> None:
    await set_back(control, began="2 hours")


async def unheard(provider: IdentityProvider, control: State) -> None:
    await set_back(control, heard="2 hours")


ENDS = [(gone_groups, "another role"), (other_groups, "another role"), (revoked, "lets them in no more"), (unused, "not used"), (unheard, "said nothing")]  # fmt: skip


@pytest.mark.parametrize("happens, why", ENDS)
async def test_a_sign_in_ends_with_what_it_rested_on(control: State, here: str, provider: IdentityProvider, happens: Callable[[IdentityProvider, State], Awaitable[None]], why: str) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        await happens(provider, control)
        await set_back(control, renew_after="1 second")
        await renew.renew(control)
        assert await may(here, ada) == 401
        assert "You are not signed in" in (await ada.get(f"{here}/signed-in"))[2]
    (entry,) = await entries(control, "sign_ins.end")
    assert (entry.actor, entry.object) == ("control", await key_of(control))
    assert why in entry.after["why"]
    await renew.renew(control)
    assert await sign_ins.tokens_of(control.pool, entry.object) is None  # forgotten


async def test_signing_out_ends_the_key_here_and_the_session_there(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        (cookie,) = (one for one in ada.session.cookie_jar if one.key == "earthflow")
        assert (await ada.post(f"{here}/sign-out", {}, Origin="https://elsewhere.example"))[0] == 403  # fmt: skip
        status, url, text = await ada.post(f"{here}/sign-out", {})
        assert (status, url) == (200, f"{here}/signed-in") and "not signed in" in text
        assert await may(here, ada) == 401
        async with ada.session.get(f"{here}/v1/tenants", headers={"X-API-Key": cookie.value}) as answer:  # fmt: skip
            assert answer.status == 401
        assert (
            "/login" in (await ada.get(f"{here}/sign-in/provider"))[1]
        )  # asked for a name again
    (entry,) = await entries(control, "sign_ins.end")
    assert (entry.actor, entry.outcome) == (await key_of(control), "done")


async def test_a_key_of_no_sign_in_cannot_sign_out(control: State, here: str) -> None:
    async with browser() as nobody, nobody.session.post(f"{here}/sign-out", headers={"X-API-Key": "a" * 40}) as answer:  # fmt: skip
        assert answer.status == 409


async def test_the_provider_may_be_away(control: State, here: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """At the start, and later: keys and who is signed in already are not concerned; and it may come back."""
    provider.stop()
    async with browser() as ada:
        status, _, text = await ada.get(f"{here}/sign-in/provider")
        assert status == 503 and "Keys still work" in text
        provider.start()
        monkeypatch.setattr(control.provider, "_failed", None)  # a moment later
        assert (await signed_in(here, provider, ada, "security"))[0] == 200
        provider.stop()
        await set_back(control, renew_after="1 second", heard="30 minutes")
        await renew.renew(control)
        assert await may(here, ada) == 200
        async with browser() as grace:
            assert (await grace.get(f"{here}/sign-in/callback?code=x&state=y"))[0] == 400  # fmt: skip
        async with ada.session.post(
            f"{here}/sign-out", headers={"Origin": here}, allow_redirects=False
        ) as answer:
            assert answer.headers["Location"].startswith(f"{provider.url}/")
        assert await may(here, ada) == 401
        provider.start()


async def test_signing_in_again_ends_the_key_before(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        first = await key_of(control)
        await signed_in(here, provider, ada, "security")
        assert await key_of(control) != first
        assert [one.id for one in await keys.of_tenant(control.pool, None)] == [await key_of(control)]  # fmt: skip


async def test_a_role_for_a_tenant_that_is_gone_hides_no_other(control: State, here: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    told = control.settings.model_copy(update={"oidc_roles": grants_of("acme-team=operator:ghost;security=auditor")})  # fmt: skip
    monkeypatch.setattr(control, "settings", told)
    async with browser() as ada:
        await signed_in(here, provider, ada, "security", "acme-team")
        assert await role_of(here, ada) == "auditor"


async def test_wrong_keys_of_an_address_keep_nobody_from_signing_in(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada, browser() as program:
        for _ in range(TRIES + 1):
            async with program.session.get(f"{here}/v1/tenants", headers={"X-API-Key": "b" * 40}) as answer:  # fmt: skip
                last = answer.status
        assert last == 429
        ada.session.cookie_jar.update_cookies({"earthflow": "ef_aud_one_that_ended"}, URL(here))  # fmt: skip
        assert (await signed_in(here, provider, ada, "security"))[0] == 200


async def test_keys_of_sign_ins_are_forgotten_with_the_audit_of_their_time(control: State, here: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(sign_ins, "REMEMBERED", timedelta(0))
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        await ada.post(f"{here}/sign-out", {})
    await renew.renew(control)
    async with control.pool.connection() as connection:
        for days, left in ((1, 1), (0, 0)):
            await retention.drop_logs(connection, days)
            rows = await (await connection.execute("SELECT FROM api_key")).fetchall()
            assert len(rows) == left


# -- a provider that is not well --------------------------------------------------------------------------------------


class Odd:
    """A provider that answers what a test says, and counts what it is asked."""

    def __init__(self) -> None:
        self.told: dict[str, bytes | int] = {}
        self.asked = Counter[str]()

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        self.asked[name] += 1
        told = self.told.get(name, 500)
        return web.Response(body=told) if isinstance(told, bytes) else web.Response(status=told)  # fmt: skip


@pytest.fixture
async def odd() -> AsyncIterator[tuple[Odd, Provider]]:
    told, app = Odd(), web.Application()
    app.router.add_route("*", "/{name:.*}", told.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        good = {"issuer": url, "authorization_endpoint": f"{url}/a", "token_endpoint": f"{url}/token", "jwks_uri": f"{url}/keys"}  # fmt: skip
        told.told["openid-configuration"] = json.dumps(good).encode()
        yield told, Provider(Client(url, CLIENT, SECRET, "groups", f"{url}/back"))


ANSWERS = [b"", b"{", b"[]", b"7", b'{"error": "\xff"}', b'{"a":' * 5000, b"[" * 100_000, b'{"id_token": 7}', b"\x00", 302, 404, 500, b"x" * (1024 * 1024 + 1)]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
async def test_whatever_a_provider_answers_is_away_or_not_believed(odd: tuple[Odd, Provider], answer: bytes | int) -> None:  # fmt: skip
    told, provider = odd
    told.told["token"] = answer
    with pytest.raises((Away, BadToken, Refused)):
        await provider.exchange("code", "nonce", "verifier")
    told.told["openid-configuration"] = answer
    with pytest.raises(Away):
        await Provider(provider.client).start("s", "n", "v")


async def test_a_provider_that_fails_is_left_alone_for_a_while(odd: tuple[Odd, Provider]) -> None:  # fmt: skip
    told, provider = odd
    told.told["openid-configuration"] = 503
    for _ in range(5):
        with pytest.raises(Away):
            await provider.start("s", "n", "v")
    assert told.asked["openid-configuration"] == 1


async def test_what_a_provider_said_before_holds_while_it_fails(odd: tuple[Odd, Provider], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    told, provider = odd
    key = RSAKey.generate_key(2048, {"kid": "one"})
    told.told["keys"] = json.dumps({"keys": [key.as_dict(private=False)]}).encode()
    claims = {"iss": provider.client.issuer, "aud": CLIENT, "sub": "7", "nonce": "n", "iat": int(time.time()), "exp": int(time.time()) + 300, "groups": ["a"]}  # fmt: skip

    def token(**header: str) -> bytes:
        return json.dumps({"id_token": jwt.encode({"alg": "RS256", **header}, claims, key)}).encode()  # fmt: skip

    told.told["token"] = token(kid="one")
    assert (await provider.exchange("c", "n", "v")).person.groups == ["a"]
    told.told["token"] = token()  # of one key no name is needed
    assert (await provider.exchange("c", "n", "v")).person.subject == "7"
    monkeypatch.setattr("control.sign_in.provider.BELIEVED", 0.0)
    for answer in (500, b"{}", b'{"keys": []}'):
        told.told["keys"] = told.told["openid-configuration"] = answer
        monkeypatch.setattr(provider, "_failed", None)
        told.told["token"] = token(kid="one")
        assert (await provider.exchange("c", "n", "v")).person.subject == "7"


async def test_an_id_token_at_a_renewal_is_proven_like_the_first(odd: tuple[Odd, Provider]) -> None:  # fmt: skip
    told, provider = odd
    key = RSAKey.generate_key(2048, {"kid": "one"})
    told.told["keys"] = json.dumps({"keys": [key.as_dict(private=False)]}).encode()
    claims = {"iss": provider.client.issuer, "aud": CLIENT, "sub": "7", "iat": int(time.time()), "exp": int(time.time()) + 300, "groups": ["b"]}  # fmt: skip
    before = attempt.before("7", attempt.Tokens("old", "refresh"))

    async def renewed(**change: Any) -> list[str] | None:
        token = jwt.encode({"alg": "RS256", "kid": "one"}, {**claims, **change}, key)
        told.told["token"] = json.dumps({"id_token": token, "refresh_token": "next"}).encode()  # fmt: skip
        fresh = await provider.refresh("refresh")
        assert fresh.refresh_token == "next"
        now = await provider.again(fresh, before)
        assert (now.id_token, now.refresh_token) == (token, "next")
        return list(now.person.groups or ())

    assert await renewed() == ["b"]
    for change in ({"sub": "8"}, {"aud": "another"}, {"iss": "https://elsewhere.example"}, {"exp": 7}):  # fmt: skip
        with pytest.raises(BadToken):
            await renewed(**change)


async def test_nothing_that_a_provider_says_ends_the_renewals(control: State, here: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Provider, "refresh", broken)
        await set_back(control, renew_after="1 second")
        await renew.renew(control)
        assert await may(here, ada) == 200


async def test_two_controls_that_renew_the_same_sign_in_end_it_not(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    """One was slow; the other has new tokens meanwhile, and the old one is worth nothing."""
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        await set_back(control, renew_after="1 second")
        (slow,) = await sign_ins.due(control.pool)
        await set_back(control, renew_after="1 second")
        await renew.renew(control)
        assert control.provider is not None
        await renew._renew(control, control.provider, list(control.settings.oidc_roles), slow)  # fmt: skip
        assert await may(here, ada) == 200
    assert await entries(control, "sign_ins.end") == []


async def test_a_renewal_is_done_to_its_end_where_control_ends(control: State, here: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    async with browser() as ada:
        await signed_in(here, provider, ada, "security")
        key = await key_of(control)
        before = await sign_ins.tokens_of(control.pool, key)
        refresh, began = Provider.refresh, asyncio.Event()

        async def slowly(self: Provider, token: str) -> Fresh:
            fresh = await refresh(self, token)
            began.set()
            await asyncio.sleep(0)
            return fresh

        monkeypatch.setattr(Provider, "refresh", slowly)
        await set_back(control, renew_after="1 second")
        job = asyncio.create_task(renew.renew(control))
        await began.wait()
        job.cancel()
        await asyncio.wait([job])
        assert await sign_ins.tokens_of(control.pool, key) != before


# -- commands ---------------------------------------------------------------------------------------------------------


async def test_a_command_gets_a_key_while_its_person_signs_in(control: State, here: str, provider: IdentityProvider, tmp_path: Path) -> None:  # fmt: skip
    provider.order("groups", "ada", ["security"])
    told = environment({"EARTHFLOW_CONFIG_DIR": str(tmp_path)}, without=("EARTHFLOW_URL", "EARTHFLOW_ADMIN_API_KEY"))  # fmt: skip

    async def command(*words: str) -> asyncio.subprocess.Process:
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        return await asyncio.create_subprocess_exec(EARTHFLOW, *words, env=told, **pipes)  # fmt: skip

    login, leave = (
        line.replace("https://earthflow.corp.example", here).split()[1:]
        for line in document("sh")
    )
    login = await command(*login, "--name", "corp", "-o", "json")
    assert login.stderr is not None
    said = (await login.stderr.readline()).decode()
    shown = re.fullmatch(rf"Open {re.escape(here)}/sign-in/command and give this code: ([A-Z]{{4}}-[A-Z]{{4}})\n", said)  # fmt: skip
    assert shown, said
    async with browser() as ada:
        assert "Give the code" in (await ada.get(f"{here}/sign-in/command"))[2]
        page = f"{here}/sign-in/command"
        assert (await ada.post(page, {"code": "BBBB-BBBB"}))[0] == 404
        assert (await ada.post(page, {"code": shown[1]}, Origin="https://elsewhere.example"))[0] == 403  # fmt: skip
        status, _, text = await ada.post(page, {"code": f" {shown[1].lower()} "}, "ada")
        assert status == 200 and f"A command at 127.0.0.1 that shows {shown[1]} will get a key of your role, auditor" in text  # fmt: skip
        offer = fields_of(text)
        assert (await ada.post(f"{page}/grant", offer, Origin="https://elsewhere.example"))[0] == 403  # fmt: skip
        assert (await ada.post(f"{page}/grant", {"offer": "made up"}))[0] == 404
        assert (await ada.post(f"{page}/grant", offer))[0] == 200
        assert (await ada.post(f"{page}/grant", offer))[0] == 404  # once
        assert await may(here, ada) == 401  # it is for the command alone
    out, err = await login.communicate()
    got = json.loads(out)
    assert (login.returncode, got["context"], got["role"], got["name"]) == (0, "corp", "auditor", "ada@corp.example (command)"), err  # fmt: skip
    assert "api_key" not in got
    file = tmp_path / "keys" / "corp"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_text().startswith("ef_aud_")  # fmt: skip
    assert (await (await command("tenants", "list")).wait()) == 0
    assert (await (await command("tenants", "create", "--name", "x")).wait()) != 0
    out, err = await (ended := await command(*leave, "-o", "json")).communicate()
    assert (ended.returncode, json.loads(out)["ended"]) == (0, got["id"]), err
    assert not file.exists()
    assert (await (await command("tenants", "list")).wait()) != 0


async def login_of(here: str, ada: Browser) -> dict[str, Any]:
    async with ada.session.post(f"{here}/sign-in/logins", json={}) as answer:
        assert answer.status == 201
        told: dict[str, Any] = await answer.json()
        return told


async def polled(here: str, ada: Browser, code: str) -> str:
    async with ada.session.post(f"{here}/sign-in/logins/poll", json={"code": code}) as answer:  # fmt: skip
        told = await answer.json()
        return str(told["error"]["code"]) if answer.status != 200 else "key"


async def waits_still(control: State, here: str, ada: Browser, code: str) -> bool:
    """Signing in alone gives a command nothing."""
    async with control.pool.connection() as connection:
        await connection.execute("UPDATE command_login SET polled = NULL")
    return await polled(here, ada, code) == "login_waits"


async def test_a_command_waits_and_hears_once(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    async with browser() as ada:
        waiting = await login_of(here, ada)
        assert [await polled(here, ada, waiting["code"]) for _ in range(2)] == ["login_waits", "login_too_often"]  # fmt: skip
        assert await polled(here, ada, "made up") == "login_ended"
        provider.order("groups", "ada", ["acme-team", "platform"])
        _, _, text = await ada.post(f"{here}/sign-in/command", {"code": waiting["user_code"]}, "ada")  # fmt: skip
        assert await waits_still(control, here, ada, waiting["code"])
        await ada.post(f"{here}/sign-in/command/grant", fields_of(text))
        assert (await ada.post(f"{here}/sign-in/command", {"code": waiting["user_code"]}))[0] == 404  # fmt: skip
        async with control.pool.connection() as connection:
            await connection.execute("UPDATE command_login SET polled = NULL")
        assert [await polled(here, ada, waiting["code"]) for _ in range(2)] == ["key", "login_ended"]  # fmt: skip


async def test_a_command_of_somebody_without_a_role_waits_no_more(control: State, here: str, provider: IdentityProvider) -> None:  # fmt: skip
    provider.order("groups", "ada", [])
    async with browser() as ada:
        waiting = await login_of(here, ada)
        status, _, _ = await ada.post(f"{here}/sign-in/command", {"code": waiting["user_code"]}, "ada")  # fmt: skip
        assert status == 403
        assert await polled(here, ada, waiting["code"]) == "login_ended"


async def test_waiting_commands_end_and_are_bounded(control: State, here: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(sign_ins, "MOST_WAITING", 3)
    async with browser() as ada:
        waiting = [await login_of(here, ada) for _ in range(5)]
        assert [await polled(here, ada, one["code"]) for one in waiting] == ["login_ended"] * 2 + ["login_waits"] * 3  # fmt: skip
        async with control.pool.connection() as connection:
            await connection.execute("UPDATE command_login SET ends = now()")
        assert await polled(here, ada, waiting[-1]["code"]) == "login_ended"
        await renew.renew(control)
        async with control.pool.connection() as connection:
            assert (await (await connection.execute("SELECT FROM command_login")).fetchall()) == []  # fmt: skip


async def test_logins_are_not_begun_without_end(control: State, here: str) -> None:
    async with browser() as mallory:
        tried = []
        for _ in range(LOGINS + 2):
            async with mallory.session.post(f"{here}/sign-in/logins", json={}) as answer:  # fmt: skip
                tried.append(answer.status)
    assert tried == [201] * LOGINS + [429] * 2
    async with control.pool.connection() as connection:
        rows = await (await connection.execute("SELECT FROM command_login")).fetchall()
    assert len(rows) == sign_ins.MOST_OF_ONE


async def test_without_a_provider_there_is_no_sign_in(state: State) -> None:
    async with TestClient(TestServer(application(state))) as client:
        for method, path in (("GET", "/sign-in/provider"), ("GET", "/sign-in/callback"), ("GET", "/sign-in/command"), ("POST", "/sign-in/command"), ("POST", "/sign-in/logins")):  # fmt: skip
            answer = await client.request(method, path)
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "no_sign_in"), path  # fmt: skip
