"""What Earthflow bends in mitmproxy has the shape that is bent: a new version that differs fails here first."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import mitmproxy
import pytest
from h2.connection import H2Connection
from h11._readers import ContentLengthReader
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import addonmanager, certs, http, master, optmanager, version
from mitmproxy.addons import proxyserver, tlsconfig
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.coretypes import multidict
from mitmproxy.proxy import mode_servers, server
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import tls as tls_layers
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    HttpClient,
    HttpLayer,
    HttpStream,
    _http1,
    _http2,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.proxy.layers.http._http2 import (
    Http2Client,
    Http2Connection,
    Http2Server,
)
from mitmproxy.proxy.layers.tcp import TCPLayer
from mitmproxy.proxy.layers.websocket import WebsocketConnection, WebsocketLayer

from addons.mitm import bends
from addons.mitm.bends import BENDS, UNTRUSTED
from addons.mitm.error_page import error_page
from addons.mitm.http import JudgedHttpLayer, JudgedStream
from addons.mitm.http1 import BoundedHttp1Client, BoundedHttp1Server
from addons.mitm.http2 import (
    JudgedHttp2Server,
    OrderlyH2Connection,
    OrderlyHttp2Client,
)
from addons.mitm.tunnel import TunnelLayer
from addons.mitm.watched_stream import WatchedStream
from addons.mitm.websocket import JudgedWebSocket

HEADER_NAMES = st.sampled_from((b"a", b"A", b"bB", b"Bb", b"\xff", b"\xc3\x89", b""))
OURS = (
    BoundedHttp1Client,
    BoundedHttp1Server,
    JudgedHttpLayer,
    JudgedHttp2Server,
    OrderlyHttp2Client,
    JudgedWebSocket,
    WatchedStream,
    JudgedStream,
    TunnelLayer,
)
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
    Http2Client._handle_event: ["self", "event"],
    Http2Client.handle_h2_event: ["self", "event"],
    Http2Server._handle_event: ["self", "event"],
    Http2Server.handle_h2_event: ["self", "event"],
    GetHttpConnection.connection_spec_matches: ["self", "connection"],
    H2Connection._receive_goaway_frame: ["self", "frame"],
    WebsocketLayer.relay_messages: ["self", "event"],
    TCPLayer.relay_messages: ["self", "event"],
}


@pytest.fixture(autouse=True)
def installed() -> None:
    bends.install()


def source(what: object) -> str:
    return inspect.getsource(what)  # type: ignore[arg-type]


def attributes_of_self(owner: type, *contexts: type[ast.expr_context]) -> set[str]:
    tree = ast.parse(textwrap.dedent(source(owner)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, contexts)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def sets(owner: type) -> set[str]:
    """The attributes that a class declares, or sets on itself."""
    return attributes_of_self(owner, ast.Store) | set(inspect.get_annotations(owner))


def uses_of(ours: type) -> set[str]:
    """The attributes of `self` that one of our classes reads or sets."""
    return attributes_of_self(ours, ast.Load, ast.Store)


def test_mitmproxy_is_the_version_that_was_read() -> None:
    assert version.VERSION == "12.2.3"


def test_every_bend_names_a_test_of_this_file() -> None:
    tests = {name for name, value in globals().items() if isinstance(value, Callable)}
    assert {bend.test for bend in BENDS} <= tests
    assert all(bend.what and bend.why for bend in BENDS)


def test_every_private_of_mitmproxy_that_is_used_stands_in_the_table() -> None:
    """`x._private` on what is mitmproxy's, in all of addons/, must be named by a bend."""
    table = " ".join(bend.what for bend in BENDS)
    used = set()
    for path in sorted(Path(inspect.getfile(bends)).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            private = isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
            if private and not (
                isinstance(node.value, ast.Name) and node.value.id == "self"
            ):
                used.add(node.attr)
    assert {name for name in used if name not in table} == set()
    assert used  # the search itself works


def test_every_overridden_method_has_the_parameters_it_had() -> None:
    for method, parameters in PARAMETERS.items():
        assert list(inspect.signature(method).parameters) == parameters, method


def test_a_method_of_ours_overrides_one_or_is_private_or_a_state() -> None:
    """A public method that mitmproxy no longer has would silently never be called."""
    lost = [
        f"{ours.__name__}.{name}"
        for ours in OURS
        for name, value in vars(ours).items()
        if inspect.isfunction(value)
        and not hasattr(ours.__mro__[1], name)
        and (not name.startswith("_") or name.startswith("__"))
        and name != "state_discard"
    ]
    assert lost == []


def test_the_attributes_that_we_use_are_there() -> None:
    """What our classes use of themselves is theirs, or is set by the class above them."""
    for ours in OURS:
        above = set().union(*(sets(one) | set(vars(one)) for one in ours.__mro__[1:-1]))
        missing = uses_of(ours) - above - sets(ours) - set(vars(ours))
        assert missing == set(), ours
    assert {"request_body_buf", "response_body_buf", "child_layer"} <= sets(HttpStream)
    assert {"client_state", "server_state"} <= sets(HttpStream)
    assert {"connections", "streams"} <= sets(HttpLayer)
    assert "frame_buf" in sets(WebsocketConnection)
    assert {"buf", "state"} <= sets(Http1Connection)


def test_the_bodys_cap_is_asked_where_we_answer_it() -> None:
    """Before the head's hook where the length is declared, and at every piece of a body without a length."""
    for state in (
        HttpStream.state_wait_for_request_headers,
        HttpStream.state_consume_request_body,
    ):
        assert "self.check_body_size(True)" in source(state)
    assert "self.check_body_size(False)" in source(
        HttpStream.state_consume_response_body
    )
    assert issubclass(TunnelLayer, Layer)


def test_mitmproxy_makes_our_classes_where_it_made_its_own() -> None:
    assert "Http1Client(self.context)" in source(HttpClient)
    assert http_layers.Http1Client is BoundedHttp1Client
    assert "Http2Client(self.context)" in source(HttpClient)
    assert http_layers.Http2Client is OrderlyHttp2Client
    assert "BufferedH2Connection(self.h2_conf)" in source(Http2Connection)
    assert _http2.BufferedH2Connection is OrderlyH2Connection
    assert "self._receive_goaway_frame" in source(H2Connection.__init__)
    assert "make_error_response(status" in source(_http1.Http1Server)
    assert _http1.make_error_response is error_page
    made = "websocket.WebsocketLayer(self.context, self.flow)"
    assert made in source(HttpStream.flow_done)
    assert http_layers.websocket.WebsocketLayer is JudgedWebSocket
    assert "self.body_reader = make_body_reader" in source(Http1Client.read_headers)


def test_the_addons_that_we_use_load_by_themselves() -> None:
    """`mitmproxy.addons` defines nothing but the list of its addons."""
    tree = ast.parse((Path(mitmproxy.__path__[0]) / "addons" / "__init__.py").read_text())  # fmt: skip
    defined = [
        one.name
        for one in tree.body
        if isinstance(one, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    ]
    assert defined == ["default_addons"]


def test_the_layer_is_chosen_where_we_choose_it() -> None:
    parameters = list(inspect.signature(NextLayer._next_layer).parameters)
    assert parameters == ["self", "context", "data_client", "data_server"]
    assert "self._next_layer(" in source(NextLayer.next_layer)
    assert "except NeedsMoreData" in source(NextLayer.next_layer)


def test_the_server_is_set_up_where_we_set_it_up() -> None:
    assert "ps.setup_servers()" in source(master)
    assert "_servers" in sets(mode_servers.AsyncioServerInstance)
    assert "for s in self._servers" in source(
        mode_servers.AsyncioServerInstance.listen_addrs.fget
    )
    assert "_instances" in sets(proxyserver.Servers)
    assert inspect.iscoroutinefunction(mode_servers.AsyncioServerInstance.handle_stream)


def test_a_connection_handler_has_what_we_use_of_it() -> None:
    assert {"max_conns", "transports"} <= sets(server.ConnectionHandler)
    opening = source(server.ConnectionHandler.open_connection)
    assert "async with self.max_conns[command.connection.address]" in opening
    assert "handler" in inspect.get_annotations(server.ConnectionIO)
    assert ".handler.cancel(" in source(server.ConnectionHandler)
    assert "self.connections" in source(proxyserver.Proxyserver)


def test_leaves_are_made_as_we_make_them() -> None:
    """Of the CA, `dummy_cert` uses what our `_Issuer` has, and no more."""
    parameters = list(inspect.signature(certs.dummy_cert).parameters)[:5]
    assert parameters == ["privkey", "cacert", "commonname", "sans", "organization"]
    used = set(re.findall(r"cacert\.(\w+)", source(certs.dummy_cert)))
    assert used <= {"subject", "extensions", "public_key"}
    assert "self.certstore.get_cert(" in source(tlsconfig.TlsConfig)
    assert "certstore" in sets(tlsconfig.TlsConfig)


def test_hooks_are_dispatched_where_we_dispatch_them() -> None:
    lifecycle = addonmanager.AddonManager.handle_lifecycle
    assert list(inspect.signature(lifecycle).parameters) == ["self", "event"]
    assert ".addons.handle_lifecycle(" in source(mode_servers)


def test_headers_are_read_where_we_read_them() -> None:
    """Whoever looks up a name does so by these three, or by `__getitem__`, which asks the first."""
    bends.install()
    assert "fields: tuple[tuple[bytes, bytes], ...]" in source(http.Headers)
    assert "self.get_all(key)" in source(multidict._MultiDict.__getitem__)
    for name in ("get_all", "get", "__contains__"):
        assert getattr(http.Headers, name).__module__ == bends.__name__


@given(
    st.lists(st.tuples(HEADER_NAMES, st.binary(max_size=4)), max_size=6),
    HEADER_NAMES,
)
def test_our_headers_say_what_mitmproxys_say(
    fields: list[tuple[bytes, bytes]], wanted: bytes
) -> None:
    bends.install()
    headers = http.Headers(fields)
    for name in (wanted, wanted.decode("utf-8", "surrogateescape")):
        plain = multidict._MultiDict.get_all(headers, wanted)
        values = [value.decode("utf-8", "surrogateescape") for value in plain]
        assert headers.get_all(name) == values
        assert (name in headers) == bool(values)
        assert headers.get(name, "none") == (", ".join(values) if values else "none")
        assert headers.get(name) == (", ".join(values) if values else None)


def test_options_are_read_where_we_keep_them() -> None:
    """An option is an attribute that `__getattr__` looks up: one in `__dict__` comes first."""
    assert "_options" in sets(optmanager.OptManager)
    assert "__getattr__" in vars(optmanager.OptManager)
    assert "__getattribute__" not in vars(optmanager.OptManager)


def test_a_body_with_a_length_has_the_reader_that_we_know() -> None:
    made = _http1.make_body_reader(70_000)
    assert isinstance(made, ContentLengthReader) and made._remaining == 70_000
    assert "self.body_reader = make_body_reader(" in source(Http1Server)
    assert "self.body_reader = make_body_reader(" in source(Http1Client)


def test_messages_check_their_fields_where_we_stop_them() -> None:
    assert "__post_init__" in vars(http.MessageData) or hasattr(
        http.MessageData, "__post_init__"
    )


def test_mitmproxy_says_in_these_words_that_a_client_does_not_trust_us() -> None:
    assert f'f"{UNTRUSTED} the proxy' in source(tls_layers)
