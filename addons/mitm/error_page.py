"""The reply to what is not HTTP enough to be a call, in place of mitmproxy's page, which names it and its version.

Nobody knows the provider then; OpenAI's and Anthropic's SDKs both read this form.
"""

import re

import msgspec
from mitmproxy import http
from mitmproxy.net.http import http1

from addons.providers.error_formats import BLOCKED, TORN

# In mitmproxy's messages, and in those of the libraries behind these words.
QUOTED = re.compile(r"[\s(:]+b?['\"]|(?<= protocol error)")


def unquoted(message: str) -> str:
    """What mitmproxy says of an error, without what it quotes: the peer's own bytes."""
    return QUOTED.split(message, maxsplit=1)[0]


def body_of(status: int, message: str) -> bytes:
    """Its JSON."""
    failed = status >= 500
    error = {
        "message": f"Earthflow: {unquoted(message) or 'the call cannot be read'}",
        "type": "server_error" if failed else "invalid_request_error",
        "param": None,
        "code": TORN if failed else BLOCKED,
    }
    return msgspec.json.encode({"type": "error", "error": error})


def error_page(status_code: int, message: str = "") -> bytes:
    """As mitmproxy's `make_error_response`: the whole response of HTTP/1."""
    fields = {"connection": "close", "content-type": "application/json"}
    body = body_of(status_code, message)
    response = http.Response.make(status_code, body, fields)
    page: bytes = http1.assemble_response(response)
    return page
