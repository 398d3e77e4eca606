"""Errors of the API: a status, a code for programs, a sentence and a hint for people; the same shape for every failure."""

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import psycopg
from aiohttp import web
from psycopg_pool import PoolTimeout

from contract.decision import new_id

logger = logging.getLogger("earthflow.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(Exception):
    """Raised by a handler, answered by the middleware."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.hint, self.headers = status, code, message, hint, dict(headers or {})


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure becomes the one shape; what we did not foresee says nothing of its inside."""
    request_id = new_id()
    try:
        response = await handler(request)
        response.headers.setdefault("x-request-id", request_id)
        return response
    except ApiError as error:
        return _shape(request_id, error)
    except psycopg.DataError:
        return _shape(request_id, ApiError(400, "bad_request", "A value holds what cannot be stored or searched for."))
    except (psycopg.OperationalError, PoolTimeout) as error:
        logger.warning("PostgreSQL is away (%s); request %s", type(error).__name__, request_id)
        return _shape(request_id, ApiError(503, "database_away", "PostgreSQL does not answer.", "Try again; see /health/ready."))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = (error.reason or "error").lower().replace(" ", "_")
        shaped = _shape(request_id, ApiError(error.status, code, f"{error.reason}: {request.method} {request.path}"))
        shaped.headers.update({name: value for name, value in error.headers.items() if name == "Allow"})
        return shaped
    except Exception as error:
        logger.error("%s in request %s", type(error).__name__, request_id, exc_info=logger.isEnabledFor(logging.DEBUG))
        return _shape(request_id, ApiError(500, "internal", "Something failed on our side.", "Look for the request id in control's log."))


def _shape(request_id: str, error: ApiError) -> web.Response:
    body = {"code": error.code, "message": error.message, "hint": error.hint, "request_id": request_id}
    return answer(
        {"error": {key: value for key, value in body.items() if value}}, error.status, {"x-request-id": request_id, **error.headers}
    )
