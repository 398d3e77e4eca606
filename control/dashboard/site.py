"""All pages of the dashboard on one screen, and what stands before each: a session, a permission, and a form that is of that session."""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from control import auth, sessions
from control.addresses import address_of
from control.dashboard import (
    account,
    audit,
    clients,
    decisions,
    delivery,
    fix,
    now,
    render,
    rules,
    system,
    tenants,
)
from control.dashboard.calls import Refused
from control.dashboard.visit import Visit
from control.errors import INTERNAL, REQUEST_ID, ApiError, Handler, answer_to
from control.store import admin_audit
from control.store.admin_audit import Act

logger = logging.getLogger("earthflow.api")


class Page(NamedTuple):
    """A page, and the permission that it needs; what it shows and does needs the API's own ones besides."""

    method: str
    path: str
    handler: Callable[[Visit], Awaitable[web.StreamResponse]]
    needs: str = "audit.read"


# fmt: off
PAGES = (
    Page("GET", "/", now.show),
    Page("GET", "/decisions", decisions.every),
    Page("GET", "/decisions.csv", decisions.as_csv),
    Page("GET", "/decisions/tail", decisions.tail),
    Page("POST", "/decisions/views", decisions.save_view, "views.write"),
    Page("POST", "/decisions/views/{id}/delete", decisions.delete_view, "views.write"),
    Page("GET", "/decisions/{id}", decisions.one),
    Page("POST", "/decisions/{id}/prompt", decisions.prompt, "audit.prompts"),
    Page("POST", "/decisions/{id}/mark", decisions.mark, "audit.mark"),
    Page("GET", "/decisions/{id}/fix", fix.show, "rules.write"),
    Page("POST", "/decisions/{id}/fix", fix.propose, "rules.write"),
    Page("POST", "/decisions/{id}/fix/apply", fix.apply, "rules.write"),
    Page("POST", "/decisions/{id}/fix/undo", fix.undo, "rules.write"),
    Page("GET", "/rules", rules.every, "rules.read"),
    Page("POST", "/rules/try", rules.try_text, "rules.read"),
    Page("GET", "/rules/layers/{kind}", rules.layer, "rules.read"),
    Page("POST", "/rules/layers/{kind}", rules.change, "rules.tighten"),
    Page("GET", "/tenants", tenants.every, "tenants.read"),
    Page("POST", "/tenants", tenants.create, "tenants.create"),
    Page("GET", "/tenants/{id}", tenants.one, "tenants.read"),
    Page("POST", "/tenants/{id}", tenants.change, "tenants.write"),
    Page("POST", "/tenants/{id}/end", tenants.end, "tenants.write"),
    Page("POST", "/tenants/{id}/keys", tenants.create_key, "keys.write"),
    Page("POST", "/tenants/{id}/keys/rotate", tenants.rotate, "keys.write"),
    Page("POST", "/tenants/{id}/keys/{key}/revoke", tenants.revoke, "keys.write"),
    Page("GET", "/staff", tenants.staff, "staff.read"),
    Page("POST", "/staff", tenants.create_staff, "staff.write"),
    Page("POST", "/staff/{key}/revoke", tenants.revoke_staff, "staff.write"),
    Page("GET", "/audit", audit.entries, "audit.admin"),
    Page("GET", "/audit/quarantine", audit.quarantine, "quarantine.read"),
    Page("POST", "/audit/quarantine", audit.replay, "quarantine.write"),
    Page("GET", "/delivery", delivery.every, "webhooks.read"),
    Page("GET", "/delivery/{id}", delivery.one, "webhooks.read"),
    Page("POST", "/delivery/{id}/test", delivery.test, "webhooks.write"),
    Page("POST", "/delivery/{id}/replay", delivery.replay, "webhooks.write"),
    Page("GET", "/system", system.show, "fleet.read"),
    Page("GET", "/clients", clients.show, "tenants.read"),
    Page("GET", "/account", account.show),
    Page("POST", "/account/sign-out-everywhere", account.sign_out_everywhere),
)
# For anybody.
DOORS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/sign-in", account.show_sign_in),
    ("POST", "/sign-in", account.sign_in),
    ("POST", "/sign-in/again", account.resume),
    ("GET", "/signed-in", account.signed_in),
    ("POST", "/sign-out", account.sign_out),
    ("GET", "/language", account.speak),
    ("GET", "/assets/{name}", render.send_asset),
)
# fmt: on


