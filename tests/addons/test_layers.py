"""What we bend in mitmproxy is there in the shape we bend it; a new version that differs fails here first."""

import inspect

from mitmproxy import version
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import HttpClient, HttpLayer, HttpStream
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.layers.websocket import WebsocketLayer

from addons.bounded import BoundedHttp1Client, BoundedHttp1Server
from addons.layers import JudgedHttpLayer, JudgedStream, Tunnel
from addons.sockets import JudgedSocket

ADDITIONS = {
    "state_discard", "_answer", "_check_answer_size", "_declared", "_end", "_expire", "_failed", "_keep_alive", "_leave", "_refuse",
    "_refuse_body", "_replace", "_close", "_judge", "_pass", "_piece", "_end_upload",
}  # fmt: skip
PARAMETERS = {
    HttpStream.check_body_size: ["self", "request"],
    HttpStream.make_server_connection: ["self"],
    HttpStream.handle_protocol_error: ["self", "event"],
    HttpStream._handle_event: ["self", "event"],
    HttpStream.state_wait_for_response_headers: ["self", "event"],
    HttpStream.state_stream_response_body: ["self", "event"],
    HttpStream.state_wait_for_request_headers: ["self", "event"],
    HttpStream.state_consume_request_body: ["self", "event"],
    HttpStream.flow_done: ["self"],
    HttpStream.start_response_stream: ["self"],
    HttpStream.send_response: ["self", "already_streamed"],
    HttpStream.check_killed: ["self", "emit_error_hook"],
    HttpLayer.make_stream: ["self", "stream_id"],
    HttpLayer._handle_event: ["self", "event"],
    Http1Server.read_headers: ["self", "event"],
    Http1Server.wait: ["self", "event"],
    Http1Client.read_headers: ["self", "event"],
    Http1Client.send: ["self", "event"],
    WebsocketLayer.relay_messages: ["self", "event"],
    TCPLayer.relay_messages: ["self", "event"],
    NextLayer._next_layer: ["self", "context", "data_client", "data_server"],
}


def test_mitmproxy_is_the_version_that_was_read() -> None:
    assert version.VERSION == "12.2.3"


def test_every_overridden_method_has_the_parameters_it_had() -> None:
    for method, parameters in PARAMETERS.items():
        assert list(inspect.signature(method).parameters) == parameters, method


def test_every_method_we_override_exists_above() -> None:
    for ours in (BoundedHttp1Client, BoundedHttp1Server, JudgedHttpLayer, JudgedSocket, JudgedStream, Tunnel):
        above = ours.__mro__[1]
        for name in vars(ours):
            overrides = inspect.isfunction(vars(ours)[name]) and name not in ADDITIONS
            assert not overrides or hasattr(above, name), f"{ours.__name__}.{name}"


def test_the_bodys_cap_is_asked_where_we_answer_it() -> None:
    """Before the head's hook where the length is declared, and at every piece of a body without a length."""
    assert "self.check_body_size(True)" in inspect.getsource(HttpStream.state_wait_for_request_headers)
    assert "self.check_body_size(True)" in inspect.getsource(HttpStream.state_consume_request_body)
    assert "self.check_body_size(False)" in inspect.getsource(HttpStream.state_consume_response_body)
    assert issubclass(Tunnel, Layer)


def test_mitmproxy_takes_our_classes_where_it_makes_its_own() -> None:
    assert "Http1Client(self.context)" in inspect.getsource(HttpClient)
    assert http_layers.Http1Client is BoundedHttp1Client
    assert "websocket.WebsocketLayer(self.context, self.flow)" in inspect.getsource(HttpStream.flow_done)
    assert http_layers.websocket.WebsocketLayer is JudgedSocket
    assert "self.body_reader = make_body_reader" in inspect.getsource(Http1Client.read_headers)
