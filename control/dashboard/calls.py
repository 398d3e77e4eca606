"""Calls of the API from within: with the same permissions, checks and entries of the audit as any other call.

A page cannot show what its reader may not read, since it has no other source than the API's own answers.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web
from yarl import URL

from control.addresses import ADDRESS, address_of
from control.auth import WHO
from control.errors import PART, ApiError
from control.permissions import Caller

Query = Mapping[str, str]


class Refused(ApiError):
    """The API's own refusal, or one in its form; with the whole `body`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        body: Mapping[str, Any] | None = None,
    ):
        super().__init__(status, code, message, hint)
        self.body = body or {}


BLANK = web.RequestKey("blank", web.Request)


def blank_of(request: web.Request) -> web.Request:
    """A copy of a request that nobody read the body of: of one that was read there can be none, so it is made before."""
    if BLANK not in request:
        request[BLANK] = request.clone()
    return request[BLANK]


class Api:
    """The API for one caller, during one request to a page."""

    def __init__(self, request: web.Request, who: Caller):
        self._blank, self._who = blank_of(request), who

    async def get(self, path: str, query: Query | None = None) -> Any:
        """What a GET answers. Raises Refused."""
        return await self.send("GET", path, query=query)

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Query | None = None,
        once: str = "",
    ) -> Any:
        """What a call answers; sent again with the same `once` it is done once. Raises Refused."""
        answered = await self._answered(method, path, query, body, once)
        content = answered.body
        return msgspec.json.decode(content) if isinstance(content, bytes) else None

    async def _answered(
        self, method: str, path: str, query: Query | None, body: object, once: str
    ) -> web.Response:
        url = URL.build(path=path, query=dict(query or {}))
        headers = {"Host": self._blank.host}
        headers |= {"Idempotency-Key": once} if once else {}
        inner = self._blank.clone(method=method, rel_url=url, headers=headers)
        # aiohttp has no public way to give a request a body, or to let an application handle one that did not arrive
        # on a connection; tests/control/test_dashboard.py notices a change of either.
        inner._read_bytes = msgspec.json.encode(body) if body is not None else b""
        inner[WHO], inner[PART] = self._who, True
        inner[ADDRESS] = address_of(self._blank)
        answered = await inner.app._handle(inner)
        assert isinstance(answered, web.Response)
        if answered.status >= 400:
            raise _refusal(answered)
        return answered


def _refusal(answered: web.Response) -> Refused:
    content = answered.body if isinstance(answered.body, bytes) else b"{}"
    body = msgspec.json.decode(content)
    told = body.get("error", {})  # /health/ready has none
    message = told.get("message", "It does not work at the moment.")
    return Refused(answered.status, told.get("code", ""), message, told.get("hint", ""), body)  # fmt: skip
