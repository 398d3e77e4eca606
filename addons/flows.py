"""What a flow of mitmproxy's says, as everything behind the gate takes it."""

from datetime import UTC, datetime

from mitmproxy import http

from addons.judging import Request
from addons.providers.provider import Provider
from addons.record import Address


def request_of(flow: http.HTTPFlow, provider: Provider) -> Request:
    """A call as its judges take it."""
    path, _, query = flow.request.path.partition("?")
    encoding = ",".join(flow.request.headers.get_all("content-encoding"))
    body, now = flow.request.raw_content or b"", datetime.now(UTC)
    kind, model = (
        flow.request.headers.get("content-type", ""),
        flow.request.query.get("model", "") if query else "",
    )
    return Request(
        provider, flow.request.host, flow.request.method, path, query, body, encoding, now, kind, model
    )


def address_of(flow: http.HTTPFlow) -> Address:
    """Where a call goes and comes from, as the audit names it."""
    peer = flow.client_conn.peername
    path = flow.request.path.partition("?")[0] if flow.request.method != "CONNECT" else ""
    return Address(flow.request.host, flow.request.method, path, peer[0] if peer else "")


def place_of(error: Exception) -> str:
    """Where an error came from, without its text, which may quote what must not be logged."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "unknown"
