"""Ways past the rules, and ways to hold up everybody, that hostile clients and providers tried on a running proxy."""

import asyncio
import base64
import contextlib
import json
import re
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h2.connection
import h2.events
import pytest
from hyperframe.frame import PingFrame

from addons.network.names import Names
from cli.processes import wait_until
from tests.support import hostile as bad
from tests.support import scripted as provider
from tests.support.hostile import (
    JSON,
    SECRET,
    SSE,
    SWITCHED,
    answers,
    ask,
    call,
    content,
    event,
    frame,
    heard,
    says,
    strings,
)
from tests.support.house import AWS_KEY, PATIENCE, House, Tenant, message
from tests.support.raw import knock, tls_tunnel
from tests.support.scripted import (
    HOST,
    PREFACE,
    Reader,
    Writer,
    raw,
    settings,
)
from tests.support.shared import slack


@pytest.fixture
def scripted(house: House) -> Iterator[House]:
    house.scripted.calls.clear()
    house.scripted.offer("h1")
    yield house
    house.scripted.calls.clear()


@pytest.fixture(scope="module")
def caller(house: House) -> Tenant:
    """A tenant for all tests that do not look at its audit."""
    return house.tenant()


# -- secrets in answers -----------------------------------------------------------------


@pytest.mark.parametrize("name", bad.STREAMS)
def test_no_reader_of_a_stream_joins_a_secret(
    scripted: House, caller: Tenant, name: str
) -> None:
    """Readers differ in what they pass over: types, blanks, marks, names of encodings."""
    kind, more, pieces = bad.STREAMS[name]
    scripted.scripted.script = answers(*pieces, kind=kind, more=more)
    said = call(scripted, caller)
    assert AWS_KEY not in "".join(re.findall(r'"content": ?"([^"]*)"', said.decode()))


@pytest.mark.parametrize("key", ["id", "name", "url", "arguments"])
def test_no_sdk_joins_a_secret(scripted: House, caller: Tenant, key: str) -> None:
    """OpenAI's joins the strings of any key but `index` and `type`."""
    from openai.lib.streaming._deltas import accumulate_delta

    deltas = (
        {"tool_calls": [{"index": 0, key: text}]} for text in (bad.BEGIN, bad.REST)
    )
    documents = [json.dumps({"choices": [{"delta": delta}]}) for delta in deltas]
    scripted.scripted.script = answers(*map(event, documents), event(content("ok")))
    joined: dict[object, object] = {}
    for line in re.findall(rb"data: (.*)", call(scripted, caller)):
        joined = accumulate_delta(joined, json.loads(line)["choices"][0]["delta"])
    assert AWS_KEY not in str(joined)


@pytest.mark.parametrize("place", ["reason", "x-note", "set-cookie", "trailer"])
def test_what_stands_around_an_answer_holds_no_secret(
    scripted: House, caller: Tenant, place: str
) -> None:
    if place == "trailer":
        scripted.scripted.offer("h2")
        scripted.scripted.script = bad.with_trailers
    elif place == "reason":
        start = f"HTTP/1.1 200 {AWS_KEY}\r\ncontent-length: 2\r\n\r\n{{}}"
        scripted.scripted.script = says(start.encode())
    else:
        scripted.scripted.script = answers(
            *bad.EVENTS[:1], more=f"{place}: {AWS_KEY}\r\n"
        )
    assert AWS_KEY not in ask(caller, "http2" if place == "trailer" else "http1.1")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (f"{JSON}; charset=utf-7", b'{"a": "%b"}' % AWS_KEY.encode("utf-7")),
        ("text/plain; charset=utf-16le", f"It is {AWS_KEY}".encode("utf-16-le")),
    ],
)
def test_a_charset_hides_no_secret_in_an_answer(
    scripted: House, caller: Tenant, kind: str, body: bytes
) -> None:
    scripted.scripted.script = answers(body, kind=kind)
    said = call(scripted, caller, stream=False)
    assert body not in said
    assert SECRET not in said


def test_a_close_reason_holds_no_secret(scripted: House, caller: Tenant) -> None:
    end = frame(1, b"{}") + frame(8, (1000).to_bytes(2) + SECRET)
    scripted.scripted.script = says(SWITCHED + b"\r\n" + end)
    assert SECRET not in bad.socket_call(scripted, caller)


def test_a_provider_does_not_speak_for_the_proxy(
    scripted: House, caller: Tenant
) -> None:
    told = "x-earthflow-decision-id: made-up\r\n"
    scripted.scripted.script = answers(*bad.EVENTS[:1], more=told)
    assert b"made-up" not in call(scripted, caller)


# -- secrets in calls, records and errors -----------------------------------------------


