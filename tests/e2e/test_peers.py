"""What providers may do by their protocol, and clients must not suffer from: over HTTP/1 and HTTP/2, clean, redacted and blocked."""

import asyncio
import contextlib
import gzip
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame, PingFrame

from cli.processes import wait_until
from tests.support.house import (
    AWS_KEY,
    OTHER_HOST,
    PATIENCE,
    House,
    Tenant,
    message,
    python,
)
from tests.support.raw import UPGRADE, tls_tunnel
from tests.support.scripted import (
    HOST,
    PREFACE,
    URL,
    Reader,
    Writer,
    codes_of,
    data,
    goaway,
    headers,
    raw,
    request,
    reset,
    settings,
)
from tests.support.streams import SHAPES

CHAT = SHAPES["openai-chat"]
PAIRS = [("h1", "h1"), ("h2", "h1"), ("h2", "h2")]  # client, provider
WIPE = ['{"command": "rm -', "rf", " / ", '"}']
BODIES = {
    "clean": CHAT.made(["Hello", " world", "."], []),
    "redacted": CHAT.made(["It is ", AWS_KEY[:7], AWS_KEY[7:], "."], []),
    "blocked": CHAT.made(["Let me. "], WIPE),
}
STREAM = ("content-type", CHAT.content_type)
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def scripted(house: House) -> Iterator[House]:
    house.scripted.calls.clear()
    yield house
    house.scripted.calls.clear()


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def ask(tenant: Tenant, client: str, *urls: str, stream: bool = True) -> str:
    """What a client prints of the answers: all bodies, and for each its status behind a bar."""
    version = "--http2" if client == "h2" else "--http1.1"
    body = message("go", stream=stream).decode()
    return tenant.curl(
        version, "-N", "-w", "|%{http_code}", "-d", body, *(urls or (URL,))
    ).stdout


def check(kind: str, body: Sequence[bytes], said: str) -> None:
    text, _, status = said.rpartition("|")
    assert status == "200"
    heard = CHAT.heard(text.encode())[0]
    if kind == "clean":
        assert text.encode() == b"".join(body)
    elif kind == "redacted":
        assert AWS_KEY not in heard
        assert heard.startswith("It is [REDACTED:credentials_aws")
        assert heard.endswith("].")
    else:
        assert "Blocked by Earthflow policy tools.root-wipe" in text
        assert not CHAT.heard(text.encode())[1].endswith(
            '"}'
        )  # no client has all of it


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("last", [1, 2**31 - 1])
def test_a_provider_that_takes_no_more_calls_finishes_those_it_took(
    scripted: House, tenant: Tenant, kind: str, last: int
) -> None:
    """anthropic-sdk-go#219, nginx#1724: GOAWAY in the middle of an answer."""
    frames = BODIES[kind]

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        writer.write(headers(stream, 200, STREAM) + data(stream, frames[0]))
        writer.write(goaway(last))
        await writer.drain()
        for frame in frames[1:]:
            writer.write(data(stream, frame))
        writer.write(data(stream, b"", end=True))

    scripted.scripted.offer("h2")
    scripted.scripted.script = script
    check(kind, frames, ask(tenant, "h2"))
    (row,) = tenant.audit(1)
    wanted = "blocked" if kind == "blocked" else "ok"
    assert row["completion"]["outcome"] == wanted
    # The next call of the same client takes a new connection.
    if kind == "clean":
        again = ask(tenant, "h2", URL, URL)
        assert again == (b"".join(frames).decode() + "|200") * 2
        assert scripted.scripted.calls == [1, 1, 1]


def test_a_call_that_a_provider_did_not_take_is_told_so(
    scripted: House, tenant: Tenant
) -> None:
    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        writer.write(goaway(stream - 2 if stream > 2 else 0))

    scripted.scripted.offer("h2")
    scripted.scripted.script = script
    text, _, status = ask(tenant, "h2").rpartition("|")
    assert status == "502"
    assert json.loads(text)["error"]["code"] == "earthflow_torn"
    assert tenant.audit(1)[0]["completion"]["outcome"] == "upstream_error"


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_answers_before_the_answer_are_passed_over(
    scripted: House, tenant: Tenant, client: str, provider: str, kind: str
) -> None:
    """mitmproxy#2229: 100, 102 and 103 come before the answer itself."""
    frames = BODIES[kind]

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        if provider == "h2":
            for status in (102, 103):
                writer.write(headers(stream, status, ("link", "</a>; rel=preload")))
            writer.write(headers(stream, 200, STREAM))
            writer.write(b"".join(data(stream, frame) for frame in frames))
            writer.write(data(stream, b"", end=True))
            return
        for early in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n",
                      b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"):  # fmt: skip
            writer.write(early)
            await writer.drain()
        writer.write(CHUNKED + b"".join(map(chunk, frames)) + chunk(b""))

    scripted.scripted.offer(provider)
    scripted.scripted.script = script
    check(kind, frames, ask(tenant, client))
    assert tenant.audit(1)[0]["completion"]["status"] == 200


