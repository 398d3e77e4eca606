"""One HTTP call with its answer, as Earthflow uses it; mitmproxy's `HTTPFlow` has this shape.

Everything behind the hooks takes a `Flow`, so none of it imports mitmproxy, and another
transport can bring its own. Reading is by these names alone; what is written is named in
`Request` and `Response`.
"""

from collections.abc import Hashable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

from addons.calls.heads import canonical

# Bodies without text that may last as long as their connection, in both directions.
OPAQUE = (
    "application/grpc",
    "application/connect+",
    "application/proto",
    "application/x-protobuf",
    "application/vnd.google.protobuf",
)


class Headers(Protocol):
    """Header fields by name, in any case; a name may stand several times."""

    fields: tuple[tuple[bytes, bytes], ...]  # all, in their order

    def get(self, name: str, default: str, /) -> str:
        """The value, or `default`."""

    def get_all(self, name: str, /) -> list[str]:
        """Every value of a name."""

    def pop(self, name: str, default: Any, /) -> Any:
        """Remove a name and give its value, or `default`."""

    def __getitem__(self, name: str, /) -> str: ...
    def __setitem__(self, name: str, value: str, /) -> None: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...


class Message(Protocol):
    """What a request and a response have in common."""

    http_version: str
    raw_content: bytes | None  # the body as sent, None while it streams
    stream: Any  # True, or a function that every chunk passes through
    trailers: Any

    @property
    def headers(self) -> Any:
        """`Headers`; mitmproxy declares a setter of a wider type."""

    @property
    def is_http2(self) -> bool:
        """Whether it travels over HTTP/2."""


class Request(Message, Protocol):
    """The request of a call."""

    method: str
    scheme: str
    authority: str
    host: str
    port: int
    path: str  # with its query
    timestamp_end: float | None  # when the last byte was received, as time.time()

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query."""


class Response(Message, Protocol):
    """The answer to a call, or Earthflow's own reply in its place."""

    status_code: int
    reason: str


class Client(Hashable, Protocol):
    """A client's connection."""

    sni: str | None

    @property
    def peername(self) -> tuple[Any, ...] | None:
        """Its address, and port."""

    @property
    def tls(self) -> bool:
        """Whether the connection to the proxy itself is encrypted."""

    @property
    def connected(self) -> bool:
        """Whether it is still open."""


class Socket(Protocol):
    """What a WebSocket's flow knows of its end."""

    close_code: int | None
    closed_by_client: bool | None


class Flow(Protocol):
    """One call on its way. `metadata` keeps what Earthflow knows of it (`calls.state`)."""

    metadata: dict[Any, Any]

    @property
    def request(self) -> Request:
        """The request, as far as received."""

    @property
    def response(self) -> Response | None:
        """The answer's head, or a reply of ours."""

    @property
    def client_conn(self) -> Client:
        """Who calls."""

    @property
    def websocket(self) -> Socket | None:
        """Not None once the call became a WebSocket."""


def path_of(flow: Flow) -> str:
    """The canonical path of a call, without its query."""
    return canonical(flow.request.path.partition("?")[0])


def is_opaque(flow: Flow) -> bool:
    """Whether a call declares a protocol whose bodies Earthflow cannot read."""
    content_type: str = flow.request.headers.get("content-type", "")
    return content_type.strip().lower().startswith(OPAQUE)


def send_body(request: Request, body: bytes) -> None:
    """Send what was judged and nothing else: this body, decoded, its length declared.

    Without a length an HTTP/2 call would reach an HTTP/1 upstream as a head without an
    end, and its body as a call of its own.
    """
    if body is not request.raw_content and body != request.raw_content:
        request.headers.pop("content-encoding", None)
        request.raw_content = body
    request.trailers = None
    headers: MutableMapping[str, str] = request.headers
    if body or "content-length" in headers or "transfer-encoding" in headers:
        headers.pop("transfer-encoding", None)
        headers["content-length"] = str(len(body))
