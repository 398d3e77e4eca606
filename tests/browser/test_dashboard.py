"""A day at the dashboard, in a real browser."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from cli.processes import wait_until
from tests.browser.looking import DESK, PHONE, looking, sign_in
from tests.support.house import PATIENCE, RESTRICTED, House, Tenant, message
from tests.support.identity_provider import PASSWORD

PAGES = (
    "/", "/decisions", "/rules", "/rules/layers/all", "/tenants", "/tenants/acme", "/staff", "/audit", "/audit/quarantine", "/delivery", "/system", "/clients",
    "/account",
)  # fmt: skip
AWS_KEY = "AKIA2JZ4PXQ7WNKDL3TB"  # in no test of the rule that finds it
STRANGE = "Acme \u05d0\u05d1 <img src=x>"


@pytest.fixture(scope="module")
def acme(watched: House) -> Iterator[Tenant]:
    """A tenant that has called."""
    made = watched.tenant(id="acme")
    for text in ("hello", f"my key is {AWS_KEY}", RESTRICTED):
        made.post(message(text))
    made.audit(3)
    watched.stack.control.post("/v1/tenants/acme/webhooks", {"url": "https://hooks.invalid/x"})  # fmt: skip
    yield made


@pytest.fixture
def page(chromium: Browser, watched: House, acme: Tenant) -> Iterator[Page]:
    """The dashboard, with an admin signed in."""
    with looking(chromium, watched) as (page, _):
        sign_in(page, watched)
        yield page


def test_somebody_signs_in_at_the_provider_and_out_again(chromium: Browser, watched: House, acme: Tenant) -> None:  # fmt: skip
    with looking(chromium, watched, ("http://127.0.0.1:",)) as (page, noticed):
        page.goto("/decisions?status=BLOCK")
        page.click("text=Sign in with your organisation")
        for _ in range(2):  # the name, then the password
            for name, value in (("login", "ada"), ("password", PASSWORD)):
                if (field := page.locator(f"input[name={name}]")).count():
                    field.fill(value)
            page.locator("button[type=submit], input[type=submit]").first.click()
            page.wait_for_load_state()
            if page.url.startswith(watched.stack.control.url):
                break
        noticed.errors.clear()  # the provider's own pages
        expect(page).to_have_url(re.compile(r"/decisions\?status=BLOCK"))
        expect(page.locator(".who")).to_have_text("operator")
        page.goto("/account")
        page.click("main >> text=Sign out >> nth=0")
        page.wait_for_load_state()
        noticed.errors.clear()
        page.goto("/")
        expect(page).to_have_url(re.compile("/sign-in"))


def test_a_decision_arrives_while_somebody_watches(page: Page, acme: Tenant) -> None:
    page.goto("/decisions")
    before = page.locator("tbody tr").count()
    page.click("[data-tail]")
    expect(page.locator("[data-tail]")).to_have_attribute("aria-pressed", "true")
    assert wait_until(lambda: _arrived(page, acme, before), PATIENCE)
    page.click("[data-tail]")
    expect(page.locator("[data-tail]")).to_have_attribute("aria-pressed", "false")


def _arrived(page: Page, acme: Tenant, before: int) -> bool:
    """Whether another row is there, after another call: the stream may have begun after the one before."""
    acme.post(message("one more"))
    page.wait_for_timeout(1500)
    return page.locator("tbody tr").count() > before


def test_somebody_filters_excludes_and_keeps_the_view(page: Page) -> None:
    page.goto("/decisions")
    page.click(".filters li a >> text=BLOCK")
    expect(page).to_have_url(re.compile(r"status=BLOCK"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.click(".chosen a")
    page.click("[aria-label='Leave these out: ALLOW']")
    expect(page).to_have_url(re.compile(r"not\.status=ALLOW"))
    expect(page.locator("tbody tr")).to_have_count(2)
    page.click("tbody tr >> nth=0 >> [data-filter=rule] >> nth=0")
    expect(page).to_have_url(re.compile(r"rule="))
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.fill(".save input[name=name]", "Not allowed")
    page.click(".save button")
    expect(page.locator(".done")).to_have_text("The view is saved.")
    page.goto("/decisions")
    page.click(".filters a >> text=Not allowed")
    expect(page.locator("tbody tr")).to_have_count(2)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/decisions?not.status=ALLOW")
    for key in ("j", "j", "k", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("[data-panel] h2")).to_contain_text("BLOCK")
    page.keyboard.press("j")
    expect(page.locator("[data-panel] h2")).to_contain_text("REDACT")
    assert "panel=" in page.url
    page.reload()
    expect(page.locator("[data-panel] h2")).to_contain_text("REDACT")
    page.keyboard.press("Escape")
    expect(page.locator("[data-panel]")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("input[name=text]")).to_be_focused()


def test_a_false_alarm_is_ended_from_its_hit_and_the_exception_taken_out_again(page: Page, acme: Tenant) -> None:  # fmt: skip
    page.goto("/decisions?status=REDACT")
    page.click("tbody [data-open]")
    page.click("[data-panel] .fired >> text=Make an exception")
    page.fill("input[name=reason]", "a key of our own tests")
    page.click("text=Show what it would let pass")
    expect(page.locator("pre.code")).to_contain_text("except")
    expect(page.locator("pre.code")).not_to_contain_text(AWS_KEY)
    expect(page.locator(".figures dd >> nth=0")).to_have_text("1")
    page.click("text=Apply on every proxy")
    expect(page.locator("h1")).to_have_text("The exception is in force")
    assert wait_until(lambda: _status(acme) == "ALLOW", PATIENCE)
    page.click("[data-countdown]")
    expect(page.locator(".done")).to_have_text("The exception is taken out again.")
    assert wait_until(lambda: _status(acme) == "REDACT", PATIENCE)


def _status(acme: Tenant) -> str:
    """What becomes of a call with the key, by its answer's own record."""
    acme.post(message(f"again {AWS_KEY}"))
    got = acme.house.providers.heard[-1].body
    return "ALLOW" if AWS_KEY.encode() in got else "REDACT"


