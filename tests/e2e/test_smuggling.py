"""Request smuggling: whatever a client sends, its provider hears the call that was judged, or nothing; never a call inside of a call."""

import contextlib
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence

import h2.config
import h2.connection
import h2.events
import pytest

from cli.processes import wait_until
from tests.support.house import PATIENCE, House, Tenant
from tests.support.raw import tls_tunnel

HOST = "api.openai.com"
PATH = "/v1/chat/completions"
CALL = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
INNER = (
    b"POST /smuggled HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 2\r\n\r\n{}"
)
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CALL), CALL)
LENGTH = b"Content-Length: %d" % len(CALL)


def head(*lines: bytes, first: bytes = b"POST /v1/chat/completions HTTP/1.1") -> bytes:
    return (
        b"\r\n".join(
            (first, b"Host: api.openai.com", b"Content-Type: application/json", *lines)
        )
        + b"\r\n\r\n"
    )


def both_lengths() -> Iterable[bytes]:
    """CL.TE and TE.CL: two lengths that disagree, in every order and spelling."""
    spellings = (
        b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:chunked", b"Transfer-Encoding:\tchunked",
        b"transfer-encoding: CHUNKED", b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked\x0b", b"Transfer-Encoding: \x0cchunked", b"Transfer-Encoding: chunked;a=b", b'Transfer-Encoding: "chunked"',
        b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked", b" Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked", b"Transfer_Encoding: chunked", b"Transfer-Encoding\x00: chunked", b"Transfer-Encoding: ch\x00unked",
        b"Transfer-Encoding: c\xe2\x80\x8bhunked", b"Transfer-Encoding: chunked,", b"Transfer-Encoding: ,chunked", b"Transfer-Encoding;: chunked",
    )  # fmt: skip
    for spelling in spellings:
        yield head(LENGTH, spelling) + CALL + INNER
        yield head(spelling, b"Content-Length: 4") + CHUNKED + INNER
        yield head(spelling) + b"0\r\n\r\n" + INNER


def odd_lengths() -> Iterable[bytes]:
    """A length that one reader may take for another."""
    for value in (
        b"+60",
        b"-1",
        b"60, 60",
        b"60,5",
        b"0x3c",
        b"6 0",
        b"60\x00",
        b"60.0",
        b"6e1",
        b"\xd9\xa6\xd9\xa0",
        b"",
        b"9" * 30,
        b"60;",
        b"6_0",
        b"060",
    ):
        yield head(b"Content-Length: " + value) + CALL + INNER
    for pair in ((b"60", b"5"), (b"0", b"60"), (b"60", b"60"), (b"5", b"60")):
        yield head(*(b"Content-Length: " + one for one in pair)) + CALL + INNER
    yield head(b"Content-Length : 60") + CALL + INNER
    yield head(b"Content-Length: 0") + INNER
    yield head() + INNER


def odd_chunks() -> Iterable[bytes]:
    """Chunks whose size one reader may take for another, or whose end is somewhere else."""
    size = b"%x" % len(CALL)
    for spelled in (
        b"0x" + size,
        b"+" + size,
        b"-" + size,
        b" " + size,
        size + b" ",
        size + b"_",
        b"0" * 30 + size,
        b"F" * 17,
        size + b";a=b",
        size + b";\n",
        size.upper() + b"\t",
        b"",
    ):
        yield (
            head(b"Transfer-Encoding: chunked")
            + spelled
            + b"\r\n"
            + CALL
            + b"\r\n0\r\n\r\n"
            + INNER
        )
    for broken in (
        size + b"\n" + CALL + b"\n0\n\n",
        size + b"\r\n" + CALL + b"0\r\n\r\n",
        size + b"\r\n" + CALL + b"\r\n0\r\n" + INNER,
        size + b"\r\n" + CALL + b"\r\n0\r\nX: y\r\n\r\n",
        size + b"\r\n" + CALL + b"\r\n00\r\n\r\n",
        size + b"\r\r\n" + CALL + b"\r\n0\r\n\r\n",
    ):
        yield head(b"Transfer-Encoding: chunked") + broken + INNER


def odd_heads() -> Iterable[bytes]:
    """First lines, hosts and line ends that readers differ about."""
    firsts = (
        b"POST /v1/chat/completions HTTP/1.0", b"POST /v1/chat/completions HTTP/0.9", b"POST /v1/chat/completions HTTP/2.0", b"POST /v1/chat/completions",
        b"POST  /v1/chat/completions  HTTP/1.1", b"POST\t/v1/chat/completions\tHTTP/1.1", b"POST /v1/chat/completions HTTP/1.1 HTTP/1.1",
        b"POST /v1/chat/completions HTTP/1.1\r", b"POST http://evil.example/smuggled HTTP/1.1", b"POST https://api.openai.com/v1/chat/completions HTTP/1.1",
        b"POST //smuggled HTTP/1.1", b"po\x00st /v1/chat/completions HTTP/1.1", b"\r\nPOST /v1/chat/completions HTTP/1.1",
        b" POST /v1/chat/completions HTTP/1.1", b"PRI * HTTP/2.0", b"CONNECT evil.example:443 HTTP/1.1",
    )  # fmt: skip
    for first in firsts:
        yield head(LENGTH, first=first) + CALL + INNER
    for line in (
        b"Host: evil.example", b"host: api.openai.com", b"Connection: Content-Length", b"Connection: close, Content-Length", b"Upgrade: h2c",
        b"Expect: 100-continue", b"X: y\r\n\tz", b"X: y\r\n z", b"X\x00: y", b": empty", b"no colon", b"X: \xff\xfe", b"X: y\r\nPOST /smuggled HTTP/1.1",
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c",
    ):  # fmt: skip
        yield head(line, LENGTH) + CALL + INNER
    yield head(LENGTH).replace(b"\r\n", b"\n") + CALL + INNER
    yield head(LENGTH).replace(b"\r\n\r\n", b"\n\n") + CALL + INNER


