"""Middleware: who asks has the permission that the route needs, or is refused."""

from aiohttp import web

from control import auth, openapi
from control.errors import Handler


@web.middleware
async def permitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to a described route only with its permission."""
    needs = request.app[openapi.NEEDS].get(request.match_info.handler)
    if needs is not None:
        await auth.permitted(request, needs)
    return await handler(request)
