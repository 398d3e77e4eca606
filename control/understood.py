"""Middleware: what a query asks for is understood, or refused; nothing is passed over."""

from collections.abc import Sequence

from aiohttp import web

from control import openapi
from control.errors import ApiError, Handler
from rules.complaint import likely


@web.middleware
async def understood(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a query with a parameter that the route has not, or one that is given twice."""
    known = request.app[openapi.PARAMETERS].get(request.match_info.handler)
    if known is not None and not _fits(request, known):
        raise _problem(request, known)
    return await handler(request)


def _fits(request: web.Request, known: Sequence[str]) -> bool:
    names = set(request.query.keys())
    return len(names) == len(request.query) and names <= set(known)


def _problem(request: web.Request, known: Sequence[str]) -> ApiError:
    unknown = next((name[:50] for name in request.query if name not in known), None)
    if unknown is None:
        message = "A parameter is given twice."
        return ApiError(400, "given_twice", message, "Give each once.")
    hint = likely(unknown, known) if known else "This has no parameters."
    return ApiError(400, "unknown_parameter", f"There is no parameter {unknown}.", hint)
