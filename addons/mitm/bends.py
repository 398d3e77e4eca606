"""Everything that Earthflow changes in mitmproxy, or relies on in it beyond its documented API.

mitmproxy is pinned exactly. `BENDS` says for each point what is bent, why, and which test
fails when a new version of mitmproxy no longer has the shape that is needed. `install()`
changes the module-level ones; the other functions are called where their object is made.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from mitmproxy import hooks, http, master
from mitmproxy.addonmanager import safecall, traverse
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import websocket as websocket_layers
from mitmproxy.proxy.layers.http import _http1, _http2
from mitmproxy.proxy.server import ConnectionHandler

from addons.mitm.error_page import error_page
from addons.mitm.handlers import handle_to_the_end
from addons.mitm.http1 import BoundedHttp1Client
from addons.mitm.http2 import OrderlyH2Connection, OrderlyHttp2Client
from addons.mitm.websocket import JudgedWebSocket


class Bend(NamedTuple):
    """One point: what is bent, why, and the test in tests/addons/test_bends.py that holds it."""

    what: str
    why: str
    test: str


BENDS = (
    Bend(
        "mitmproxy.proxy.layers.http.Http1Client is BoundedHttp1Client",
        "an upstream's head and trailers need a bound, and HttpClient looks the class up there",
        "test_mitmproxy_makes_our_classes_where_it_made_its_own",
    ),
    Bend(
        "mitmproxy.proxy.layers.http.Http2Client is OrderlyHttp2Client, and BufferedH2Connection "
        "of its module is OrderlyH2Connection, with hyper-h2's _receive_goaway_frame and _receive_frame",
        "an orderly GOAWAY would cut all answers that are on their way, and control frames have no "
        "bound",
        "test_mitmproxy_makes_our_classes_where_it_made_its_own",
    ),
    Bend(
        "make_error_response of mitmproxy's _http1 is error_page, and Http2Server's reply to what is "
        "no call is ours",
        "its page is HTML, and names mitmproxy and its version",
        "test_mitmproxy_makes_our_classes_where_it_made_its_own",
    ),
    Bend(
        "mitmproxy.proxy.layers.websocket.WebsocketLayer is JudgedWebSocket",
        "its own layer sends every message by itself, and keeps them all",
        "test_mitmproxy_makes_our_classes_where_it_made_its_own",
    ),
    Bend(
        "HttpLayer, HttpStream, Http1Server, Http1Client, Http2Server, Http2Client, WebsocketLayer "
        "and TCPLayer are subclassed, and their states, buffers and methods used (mitm/http.py, "
        "watched_stream.py, http1.py, http2.py, websocket.py, tunnel.py)",
        "bounds on bodies and time, replies in the provider's format, edits inside a stream",
        "test_every_overridden_method_has_the_parameters_it_had",
    ),
    Bend(
        "HttpStream.request_body_buf, response_body_buf, client_state, server_state and "
        "child_layer; HttpLayer.connections and streams; WebsocketConnection.frame_buf; "
        "Layer._handle_event, by which a layer's state is asked and changed",
        "how much of a body is held, and in which state an exchange is, is kept nowhere else",
        "test_the_attributes_that_we_use_are_there",
    ),
    Bend(
        "the package mitmproxy.addons is in place without what its __init__ loads (mitm/__init__.py)",
        "it loads every addon, with Flask and LDAP: some 15 MB, and a tenth of a second",
        "test_the_addons_that_we_use_load_by_themselves",
    ),
    Bend(
        "NextLayer._next_layer is LayerChoice.next_layer",
        "an addon's `next_layer` hook cannot ask for more bytes",
        "test_the_layer_is_chosen_where_we_choose_it",
    ),
    Bend(
        "Proxyserver.setup_servers, ServerInstance._servers and Servers._instances "
        "(mitm/server.py)",
        "mitmproxy logs a taken port and runs on; here it ends the start",
        "test_the_server_is_set_up_where_we_set_it_up",
    ),
    Bend(
        "ConnectionHandler.handle_connection is handle_to_the_end of it",
        "cancelled while an event is handled, it closes nothing and tells no layer",
        "test_a_connection_handler_has_what_we_use_of_it",
    ),
    Bend(
        "ConnectionHandler.max_conns holds MAX_CONNECTIONS instead of five",
        "five upstream connections for one client hold back its sixth HTTP/2 call",
        "test_a_connection_handler_has_what_we_use_of_it",
    ),
    Bend(
        "ConnectionHandler.transports[client].handler.cancel(), and the sockets of its transports",
        "mitmproxy has no way to close a client's connection from outside, and keeps none alive",
        "test_a_connection_handler_has_what_we_use_of_it",
    ),
    Bend(
        "certs.dummy_cert with the CA's subject and extensions but another public key, and "
        "TlsConfig.certstore (mitm/certificates.py)",
        "its leaves share the CA's RSA key, and its store searches a list for each handshake",
        "test_leaves_are_made_as_we_make_them",
    ),
    Bend(
        "AddonManager.handle_lifecycle is HookTable.dispatch",
        "it looks for listeners at every hook; they do not change once all addons are there",
        "test_hooks_are_dispatched_where_we_dispatch_them",
    ),
    Bend(
        "http.Headers.get_all, get and __contains__ are ours",
        "some 35 looks per call, each through six functions and, for a name that is not there, an "
        "exception",
        "test_headers_are_read_where_we_read_them",
    ),
    Bend(
        "OptManager._options is read once, into the instance's attributes",
        "it copies an option's value at each of some forty looks per call",
        "test_options_are_read_where_we_keep_them",
    ),
    Bend(
        "Http1Connection.body_reader is h11's ContentLengthReader where a length is declared, with "
        "_remaining (mitm/http1.py)",
        "a body of a known length is read in larger pieces",
        "test_a_body_with_a_length_has_the_reader_that_we_know",
    ),
    Bend(
        "http.MessageData.__post_init__ does nothing",
        "it checks the type of every field of every message; mypy has done so",
        "test_messages_check_their_fields_where_we_stop_them",
    ),
    Bend(
        "The words UNTRUSTED at the start of a failed handshake's error",
        "mitmproxy tells by its text alone that a client rejected our certificate",
        "test_mitmproxy_says_in_these_words_that_a_client_does_not_trust_us",
    ),
)

UNTRUSTED = "The client does not trust"


class LayerChoice(Protocol):
    """What chooses the layer for a connection's first bytes (`layer_choice.py`)."""

    def next_layer(
        self, context: Context, data_client: bytes, data_server: bytes
    ) -> Layer | None:
        """The layer; raises NeedsMoreData."""