H1 = {
    "both lengths": both_lengths,
    "odd lengths": odd_lengths,
    "odd chunks": odd_chunks,
    "odd heads": odd_heads,
}
Fields = Sequence[tuple[bytes, bytes]]
PSEUDO: Fields = (
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", HOST.encode()),
    (b":path", PATH.encode()),
)
H2: list[tuple[Fields, bytes]] = [
    *(([*PSEUDO, (b"content-length", value)], CALL + INNER) for value in (b"60", b"0", b"5", b"-1", b"60, 60", b"9999")),
    *(([*PSEUDO, extra], CALL + INNER) for extra in (
        (b"transfer-encoding", b"chunked"), (b"connection", b"close"), (b"connection", b"content-length"), (b"upgrade", b"h2c"),
        (b"x", b"y\r\nTransfer-Encoding: chunked"), (b"x", b"y\r\n\r\nPOST /smuggled HTTP/1.1"), (b"x", b"y\nz: w"), (b"x", b"y\x00"),
        (b"x: y\r\ntransfer-encoding", b"chunked"), (b"x y", b"z"), (b"Transfer-Encoding", b"chunked"), (b"transfer-encoding ", b"chunked"),
        (b"te", b"chunked"), (b"host", b"evil.example"), (b"content-length", b"60\r\nX: y"), (b"proxy-connection", b"close"), (b"keep-alive", b"9"),
    )),
    *(([*PSEUDO[:3], (b":path", path)], CALL) for path in (
        b"/v1/chat/completions HTTP/1.1\r\nX: y", b"/v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\nPOST /smuggled", b"/v1/chat/completions\x00",
        b"/v1/chat completions", b"smuggled", b"*", b"",
    )),
    ([(b":method", b"POST /smuggled HTTP/1.1\r\nHost: x\r\n\r\nPOST"), *PSEUDO[1:]], CALL),
    ([PSEUDO[0], PSEUDO[1], (b":authority", b"api.openai.com\r\nX: y"), PSEUDO[3]], CALL),
    ([PSEUDO[0], PSEUDO[1], (b":authority", b"evil.example"), PSEUDO[3]], CALL),
    ([PSEUDO[0], (b":scheme", b"http\r\nX: y"), *PSEUDO[2:]], CALL),
    ([*PSEUDO, PSEUDO[3]], CALL),
    ([*PSEUDO[:3]], CALL),
    ([(b"x", b"y"), *PSEUDO], CALL),
    ([*PSEUDO], CALL + INNER),
]  # fmt: skip


def test_the_corpus_is_large_enough() -> None:
    assert sum(len(list(cases())) for cases in H1.values()) + len(H2) >= 150


@pytest.mark.parametrize("group", H1)
def test_nothing_comes_through_beside_what_was_judged(
    house: House, tenant: Tenant, group: str
) -> None:
    # what a reader that keeps to the standard can take for a call's body
    judged = {
        CALL,
        b"",
        b"{}",
    }
    before = len(house.providers.heard)
    for sent in H1[group]():
        already = len(house.providers.heard)
        with tls_tunnel(house, tenant, HOST) as client:
            client.sendall(sent)
            _drain(client)
        wrong = [
            one
            for one in house.providers.heard[already:]
            if not _is_fine(one.path, one.host, one.body, judged)
        ]
        assert not wrong, (sent, wrong)
    # calls behind one another are calls, if each was judged
    heard = Counter(one.path for one in house.providers.heard[before:])

    def passed() -> Counter[str]:
        rows = house.stack.control.get(f"/v1/audit?tenant={tenant.id}&limit=1000")[
            "audit"
        ]
        return Counter(row["path"] for row in rows if row["status"] != "BLOCK")

    assert wait_until(lambda: not heard - passed(), PATIENCE), heard - passed()


def _is_fine(path: str, host: str, body: bytes, judged: set[bytes]) -> bool:
    return host == HOST and (
        (path in (PATH, "//smuggled") and body in judged)
        or (path == "/smuggled" and body == b"{}")
    )


@pytest.mark.parametrize("number", range(len(H2)))
def test_nothing_is_smuggled_from_http2_into_http1(
    house: House, tenant: Tenant, number: int
) -> None:
    fields, body = H2[number]
    before = len(house.providers.heard)
    with tls_tunnel(house, tenant, HOST, alpn="h2") as client:
        assert client.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        connection.send_headers(1, fields)
        connection.send_data(1, body, end_stream=True)
        client.sendall(connection.data_to_send())
        _drain_h2(client, connection)
    heard = house.providers.heard[before:]
    assert len(heard) <= 1, heard
    assert all((one.host, one.path, one.body) == (HOST, PATH, body) for one in heard), (
        heard
    )


def _drain(client: ssl.SSLSocket) -> None:
    """Read until the other side has nothing more to say; ours is over, so it need not wait for us."""
    client.settimeout(PATIENCE)
    with contextlib.suppress(OSError, ValueError):
        client.unwrap()
    with contextlib.suppress(OSError, ValueError):
        while client.recv(65536):
            pass


def _drain_h2(client: ssl.SSLSocket, connection: h2.connection.H2Connection) -> None:
    """Read until the stream or the connection is over."""
    client.settimeout(PATIENCE)
    while True:
        try:
            data = client.recv(65536)
        except (TimeoutError, OSError):
            return
        if not data:
            return
        for event in connection.receive_data(data):
            if isinstance(
                event,
                h2.events.StreamEnded
                | h2.events.StreamReset
                | h2.events.ConnectionTerminated,
            ):
                return