def test_answers_before_the_answer_have_an_end(scripted: House, tenant: Tenant) -> None:
    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 101)

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    assert ask(tenant, "h1").endswith("|502")


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("code", [2, 7, 8, 99])
def test_a_providers_reset_is_the_providers(
    scripted: House, tenant: Tenant, begun: bool, code: int
) -> None:
    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        if begun:
            writer.write(headers(stream, 200, STREAM))
            writer.write(data(stream, BODIES["clean"][0]))
            await writer.drain()
        writer.write(reset(stream, code))

    scripted.scripted.offer("h2")
    scripted.scripted.script = script
    said = ask(tenant, "h2")
    assert said.endswith("|200" if begun else "|502")
    assert tenant.audit(1)[0]["completion"]["outcome"] == "upstream_error"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "earthflow_torn"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "earthflow_torn"),
        (b"HTTP/0.9 200 OK\r\n\r\nhello", "earthflow_torn"),
        (b"hello\r\n\r\n", "earthflow_torn"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "earthflow_torn"),
    ],
)
def test_a_provider_that_breaks_its_protocol_is_blamed_and_not_the_caller(
    scripted: House, tenant: Tenant, said: bytes, code: str
) -> None:
    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    text, _, status = ask(tenant, "h1").rpartition("|")
    error = json.loads(text)["error"]
    assert (status, error["code"], error["type"]) == ("502", code, "server_error")
    assert HOST in error["message"]
    assert tenant.audit(1)[0]["completion"]["outcome"] == "upstream_error"


def test_a_provider_that_nobody_reaches_is_told_as_unreachable(tenant: Tenant) -> None:
    url = "https://nowhere.openai.azure.com/openai/deployments/m/chat/completions?api-version=1"
    status, said = tenant.post(message("hello"), url=url)
    assert status == 502
    assert said["error"]["code"] == "earthflow_unreachable"


@pytest.mark.parametrize(
    "head",
    [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "content-length: 2\r\ncontent-length: 3",
        "x : y",
        "content-length: x",
    ],
)
def test_what_is_no_call_is_answered_without_the_name_of_a_host(
    house: House, tenant: Tenant, head: str
) -> None:
    with tls_tunnel(house, tenant, HOST) as client:
        call = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\n{head}\r\n\r\n{{}}"
        )
        client.sendall(call.encode())
        said = b""
        while more := client.recv(65536):
            said += more
    top, _, body = said.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 400 ")
    assert b"mitmproxy" not in said.lower()
    error = json.loads(body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith("Earthflow: ")


def test_silent_connections_are_kept_alive_on_both_sides(
    scripted: House, tenant: Tenant
) -> None:
    """openai-python#3269: NATs forget a call whose model thinks for six minutes."""
    kept: set[str] = set()

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        ends = f":{scripted.stack.port}", f":{writer.get_extra_info('sockname')[1]}"
        # A socket that waits for an acknowledgement shows that timer, and this one later.
        while len(kept) < 2:
            listed = subprocess.run(
                ["ss", "-Htno", "state", "established"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for line in listed.splitlines():
                _, _, local, peer, *timer = line.split()
                if "keepalive" in str(timer):
                    kept.update(
                        side
                        for side, end in (("client", ends[0]), ("provider", ends[1]))
                        if (local if side == "client" else peer).endswith(end)
                    )
            await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    assert ask(tenant, "h1") == "|204"


@pytest.mark.parametrize("flood", ["ping", "settings", "reset"])
def test_a_flood_of_control_frames_ends_its_connection_alone(
    house: House, tenant: Tenant, flood: str
) -> None:
    frames = {
        "ping": raw(PingFrame(opaque_data=b"12345678")) * 20_000,
        "settings": settings(MAX_FRAME_SIZE=16384) * 20_000,
        "reset": b"".join(
            request(2 * number + 1) + reset(2 * number + 1, 8)
            for number in range(2_000)
        ),
    }
    with tls_tunnel(house, tenant, HOST, alpn="h2") as client:
        client.sendall(PREFACE + settings())
        with contextlib.suppress(OSError):
            client.sendall(frames[flood])
        said = b""
        with contextlib.suppress(OSError):
            while more := client.recv(65536):
                said += more
    assert codes_of(said, GoAwayFrame) == [11]  # ENHANCE_YOUR_CALM
    assert tenant.connect_status() == 200


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "text/html"]
)
def test_a_stream_is_judged_as_one_whatever_its_type_says(
    scripted: House, tenant: Tenant, kind: str, content_type: str
) -> None:
    frames = BODIES[kind]

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        writer.write(CHUNKED.replace(b"text/event-stream", content_type.encode()))
        writer.write(chunk(frames[0][:3]))
        await writer.drain()
        writer.write(
            chunk(frames[0][3:]) + b"".join(map(chunk, frames[1:])) + chunk(b"")
        )

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    check(kind, frames, ask(tenant, "h1"))
    completion = tenant.audit(1)[0]["completion"]
    assert completion["coverage"] == "full"


def test_a_document_instead_of_a_stream_is_judged_whole(
    scripted: House, tenant: Tenant
) -> None:
    body = json.dumps({"error": {"message": f"your key {AWS_KEY} is wrong"}}).encode()

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        head = b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body))
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    said = ask(tenant, "h1")
    assert said.endswith("|401")
    assert AWS_KEY not in said
    assert "[REDACTED:credentials_aws" in said