def install() -> None:
    """Put our classes where mitmproxy looks for its own. Call before the first connection."""
    http_layers.Http1Client = BoundedHttp1Client  # type: ignore[misc]
    ConnectionHandler.handle_connection = handle_to_the_end(  # type: ignore[method-assign, assignment]
        ConnectionHandler.handle_connection
    )
    http.Headers.get_all = _get_all  # type: ignore[method-assign, assignment]
    http.Headers.get = _get  # type: ignore[method-assign, assignment]
    http.Headers.__contains__ = _contains  # type: ignore[method-assign, assignment]
    http_layers.Http2Client = OrderlyHttp2Client  # type: ignore[misc]
    _http1.make_error_response = error_page
    _http2.BufferedH2Connection = OrderlyH2Connection  # type: ignore[misc]
    websocket_layers.WebsocketLayer = JudgedWebSocket  # type: ignore[misc]


def choose_layers(next_layer: NextLayer, choice: LayerChoice) -> None:
    """Have mitmproxy's NextLayer addon take its decisions from `choice`."""
    next_layer._next_layer = choice.next_layer  # type: ignore[method-assign]


def freeze(mitm: master.Master) -> None:
    """Look up hooks and options once and for all. Call after the last addon and option.

    Measured by `make bench`: a fifth of the proxy's CPU per call.
    """
    listeners = HookTable(mitm.addons.chain)
    mitm.addons.handle_lifecycle = listeners.dispatch  # type: ignore[method-assign]
    for name in mitm.options.keys():  # noqa: SIM118  (an OptManager is no mapping)
        mitm.options.__dict__[name] = mitm.options._options[name].current()
    http.MessageData.__post_init__ = _unchecked  # type: ignore[method-assign]


class HookTable:
    """The listeners of each hook, looked up once. As in mitmproxy, one that raises is logged and the next is asked."""

    def __init__(self, chain: list[Any]):
        self._addons = list(traverse(chain))
        # by name: each listener, and whether it is to be awaited
        self._listeners: dict[str, tuple[tuple[Callable[..., Any], bool], ...]] = {}

    async def dispatch(self, event: hooks.Hook) -> None:
        """Call every listener of a hook, in the order of the chain."""
        listeners = self._listeners.get(event.name)
        if listeners is None:
            found = (getattr(addon, event.name, None) for addon in self._addons)
            listeners = self._listeners[event.name] = tuple(
                (listener, inspect.iscoroutinefunction(listener))
                for listener in found
                if callable(listener)
            )
        for listener, awaited in listeners:
            try:
                result = listener(*event.args())
                if awaited or inspect.isawaitable(result):
                    await result
            except Exception as error:
                with safecall():
                    raise error


# Of one name, in any case: its values, these joined, and whether there are any.


def _get_all(headers: http.Headers, name: str | bytes) -> list[str]:
    wanted = _wanted(name)
    return [
        value.decode("utf-8", "surrogateescape")
        for known, value in headers.fields
        if known.lower() == wanted
    ]


def _get(headers: http.Headers, name: str | bytes, default: Any = None) -> Any:
    return ", ".join(_get_all(headers, name)) if name in headers else default


def _contains(headers: http.Headers, name: str | bytes) -> bool:
    wanted = _wanted(name)
    for known, _ in headers.fields:  # noqa: SIM110  (a generator takes longer)
        if known.lower() == wanted:
            return True
    return False


@lru_cache(maxsize=256)  # nearly all are names in code
def _wanted(name: str | bytes) -> bytes:
    if isinstance(name, str):
        name = name.encode("utf-8", "surrogateescape")
    return name.lower()


def _unchecked(message: http.MessageData) -> None:
    """The types of a message's fields are not checked."""