def test_a_layer_is_proven_replayed_and_put_in_force(page: Page) -> None:
    page.goto("/rules/layers/all")
    text = "earthflow: 1\noverrides:\n  confidential.tlp-red: {action: flag}\n"
    page.fill("textarea[name=text]", text + "nonsense: 1\n")
    page.fill("input[name=reason]", "quieter")
    page.click("text=Check and simulate")
    expect(page.locator(".banner.bad[role=alert]:not([hidden])")).to_contain_text(
        "nonsense"
    )
    expect(page.locator("textarea[name=text]")).to_have_value(text + "nonsense: 1\n")
    page.fill("textarea[name=text]", text)
    page.click("text=Check and simulate")
    expect(page.locator(".banner.good")).to_contain_text("Nothing was changed yet")
    expect(page.locator(".banner.good")).to_contain_text("BLOCK")
    page.click("text=Apply on every proxy")
    expect(page.locator(".done")).to_have_text("The layer is in force on every proxy.")
    page.fill("textarea[name=text]", "earthflow: 1\n")
    page.fill("input[name=reason]", "as before")
    page.click("text=Apply on every proxy")
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_text_is_tried(page: Page) -> None:
    page.goto("/rules")
    page.fill("textarea[name=text]", f"the key {AWS_KEY}")
    page.click("text=Try it")
    expect(page.locator(".tried")).to_contain_text("credentials.aws-access-key")
    expect(page.locator(".tried pre")).not_to_contain_text(AWS_KEY)


