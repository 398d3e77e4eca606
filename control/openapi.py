"""`/v1/openapi.json` (OpenAPI 3.1) and `/v1/docs`, a page: both made from the routes
and their types.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, get_args

import msgspec
from aiohttp import web
from markupsafe import Markup

from contract.decision import Action, Outcome, Reason
from contract.version import VERSION
from control.dashboard import render
from control.dashboard.languages import LANGUAGES
from control.errors import answer
from control.permissions import roles_of

REF = "#/components/schemas/{name}"
ID: dict[str, Any] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"}
TIME = {"type": "string", "format": "date-time"}
TEXT = {"type": "string", "minLength": 1, "maxLength": 300, "pattern": "^[^\\x00]*$"}
QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50},
    "cursor": {"type": "string", "description": "`next` of the page before"},
    "after": ID,
    "search": {**TEXT, "maxLength": 200},
    "state": {"enum": ["live", "ended", "all"], "default": "live"},
    "tenant": ID,
    "version": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "status": {"enum": list(get_args(Action))},
    "reason": {"enum": list(get_args(Reason))},
    "outcome": {"enum": list(get_args(Outcome))},
    "prompt": {"enum": ["no"]},
    "from": TIME,
    "to": TIME,
}
QUERY |= {
    f"not.{name}": QUERY[name] for name in ("tenant", "status", "reason", "outcome")
}
# Parameters that mean something else on one path.
QUERY_OF: dict[str, dict[str, dict[str, Any]]] = {
    "/v1/audit/admin": {"outcome": TEXT},
    "/v1/audit/{id}": {"reason": {**TEXT, "maxLength": 200}},
}
# Nouns of operation ids whose module has another name.
PUBLIC_NOUNS = {"master_keys": "masters"}
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}
INTRODUCTION = Markup(
    "<p>Send a key as <code>X-API-Key</code> or <code>Authorization: Bearer</code>. "
    "For programs: <a href=openapi.json>openapi.json</a>.</p>"
)


class Route(NamedTuple):
    """A route. `answers` and `body` are msgspec types, or media types; without
    `answers` it is not described. `needs`: the permission of those that are.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    answers: Any = None
    body: Any = None
    status: int = 200
    query: tuple[str, ...] = ()
    needs: str = ""


DESCRIBED = web.AppKey("described", dict[str, Any])
# By handler, of the routes that are described: what it does, such as tenants.create, what its query may have, and which
# permission it needs.
ACTIONS = web.AppKey("actions", dict[Any, str])
PARAMETERS = web.AppKey("parameters", dict[Any, tuple[str, ...]])
NEEDS = web.AppKey("needs", dict[Any, str])


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong: a code for programs, a sentence and a hint for people, and an id
    to find it in the log.
    """

    code: str
    message: str
    request_id: str
    hint: str = ""


class Failure(msgspec.Struct):
    """The body of every failure."""

    error: Problem


async def document(request: web.Request) -> web.Response:
    """The API as an OpenAPI document. For anybody."""
    return answer(request.app[DESCRIBED])


async def page(request: web.Request) -> web.Response:
    """The API as a page. For anybody."""
    parts = [INTRODUCTION]
    for path, methods in request.app[DESCRIBED]["paths"].items():
        for method, operation in methods.items():
            named = ", ".join(
                one["name"] for one in operation["parameters"] if one["in"] == "query"
            )
            title = Markup("<h2><code>{} {}</code></h2>").format(method.upper(), path)
            told = Markup("<p>{} {}</p>").format(
                operation["summary"], operation["description"]
            )
            query = Markup("<p>Query: <code>{}</code></p>").format(named)
            parts += [title, told, query] if named else [title, told]
    values = {
        "title": f"Earthflow API {VERSION}",
        "message": "",
        "hint": "",
        "below": Markup("").join(parts),
        "here": request.path,
    }
    return render.page(render.html("plain.html", LANGUAGES["en"], values))


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    described = [route for route in routes if route.answers is not None]
    types = {
        one
        for route in described
        for one in (route.answers, route.body)
        if isinstance(one, type)
    } | {Failure}
    ordered = sorted(types, key=lambda one: one.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=REF)
    by_type = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in described:
        paths.setdefault(route.path, {})[route.method.lower()] = _described(
            route, by_type
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Earthflow",
            "version": VERSION,
            "description": "Tenants, keys, rules, audit, webhooks and metrics.",
        },
        "security": [{"key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def install(app: web.Application, routes: Sequence[Route]) -> None:
    """Let the application know what its routes are."""
    described = [route for route in routes if route.answers is not None]
    app[DESCRIBED] = describe(routes)
    app[ACTIONS] = {route.handler: ".".join(_operation(route)) for route in described}
    app[PARAMETERS] = {route.handler: route.query for route in described}
    app[NEEDS] = {route.handler: route.needs for route in described}


def _operation(route: Route) -> tuple[str, str]:
    """The noun and the verb. They are public: they stay when a module gets a better name."""
    noun = route.handler.__module__.rpartition(".")[2]
    return PUBLIC_NOUNS.get(noun, noun), route.handler.__name__


def _described(route: Route, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    named = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": ID} for name in named
    ]
    parameters += [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": QUERY_OF.get(route.path, {}).get(name, QUERY.get(name, TEXT)),
        }
        for name in route.query
    ]
    parameters += [KEY_HEADER] if route.method == "POST" else []
    operation: dict[str, Any] = {
        "operationId": "_".join(_operation(route)),
        "tags": [route.path.split("/")[2]],
        "summary": " ".join((route.handler.__doc__ or "").split()),
        "description": f"Needs {route.needs}: {', '.join(roles_of(route.needs))}.",
        "x-permission": route.needs,
        "parameters": parameters,
        "responses": {
            str(route.status): {
                "description": "Done.",
                "content": _content(route.answers, by_type),
            },
            "default": {
                "description": "Not done, and why.",
                "content": _content(Failure, by_type),
            },
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": _content(route.body, by_type),
        }
    return operation


def _content(what: Any, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    return (
        {what: {"schema": {"type": "string"}}}
        if isinstance(what, str)
        else {"application/json": {"schema": by_type[what]}}
    )