@pytest.mark.parametrize("kind", ["application/grpc", "application/proto", "text/x-a"])
def test_json_is_read_whatever_a_call_says_it_is(
    house: House, caller: Tenant, kind: str
) -> None:
    body = json.dumps({"instructions": AWS_KEY})
    url = "https://api.openai.com/v1/assistants"
    caller.curl("-H", f"content-type: {kind}", "-d", body, url)
    assert SECRET not in house.providers.heard[-1].body


@pytest.mark.parametrize("what", bad.BROKEN)
def test_what_a_provider_broke_is_not_quoted(
    scripted: House, tenant: Tenant, what: str
) -> None:
    """Neither to its client, nor in the audit, nor in the log."""
    version = "h2" if what in ("a name", "a value") else "h1"
    scripted.scripted.offer(version)
    scripted.scripted.script = says(bad.BROKEN[what], end=version == "h1")
    said = ask(tenant, "http2" if version == "h2" else "http1.1")
    assert AWS_KEY not in said
    assert AWS_KEY not in json.dumps(tenant.audit(1))
    assert AWS_KEY not in scripted.log


@pytest.mark.parametrize(
    "line",
    [
        f"GET http://tunnel.example/{AWS_KEY}",
        f"{AWS_KEY} http://tunnel.example/",
    ],
)
def test_where_a_client_goes_keeps_no_secret_in_the_audit(
    house: House, tenant: Tenant, line: str
) -> None:
    auth = base64.b64encode(f"key:{tenant.key}".encode()).decode()
    with knock(house) as client:
        head = f"{line} HTTP/1.1\r\nHost: tunnel.example\r\nConnection: close\r\n"
        client.sendall(f"{head}Proxy-Authorization: Basic {auth}\r\n\r\n".encode())
        heard(client)
    assert AWS_KEY.lower() not in json.dumps(tenant.audit(1)).lower()


# -- honest traffic ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SSE, JSON])
def test_an_answer_that_was_torn_is_told_and_recorded_as_torn(
    scripted: House, tenant: Tenant, kind: str
) -> None:
    """Without a length, its end is the connection's; a reset is no end."""

    scripted.scripted.script = bad.torn(kind)
    said = call(scripted, tenant, stream=kind == SSE)
    assert b"earthflow_torn" in said or not said.endswith(b"0\r\n\r\n")
    assert tenant.audit(1)[0]["completion"]["outcome"] == "upstream_error"


def test_a_whole_answer_that_breaks_off_is_blamed_on_its_provider(
    scripted: House, tenant: Tenant
) -> None:
    """In its own words, and with the decision, as one that breaks off before its head."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n"
    scripted.scripted.script = says(head + b"\r\n{")
    said = call(scripted, tenant, stream=False).decode()
    top, _, body = said.partition("\r\n\r\n")
    assert json.loads(body)["error"]["code"] == "earthflow_torn"
    assert HOST in body
    assert "x-earthflow-decision-id" in top


@pytest.mark.parametrize("last", [b"", b"\xff\xff\xff"], ids=["nothing", "no frame"])
def test_a_websocket_that_broke_is_recorded_as_broken(
    scripted: House, tenant: Tenant, last: bytes
) -> None:
    scripted.scripted.script = says(SWITCHED + b"\r\n" + frame(1, b"{}") + last)
    bad.socket_call(scripted, tenant)
    assert tenant.audit(1)[0]["completion"]["outcome"] == "upstream_error"


def test_an_extension_that_nobody_asked_for_is_not_spoken(
    scripted: House, caller: Tenant
) -> None:
    """Inflating has no bound: 58 KB made 60 MB, and a third of a second for everybody."""
    maker = zlib.compressobj(9, wbits=-15)
    bomb = maker.compress(bytes(1_000_000)) + maker.flush(zlib.Z_SYNC_FLUSH)
    told = b"sec-websocket-extensions: permessage-deflate\r\n\r\n"
    scripted.scripted.script = says(SWITCHED + told + frame(2, bomb[:-4], 0xC0))
    said = bad.socket_call(scripted, caller)
    assert b"permessage-deflate" not in said
    assert len(said) < 1000


def test_a_name_that_is_slow_is_waited_for_by_all_who_ask_for_it() -> None:
    """Package managers open twenty connections to one host at once."""

    all_have_asked = threading.Event()

    def slow(host: str, *_: Any, **more: Any) -> list[Any]:
        assert all_have_asked.wait(PATIENCE)
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    async def look_up() -> list[Any]:
        names = Names(look_up=slow)
        asked = [
            asyncio.create_task(names.addresses("registry.example", "key"))
            for _ in range(20)
        ]
        # Behind the first step of each task.
        asyncio.get_running_loop().call_soon(all_have_asked.set)
        return await asyncio.gather(*asked, return_exceptions=True)

    assert asyncio.run(look_up()) == [["192.0.2.1"]] * 20


# -- what holds up everybody ------------------------------------------------------------


@pytest.mark.parametrize("name", bad.STALLS)
def test_an_answer_that_is_work_holds_up_nobody_else(
    scripted: House, caller: Tenant, name: str
) -> None:
    version, scripted.scripted.script = bad.STALLS[name]
    scripted.scripted.offer(version)
    with bad.others_are_served(scripted):
        ask(caller, "http1.1" if version == "h1" else "http2", "-m", "9")


def test_a_message_that_is_work_holds_up_nobody_else(
    scripted: House, caller: Tenant
) -> None:
    """A WebSocket's, of which all strings were judged on the event loop."""
    end = frame(1, strings(20_000)) + frame(8, b"")
    scripted.scripted.script = says(SWITCHED + b"\r\n" + end)
    with bad.others_are_served(scripted):
        bad.socket_call(scripted, caller)