def test_a_key_is_made_rotated_and_revoked(page: Page, acme: Tenant) -> None:
    page.goto("/tenants/acme")
    page.fill("form[action='/tenants/acme/keys'] input[name=name]", "laptop")
    page.click("text=Make a key")
    made = page.locator(".copy code").inner_text()
    assert made.startswith("ef_live_")
    page.reload()  # the form is sent again: the same key, no other
    assert page.locator(".copy code").inner_text() == made
    page.goto("/tenants/acme")
    row = page.locator("tr:has-text('laptop')")
    expect(row).to_have_count(1)
    id = row.locator("code").inner_text()
    row.locator("summary").click()
    expect(row.locator("form button")).to_be_disabled()
    row.locator("input[name=typed]").fill(id)
    row.locator("form button").click()
    expect(page.locator(".done")).to_have_text("The key works no more.")
    page.click("summary >> text=Rotate the keys")
    form = page.locator("form[action='/tenants/acme/keys/rotate']")
    form.locator("input[name=typed]").fill("acme")
    form.locator("button").click()
    expect(page.locator(".copy code")).to_have_text(re.compile("^ef_live_"))
    expect(page.locator("main")).to_contain_text("The old ones work until")


def test_nothing_typed_is_lost_where_the_session_ends_in_the_middle(chromium: Browser, watched: House, acme: Tenant) -> None:  # fmt: skip
    with looking(chromium, watched) as (page, _):
        sign_in(page, watched)
        page.goto("/tenants/acme")
        page.fill("form[action='/tenants/acme'] input[name=name]", STRANGE)
        page.context.clear_cookies()
        page.click("form[action='/tenants/acme'] button")
        expect(page.locator(".banner")).to_contain_text("nothing you typed is lost")
        page.fill("input[name=key]", watched.stack.secrets["EARTHFLOW_ADMIN_API_KEY"])
        page.click("form[action='/sign-in'] button")
        expect(page.locator("dl")).to_contain_text(STRANGE)
        page.click("text=Send it")
        expect(page.locator("h1 bdi")).to_have_text(STRANGE)
        page.fill("form[action='/tenants/acme'] input[name=name]", "Acme")
        page.click("form[action='/tenants/acme'] button")


def test_pages_read_and_forms_work_without_scripts(chromium: Browser, watched: House, acme: Tenant) -> None:  # fmt: skip
    with looking(chromium, watched, java_script_enabled=False) as (page, _):
        sign_in(page, watched)
        page.goto("/decisions?status=BLOCK")
        page.click("tbody [data-open]")
        expect(page.locator(".why").first).to_be_visible()
        page.goto("/rules")
        page.fill("textarea[name=text]", f"the key {AWS_KEY}")
        page.click("text=Try it")
        expect(page.locator(".tried")).to_contain_text("credentials.aws-access-key")


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
def test_no_page_keeps_anybody_out(chromium: Browser, watched: House, acme: Tenant, language: str) -> None:  # fmt: skip
    """axe finds nothing serious, in the light and in the dark, and no page is wider than its screen."""
    with looking(chromium, watched, extra_http_headers={"Accept-Language": language}) as (page, _):  # fmt: skip
        page.goto("/sign-in")
        assert _barriers(page) == []
        sign_in(page, watched)
        blocked = watched.stack.control.get("/v1/audit?tenant=acme&status=BLOCK&limit=1")["audit"][0]["id"]  # fmt: skip
        found = []
        for path in (*PAGES, f"/decisions/{blocked}", f"/decisions/{blocked}/fix", f"/decisions?panel={blocked}"):  # fmt: skip
            page.goto(path)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found += [(path, scheme, one) for one in _barriers(page)]
            for size in (PHONE, DESK):
                page.set_viewport_size(size)  # type: ignore[arg-type]
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append((path, str(size["width"]), "wider than the screen"))
        assert not found, "\n".join(map(str, found))


def _barriers(page: Page) -> list[str]:
    """What axe finds of WCAG 2 A and AA that is serious or worse."""
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")]  # fmt: skip
