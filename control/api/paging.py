"""How much of a list one answer has."""

import re

from aiohttp import web

from control.errors import ApiError

# Rows of a page: some 500 KB of JSON.
MAX_LIMIT = 1000
LONGEST_SEARCH = 200  # characters, as of a name
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
BAD_AFTER = ApiError(
    400, "bad_after", "`after` is no id of this list.", "Take it from `next`."
)
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


def after_of(request: web.Request) -> str | None:
    """`after` of the query: the id behind which a page begins. Raises ApiError."""
    after = request.query.get("after")
    if after is not None and not ID.fullmatch(after):
        raise BAD_AFTER
    return after


def search_of(request: web.Request) -> str:
    """`search` of the query. Raises ApiError."""
    text = request.query.get("search", "")
    if len(text) > LONGEST_SEARCH or "\0" in text:
        raise ApiError(400, "bad_search", "That is too long to search for.")
    return text