@pytest.mark.parametrize("name", bad.FLOODS)
def test_a_flood_of_frames_holds_up_nobody_else(
    house: House, caller: Tenant, name: str
) -> None:
    with (
        tls_tunnel(house, caller, HOST, alpn="h2") as client,
        bad.others_are_served(house),
        contextlib.suppress(OSError),
    ):
        last = raw(PingFrame(0, b"the last"))
        client.sendall(PREFACE + settings() + bad.FLOODS[name] + last)
        said = b""
        while b"the last" not in said and (more := client.recv(65536)):
            said += more


@pytest.mark.parametrize("code", [0x89, 0x8A, 0x00], ids=["ping", "pong", "part"])
def test_a_flood_of_a_websockets_frames_holds_up_nobody_else(
    scripted: House, caller: Tenant, code: int
) -> None:
    scripted.scripted.script = says(SWITCHED + b"\r\n", end=False)
    begin = b"\x01\x80" + bad.MASK if code == 0 else b""
    flood = begin + (bytes([code, 0x80]) + bad.MASK) * (
        20_000 if code == 0x89 else 90_000
    )
    end = b"\x88\x80" + bad.MASK
    with bad.others_are_served(scripted):
        bad.socket_call(scripted, caller, flood + end)


def test_large_answers_of_one_tenant_hold_up_no_other(
    scripted: House, caller: Tenant
) -> None:
    """All threads that judge were taken by one tenant's answers."""
    scripted.scripted.script = answers(strings(20_000), kind=JSON)
    other = scripted.tenant()
    text = " ".join(f"the tree {number} stands still" for number in range(2000))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(call, scripted, caller, stream=False) for _ in range(8)]
        assert wait_until(lambda: sum(scripted.scripted.calls) == 8, PATIENCE)
        began = time.monotonic()
        assert other.post(message(text))[0] == 200
        waited = time.monotonic() - began
        assert all(b" 200 " in one.result()[:20] for one in asked)
    assert waited < 2 * bad.LONGEST * slack()


def test_a_provider_that_does_not_read_holds_up_no_other_call_of_its_client(
    scripted: House, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what its client left is completed, whether or not that provider ever reads."""
    known, over, stuck = provider._h1_calls, threading.Event(), threading.Event()

    async def calls(reader: Reader, writer: Writer) -> AsyncIterator[int]:
        if not stuck.is_set():
            reader._transport.pause_reading()
            stuck.set()
            await asyncio.to_thread(over.wait, PATIENCE)
            return
        async for stream in known(reader, writer):
            yield stream

    monkeypatch.setattr(provider, "_h1_calls", calls)
    scripted.scripted.script = says(b"HTTP/1.1 204 No Content\r\n\r\n", end=False)
    body = " ".join(f"tree {number}" for number in range(900_000)).encode()
    peer = h2.connection.H2Connection()
    peer.initiate_connection()
    where = [(":scheme", "https"), (":authority", HOST), (":path", "/v1/x")]
    answered: set[int] = set()
    with tls_tunnel(scripted, tenant, HOST, alpn="h2") as client:
        client.settimeout(3)

        def listen() -> None:
            client.sendall(peer.data_to_send())
            for one in peer.receive_data(client.recv(65536)):
                if isinstance(one, h2.events.ResponseReceived):
                    answered.add(one.stream_id)

        plain = ("content-type", "text/plain")
        peer.send_headers(1, [(":method", "POST"), *where, plain])
        while body:
            size = min(peer.local_flow_control_window(1), 16_384, len(body))
            peer.send_data(1, body[:size], end_stream=size == len(body))
            body = body[size:]
            client.sendall(peer.data_to_send())
            if size == 0:
                listen()
        assert stuck.wait(PATIENCE)
        peer.send_headers(3, [(":method", "GET"), *where], end_stream=True)
        with contextlib.suppress(OSError):
            while 3 not in answered:
                listen()

    def ended() -> bool:
        rows = scripted.stack.control.get(f"/v1/audit?tenant={tenant.id}")["audit"]
        return all(row["completion"] for row in rows)

    completed = wait_until(ended, 4)
    over.set()
    assert (answered, completed) == ({3}, True)