def test_a_packed_answer_whose_head_does_not_say_so_is_flagged(
    scripted: House, tenant: Tenant
) -> None:
    body = gzip.compress(json.dumps({"a": AWS_KEY}).encode())

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    ask(tenant, "h1", "-o", "/dev/null", URL, stream=False)
    completion = tenant.audit(1)[0]["completion"]
    assert (completion["action"], completion["unreadable"]) == ("FLAG", ["opaque"])


def test_names_that_nobody_answers_for_hold_up_no_other_client() -> None:
    """24 names of a silent name server held every client's connections for two minutes."""
    silent = """
import socket, threading
real = socket.getaddrinfo
def look_up(host, *more, **named):
    if str(host).startswith("silent"):
        threading.Event().wait(60)
    return real(host, *more, **named)
socket.getaddrinfo = look_up
from addons.run import main
main()
"""
    with House(programs={"proxy": python(silent)}) as house:
        tenant, other = house.tenant(), house.tenant()
        with ThreadPoolExecutor(30) as pool:
            asked = [
                pool.submit(tenant.connect_status, f"silent{number}.example:443")
                for number in range(30)
            ]
            wait_until(lambda: any(one.done() for one in asked), PATIENCE)
            # Those beyond the bound of one key are refused at once, while others still wait.
            assert other.connect_status(f"{OTHER_HOST}:443") == 200
            assert not all(one.done() for one in asked)
            assert {one.result() for one in asked} == {502}


