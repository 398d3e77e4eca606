"""How much of a list one answer has."""

import re

from aiohttp import web

from control.errors import ApiError

# Rows of a page: some 500 KB of JSON.
MAX_LIMIT = 1000
BAD_CURSOR = ApiError(
    400, "bad_cursor", "That is no cursor.", "Take it from `next` of the page before."
)


def limit_of(request: web.Request) -> int:
    """`limit` of the query, by default 50. Raises ApiError."""
    text = request.query.get("limit", "50")
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ApiError(
            400, "bad_limit", f"limit is a whole number from 1 to {MAX_LIMIT}."
        )
    return int(text)
