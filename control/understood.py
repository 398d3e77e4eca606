"""Middleware: what a query asks for is understood, or refused; nothing is passed over."""

from collections.abc import Sequence

from aiohttp import web

from control import auth, openapi
from control.errors import ApiError, Handler
from rules.complaint import likely


@web.middleware
async def understood(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a query with a parameter that the route has not, or one that is given twice."""
    known = request.app[openapi.PARAMETERS].get(request.match_info.handler)
    if known is not None and (problem := _problem(request, known)) is not None:
        await auth.caller(request, metrics=True)  # not for strangers
        raise problem
    return await handler(request)


def _problem(request: web.Request, known: Sequence[str]) -> ApiError | None:
    for name in request.query:
        if name not in known:
            hint = likely(name, known) if known else "This has no parameters."
            message = f"There is no parameter {name[:50]}."
            return ApiError(400, "unknown_parameter", message, hint)
        if len(request.query.getall(name)) > 1:
            message = f"The parameter {name} is given twice."
            return ApiError(400, "given_twice", message, "Give it once.")
    return None