@pytest.mark.parametrize("provider", ["h1", "h2"])
def test_a_client_that_does_not_read_holds_its_provider_back(
    scripted: House, tenant: Tenant, provider: str
) -> None:
    """40 answers of 20 MB that nobody read were all in the proxy's memory."""
    piece, pieces = bytes(64 * 1024), 640  # 40 MB, four times what two sockets hold
    written: Counter[int] = Counter()
    stalled = threading.Event()

    async def may_stall[Got](what: Coroutine[Any, Any, Got]) -> Got:
        """Wait for it; when that takes long, its peer takes nothing more."""
        task = asyncio.ensure_future(what)
        if not (await asyncio.wait([task], timeout=2))[0]:
            stalled.set()
        return await task

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        if provider == "h1":
            length = len(piece) * pieces
            head = f"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {length}"
            writer.write(f"{head}\r\n\r\n".encode())
        else:
            connection = scripted.scripted.connection
            fields = [(":status", "200"), ("content-type", "image/png")]
            connection.send_headers(stream, fields)
        for _ in range(pieces):
            if provider == "h2":
                while connection.local_flow_control_window(stream) < len(piece):
                    said = await may_stall(reader.read(65536))
                    connection.receive_data(said)
                for start in range(0, len(piece), 16_384):
                    connection.send_data(stream, piece[start : start + 16_384])
            writer.write(piece if provider == "h1" else connection.data_to_send())
            await may_stall(writer.drain())
            written[stream] += len(piece)
        stalled.set()  # or all of it was taken
        if provider == "h2":
            connection.end_stream(stream)
            writer.write(connection.data_to_send())

    scripted.scripted.offer(provider)
    scripted.scripted.script = script
    with tls_tunnel(scripted, tenant, HOST, alpn="h2") as client:
        config = h2.config.H2Configuration(client_side=True)
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        fields = {
            ":method": "GET",
            ":scheme": "https",
            ":authority": HOST,
            ":path": "/v1/files/f/content",
        }
        connection.send_headers(1, list(fields.items()), end_stream=True)
        client.sendall(connection.data_to_send())
        assert stalled.wait(PATIENCE)
        assert written.total() < (16 if provider == "h1" else 2) * 1024 * 1024
        connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        connection.increment_flow_control_window(2**30)
        client.sendall(connection.data_to_send())
        got, ended = 0, False
        while not ended:
            for event in connection.receive_data(client.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    got += len(event.data)
                ended = ended or isinstance(event, h2.events.StreamEnded)
            client.sendall(connection.data_to_send())
    assert got == len(piece) * pieces
    assert tenant.audit(1)[0]["completion"]["outcome"] == "ok"


def test_what_a_client_left_behind_is_completed(
    scripted: House, tenant: Tenant
) -> None:
    """Of 40 answers that nobody read, 34 stayed open for ever once their client had left."""

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        length = 2 * 1024 * 1024
        head = "HTTP/1.1 200 OK\r\ncontent-type: image/png"
        writer.write(f"{head}\r\ncontent-length: {length}\r\n\r\n".encode())
        writer.write(bytes(length))

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    calls = 20
    with tls_tunnel(scripted, tenant, HOST, alpn="h2") as client:
        client.sendall(PREFACE + settings(INITIAL_WINDOW_SIZE=0))
        client.sendall(b"".join(request(2 * number + 1) for number in range(calls)))
        assert wait_until(lambda: sum(scripted.scripted.calls) == calls, PATIENCE)
    rows = tenant.audit(calls)
    assert {row["completion"]["outcome"] for row in rows} == {"client_abort"}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_an_event_that_takes_long_to_judge_comes_whole_and_in_its_order(
    scripted: House, tenant: Tenant, client: str, provider: str
) -> None:
    words = [
        f"a word with the number {number}, and more of it" for number in range(600)
    ]
    large = b"data: " + json.dumps({"object": "x", "list": words}).encode() + b"\n\n"
    frames = [*BODIES["clean"][:1], large, *BODIES["clean"][1:]]

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        body = b"".join(frames)
        if provider == "h1":
            writer.write(CHUNKED + chunk(body) + chunk(b""))
            return
        writer.write(headers(stream, 200, STREAM))
        for start in range(0, len(body), 16_384):
            writer.write(data(stream, body[start : start + 16_384]))
        writer.write(data(stream, b"", end=True))

    scripted.scripted.offer(provider)
    scripted.scripted.script = script
    assert ask(tenant, client) == b"".join(frames).decode() + "|200"
    assert tenant.audit(1)[0]["completion"]["outcome"] == "ok"


@pytest.mark.parametrize("code", [None, 1000, 1011, 3000])
def test_how_a_websocket_ended_is_what_its_client_learns(
    scripted: House, tenant: Tenant, code: int | None
) -> None:
    """A provider that breaks off, without a close frame, was turned into an orderly end with 1000."""

    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
        writer.write(head + b"\x81\x02{}")
        if code is not None:
            writer.write(b"\x88\x02" + code.to_bytes(2))
        await writer.drain()
        writer.close()

    scripted.scripted.offer("h1")
    scripted.scripted.script = script
    with tls_tunnel(scripted, tenant, HOST) as client:
        words = "\r\n".join(word for word in UPGRADE if word != "-H")
        call = f"GET /v1/realtime?model=m HTTP/1.1\r\nhost: {HOST}\r\n{words}\r\n\r\n"
        client.sendall(call.encode())
        said = b""
        with contextlib.suppress(ConnectionError):
            while more := client.recv(65536):
                said += more
    _, _, frames = said.partition(b"\r\n\r\n")
    end = b"" if code is None else b"\x88\x02" + code.to_bytes(2)
    assert frames == b"\x81\x02{}" + end
