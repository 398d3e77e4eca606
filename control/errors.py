"""Errors of the API: a status, a code for programs, a sentence and a hint for people.

Every failure has this form.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import psycopg
from aiohttp import web
from psycopg_pool import PoolTimeout

from contract.decision import new_id

logger = logging.getLogger("earthflow.api")

REQUEST_ID = web.RequestKey("request_id", str)
CALLER = web.RequestKey("caller", str)  # in the log: a role, or a tenant's id
PART = web.RequestKey("part", bool)  # it is a part of a page, which has a line itself
# What a handler may raise, sorted by what it means for a caller who retries.
NOTHING_DONE = (web.HTTPException, psycopg.DataError)
DATABASE_AWAY = (psycopg.Error, PoolTimeout)
# asked too often to be logged
QUIET = (
    "/health",
    "/health/ready",
    "/internal/snapshot",
    "/internal/report",
    "/internal/watermark/{worker}/{boot}",
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(Exception):
    """Raised by a handler, answered by the middleware."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})


NO_TENANT = ApiError(
    404, "not_found", "There is no such tenant.", "GET /v1/tenants lists them."
)
LEFT = ApiError(400, "aborted", "The client left in the middle of its request.")
AT_ONCE = ApiError(
    503,
    "changed_at_once",
    "Somebody else changed the same at the same time; nothing was changed.",
    "Send it again.",
    {"Retry-After": "1"},
)
OTHER_RULES = ApiError(
    503,
    "other_rules",
    "This control process is not the one that serves rules now.",
    "The control process that was started last serves the snapshot; this one has other rule files.",
)
UNSTORABLE = ApiError(
    400, "bad_request", "A value holds what cannot be stored or searched for."
)
TOO_MUCH = ApiError(
    400,
    "too_much",
    "That takes too long to find.",
    "Ask for a shorter time: from=…&to=….",
)
AGAIN = {"Retry-After": "5"}
POSTGRES_AWAY = ApiError(
    503,
    "database_away",
    "PostgreSQL does not answer.",
    "Try again; see /health/ready.",
    AGAIN,
)
# What PostgreSQL says of itself where it answers and can do nothing (its appendix A, error codes).
POSTGRES_UNFIT: dict[type[psycopg.Error], ApiError] = {
    psycopg.errors.ReadOnlySqlTransaction: ApiError(
        503,
        "database_read_only",
        "PostgreSQL only reads at the moment, as after a failover; nothing was changed.",
        "Let POSTGRES_HOST name the primary, or wait until this one is.",
        AGAIN,
    ),
    psycopg.errors.TooManyConnections: ApiError(
        503,
        "database_crowded",
        "PostgreSQL takes no more connections; nothing was changed.",
        "Raise its max_connections, or see in pg_stat_activity who holds them.",
        AGAIN,
    ),
    psycopg.errors.DiskFull: ApiError(
        503,
        "database_full",
        "PostgreSQL's disk is full; nothing was changed.",
        "Give it more room, or lower AUDIT_RETENTION_DAYS.",
        AGAIN,
    ),
    psycopg.errors.CannotConnectNow: ApiError(
        503,
        "database_starting",
        "PostgreSQL starts or ends at the moment.",
        "Try again; see /health/ready.",
        AGAIN,
    ),
}


def unfit(error: Exception) -> ApiError | None:
    """What is wrong with PostgreSQL by this error of its; None where nothing is."""
    for kind, told in POSTGRES_UNFIT.items():
        if isinstance(error, kind):
            return told
    away = isinstance(error, psycopg.OperationalError | PoolTimeout)
    return POSTGRES_AWAY if away else None


INTERNAL = ApiError(
    500,
    "internal",
    "Something failed on our side.",
    "Look for the request id in control's log.",
)


def answer(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers=headers,
    )


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every failure its form.

    Each request is one line in the log, by its route, never by its path or query.
    """
    request_id, began = new_id(), time.monotonic()
    request[REQUEST_ID] = request_id
    response = await _handled(request, handler, request_id)
    if not response.prepared:
        response.headers.setdefault("x-request-id", request_id)
    _log(request, response.status, request_id, began)
    return response


def _log(request: web.Request, status: int, request_id: str, began: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    # a flood must not fill the log
    quiet = route in QUIET or status == 429 or request.get(PART, False)
    level = logging.DEBUG if quiet else logging.INFO
    if logger.isEnabledFor(level):
        told = {
            "method": request.method, "route": route, "status": status, "ms": round((time.monotonic() - began) * 1000, 1),
            "caller": request.get(CALLER, "none"), "request_id": request_id,
        }  # fmt: skip
        logger.log(level, "request", extra=told)


async def _handled(
    request: web.Request, handler: Handler, request_id: str
) -> web.StreamResponse:
    """The answer. What was not foreseen tells nothing of its inside."""
    try:
        return await handler(request)
    except ApiError as error:
        refusal = _shape(request_id, error)
        # Some are raised again and again, and would keep each time's frames with their requests.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        return refusal
    except web.HTTPException as error:
        if error.status < 400:
            raise
        told = answer_to(error)
        told.message += f": {request.method} {request.path}"
        told.headers |= {
            name: value for name, value in error.headers.items() if name == "Allow"
        }
        return _shape(request_id, told)
    except Exception as error:
        told = answer_to(error)
        if told is INTERNAL:
            logger.error(
                "%s in request %s",
                type(error).__name__,
                request_id,
                exc_info=logger.isEnabledFor(logging.DEBUG),
            )
        elif unfit(error) is not None:
            logger.warning("%s; request %s", told.message, request_id)
        return _shape(request_id, told)


def answer_to(error: Exception) -> ApiError:
    """What answers this error; INTERNAL where it was not foreseen."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, psycopg.DataError | psycopg.errors.ProgramLimitExceeded):
        return UNSTORABLE
    if isinstance(error, psycopg.errors.QueryCanceled):
        return TOO_MUCH
    if isinstance(error, ConnectionError):
        return LEFT
    if isinstance(error, psycopg.errors.DeadlockDetected):
        return AT_ONCE
    if isinstance(error, web.HTTPException):
        code = (error.reason or "error").lower().replace(" ", "_")
        return ApiError(error.status, code, error.reason or "Error")
    return unfit(error) or INTERNAL


def _shape(request_id: str, error: ApiError) -> web.Response:
    body = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "request_id": request_id,
    }
    return answer(
        {"error": {key: value for key, value in body.items() if value}},
        error.status,
        {"x-request-id": request_id, **error.headers},
    )