NOTED = (
    "/decisions.csv",
)  # what is an entry of the audit, and so no other site may lead to


def install(app: web.Application) -> None:
    """Let an application serve the dashboard."""
    for page in PAGES:
        app.router.add_route(page.method, page.path, _before(page))
        if page.method == "GET":
            app.router.add_route("HEAD", page.path, _before(page))
    for method, path, handler in DOORS:
        app.router.add_route(method, path, _door(handler))


@web.middleware
async def addresses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser that goes to an address that is none, or is only sent to, gets a page."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed, web.HTTPRequestEntityTooLarge) as error:  # fmt: skip
        if "text/html" not in request.headers.get("Accept", "") or request.path.startswith(("/v1/", "/internal/")):  # fmt: skip
            raise
        message = "No page has this address, or it can only be sent to by a form."
        if error.status == 413:
            message = "This form is larger than what is taken."
        return account.refused(request, Refused(error.status, "", message), None)


def _door(handler: Handler) -> Handler:
    """A page for anybody; what fails is said on one."""

    async def door(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as refusal:
            if auth.presents_key(request):
                raise
            return account.refused(request, refusal, None)

    return door


def _before(page: Page) -> Handler:
    """The page's handler, for whoever may see it."""

    async def handler(request: web.Request) -> web.StreamResponse:
        visit = None
        if not sessions.is_fit(request):
            return account.unfit(request)
        try:
            if (found := await sessions.of(request)) is None:
                return await _nobody(request)
            visit = Visit(request, *found)
            return await _visited(visit, page)
        except ApiError as refusal:
            return account.refused(request, refusal, visit)
        except web.HTTPException:
            raise
        except Exception as error:
            known = answer_to(error)
            if known is INTERNAL:
                failed = "%s in request %s of a page"
                shown = logger.isEnabledFor(logging.DEBUG)
                logger.error(failed, type(error).__name__, request[REQUEST_ID], exc_info=shown)  # fmt: skip
            return account.refused(request, known, visit)

    handler.__qualname__ = handler.__name__ = page.handler.__qualname__
    return handler


async def _visited(visit: Visit, page: Page) -> web.StreamResponse:
    if visit.request.method == "POST":
        await visit.read_form()
    elif page.path in NOTED or "files" in visit.query:
        _came_from_here(visit.request)
    if not visit.may(page.needs):
        await _note_refused(visit, page)
        message = f"A key of the role {visit.who.role} may not do this ({page.needs})."
        raise Refused(403, "forbidden", message, "The menu has what it may.")
    return await page.handler(visit)


def _came_from_here(request: web.Request) -> None:
    """Raises Refused where another site led here."""
    if request.headers.get("Sec-Fetch-Site", "none") not in auth.OWN_SITE:
        message = "A link of another site led here; what this shows is written down."
        raise Refused(403, "foreign_page", message, "Open it from the dashboard.")


async def _note_refused(visit: Visit, page: Page) -> None:
    """An entry of what somebody may not do, as of a refused call of the API; of too many there is none. Raises ApiError 429."""
    auth.bound(visit.request, visit.who.key)
    who, request = visit.who, visit.request
    act = Act("pages.open", page.path, request[REQUEST_ID], who.key, who.role)
    act.address, act.tenant = address_of(request), auth.owner_of(who)
    await admin_audit.note(visit.state.pool, act, "forbidden")


async def _nobody(request: web.Request) -> web.StreamResponse:
    """Somebody who is not signed in, or not any more."""
    if request.method == "POST":
        return await account.interrupted(request)
    if request.headers.get("X-Part") or request.path == "/decisions/tail":
        return web.Response(status=401, headers=render.HEADERS)
    return account.to_sign_in(request)
