"""Ways past the rules that a third team tried on a running proxy: types, charsets, frames, indexes, heads; and small things that take long."""

import base64
import gzip
import json
import re
import struct
import zlib
from collections.abc import Iterator

import h2.connection
import h2.events
import pytest

from addons.framing.eventstream import _header, _message
from tests.support import hostile as bad
from tests.support.hostile import (
    JSON,
    SECRET,
    SWITCHED,
    answers,
    call,
    chunk,
    content,
    event,
    frame,
    heard,
    says,
)
from tests.support.house import AWS_KEY, House, Tenant, message
from tests.support.raw import tls_tunnel
from tests.support.scripted import HOST, Reader, Script, Writer, data, headers

EVENTSTREAM = "application/vnd.amazon.eventstream"
CHOICE = {"index": 0, "message": {"role": "assistant", "content": f"It is {AWS_KEY}"}}
DOCUMENT = json.dumps({"choices": [CHOICE]}).encode()
# Text in four encodings at once: each piece is undone in every way.
ENCODED = "dGhlIHRyZWUgc3RhbmRzIHN0aWxs \\x41 &#65; %41 =41 "


@pytest.fixture
def caller(house: House) -> Iterator[Tenant]:
    house.scripted.calls.clear()
    house.scripted.offer("h1")
    yield house.tenant()
    house.scripted.calls.clear()


def responds(body: bytes, kind: str = JSON, more: str = "") -> Script:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{more}content-length: {len(body)}\r\n\r\n"
    return says(head.encode() + body)


def answered(caller: Tenant, script: Script, *, stream: bool = True) -> bytes:
    """All that the client of one call reads."""
    caller.house.scripted.script = script
    return call(caller.house, caller, stream=stream)


def written(document: object) -> bytes:
    return event(json.dumps(document))


# -- what clients read, whatever it is said to be ---------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["application/octet-stream", "image/png", "application/grpc", "application/pdf", "multipart/mixed"],
)  # fmt: skip
def test_json_of_another_type_is_judged(caller: Tenant, kind: str) -> None:
    assert SECRET not in answered(caller, responds(DOCUMENT, kind), stream=False)


def test_what_is_of_another_type_passes(caller: Tenant) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
    said = answered(caller, responds(picture, "image/png"), stream=False)
    assert said.endswith(picture)


@pytest.mark.parametrize("encoding", ["utf-8", "aws-chunked", "foo"])
def test_an_encoding_that_is_none_hides_nothing(caller: Tenant, encoding: str) -> None:
    script = responds(DOCUMENT, more=f"content-encoding: {encoding}\r\n")
    assert SECRET not in answered(caller, script, stream=False)


def test_events_that_are_said_to_be_amazons_are_judged(caller: Tenant) -> None:
    events = [event(content(text)) for text in ("It is ", AWS_KEY, " ok" * 9)]
    assert SECRET not in answered(caller, answers(*events, kind=EVENTSTREAM))


HIDDEN = {
    "cp037": AWS_KEY.encode("cp037"),
    "iso-2022-jp": f"{AWS_KEY[:6]}\x1b(J\x1b(B{AWS_KEY[6:]}".encode(),
    "hz": f"{AWS_KEY[:6]}~\n{AWS_KEY[6:]}".encode(),
}


@pytest.mark.parametrize("charset", HIDDEN)
def test_a_charset_hides_nothing(caller: Tenant, charset: str) -> None:
    script = responds(HIDDEN[charset], f"text/plain; charset={charset}")
    said = answered(caller, script, stream=False).partition(b"\r\n\r\n")[2]
    assert AWS_KEY not in said.decode(charset, "replace")


def test_text_in_a_charset_passes_as_it_is(caller: Tenant) -> None:
    text = "Grüße aus Köln".encode("iso-8859-1")
    script = responds(text, "text/plain; charset=iso-8859-1")
    assert answered(caller, script, stream=False).endswith(text)


def test_a_stream_in_a_charset_that_hides_ascii_is_not_sent(caller: Tenant) -> None:
    events = "".join(f"data: {content(text)}\n\n" for text in ("It is ", AWS_KEY))
    script = answers(events.encode("cp037"), kind="text/event-stream; charset=cp037")
    assert AWS_KEY.encode("cp037") not in answered(caller, script)


# -- what clients join ------------------------------------------------------------------


def test_indexes_that_are_fractions_are_told_apart(caller: Tenant) -> None:
    letters = [text for letter in AWS_KEY for text in (letter, "z")]
    texts = ["It is ", "abc", *letters, " more" * 4, "x"]
    events = [
        written({"choices": [{"index": float(at % 2), "delta": {"content": text}}]})
        for at, text in enumerate(texts)
    ]
    said = answered(caller, answers(*events))
    choices = [
        json.loads(line)["choices"][0]
        for line in re.findall(rb"data: (.*)", said)
        if b"choices" in line
    ]
    first = (one["delta"]["content"] for one in choices if one["index"] == 0)
    assert AWS_KEY not in "".join(first)


@pytest.mark.parametrize(
    "key", ["role", "model", "phase", "object", "item_id", "mime_type"]
)
def test_no_sdk_joins_a_secret_under_any_key(caller: Tenant, key: str) -> None:
    from openai.lib.streaming._deltas import accumulate_delta

    deltas = [
        written({"choices": [{"index": 0, "delta": {key: half}}]})
        for half in (bad.BEGIN, bad.REST)
    ]
    said = answered(caller, answers(*deltas, event(content("ok"))))
    joined: dict[object, object] = {}
    for line in re.findall(rb"data: (.*)", said):
        joined = accumulate_delta(joined, json.loads(line)["choices"][0]["delta"])
    assert AWS_KEY not in str(joined)


def test_a_response_that_is_a_text_is_joined(caller: Tenant) -> None:
    halves = ("It is ", bad.BEGIN, bad.REST, " more" * 5)
    events = [written({"type": "response.created", "response": one}) for one in halves]
    said = answered(caller, answers(*events)).decode()
    assert AWS_KEY not in "".join(re.findall(r'"response": "([^"]*)"', said))


def test_a_transcription_continues_behind_the_end_of_a_generation(
    caller: Tenant,
) -> None:
    said = (
        {"outputTranscription": {"text": bad.BEGIN}},
        {"generationComplete": True},
        {"outputTranscription": {"text": bad.REST}},
        {"outputTranscription": {"text": " more" * 4}},
    )
    messages = (frame(1, json.dumps({"serverContent": one}).encode()) for one in said)
    end = b"\x88\x02\x03\xe8"
    caller.house.scripted.script = says(SWITCHED + b"\r\n" + b"".join(messages) + end)
    told = bad.socket_call(caller.house, caller).decode("latin-1")
    assert AWS_KEY not in "".join(re.findall(r'"text": "([^"]*)"', told))


def test_a_message_that_was_held_keeps_its_kind(caller: Tenant) -> None:
    def delta(text: str) -> bytes:
        told = {"type": "response.output_text.delta", "response_id": "r", "item_id": "i"}  # fmt: skip
        return json.dumps({**told, "delta": text}).encode()

    messages = frame(1, delta(bad.BEGIN)) + frame(2, delta(" other"))
    end = b"\x88\x02\x03\xe8"
    caller.house.scripted.script = says(SWITCHED + b"\r\n" + messages + end)
    told = bad.socket_call(caller.house, caller).partition(b"\r\n\r\n")[2]
    assert told[0] == 0x81


# -- what stands beside -----------------------------------------------------------------

INNER = json.dumps({"bytes": base64.b64encode(b"{}").decode()}).encode()
STANDARD = _header(":event-type", "chunk")
BESIDE = {
    "a header's name": _message(STANDARD + _header(AWS_KEY, "x"), INNER),
    "a header twice": _message(
        _header("x", AWS_KEY) + _header("x", "y") + STANDARD, INNER
    ),
    "padding": _message(STANDARD, json.dumps({"bytes": "e30=", "p": AWS_KEY}).encode()),
    "behind a broken header": _message(STANDARD + b"\x01xZ" + SECRET, INNER),
}


@pytest.mark.parametrize("name", BESIDE)
def test_nothing_in_amazons_frames_is_unseen(caller: Tenant, name: str) -> None:
    assert SECRET not in answered(caller, answers(BESIDE[name], kind=EVENTSTREAM))


@pytest.mark.parametrize(
    "field", ["server", "via", "cache-control", "date", "vary", "keep-alive"]
)
def test_no_field_of_an_answer_is_unseen(caller: Tenant, field: str) -> None:
    script = responds(b"{}", more=f"{field}: {AWS_KEY}\r\n")
    assert SECRET not in answered(caller, script, stream=False)


def test_a_type_keeps_its_name_without_the_secret(caller: Tenant) -> None:
    said = answered(caller, responds(b"{}", f"{JSON}; x={AWS_KEY}"), stream=False)
    assert b"content-type: application/json\r\n" in said


def test_what_a_session_needs_is_kept(caller: Tenant) -> None:
    """A session's id may be a token, and without it the session ends."""
    script = responds(b"{}", more=f"mcp-session-id: {AWS_KEY}\r\n")
    assert SECRET in answered(caller, script, stream=False)


@pytest.mark.parametrize("status", [101, 204, 304])
def test_the_head_of_an_answer_without_a_body_is_judged(
    caller: Tenant, status: int
) -> None:
    head = f"HTTP/1.1 {status} {AWS_KEY}\r\nupgrade: foo\r\nx-note: {AWS_KEY}\r\n\r\n"
    assert SECRET not in answered(caller, says(head.encode()), stream=False)


def test_a_protocol_that_nobody_asked_for_is_a_failure(caller: Tenant) -> None:
    answered(caller, says(b"HTTP/1.1 101 Switched\r\nupgrade: foo\r\n\r\n"))
    assert caller.audit(1)[0]["completion"]["outcome"] == "upstream_error"


def test_the_name_in_a_compressed_body_is_not_sent(caller: Tenant) -> None:
    named = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + SECRET + b"\0" + gzip.compress(b"{}")[10:]  # fmt: skip
    script = responds(named, more="content-encoding: gzip\r\n")
    said = answered(caller, script, stream=False)
    assert SECRET not in said
    assert said.endswith(b"\r\n\r\n{}")


def over_http2(caller: Tenant, script: Script) -> bytes:
    """All that an HTTP/2 client is given of an answer beside its head."""
    caller.house.scripted.offer("h2")
    caller.house.scripted.script = script
    peer = h2.connection.H2Connection()
    peer.initiate_connection()
    head = (":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/chat/completions")  # fmt: skip
    peer.send_headers(1, list(head))
    peer.send_data(1, message("go"), end_stream=True)
    said = b""
    with tls_tunnel(caller.house, caller, HOST, alpn="h2") as client:
        client.sendall(peer.data_to_send())
        while True:
            for one in peer.receive_data(client.recv(65536)):
                if isinstance(one, h2.events.DataReceived):
                    said += one.data
                if isinstance(one, h2.events.TrailersReceived):
                    said += repr(one.headers).encode()
                if isinstance(one, h2.events.StreamEnded | h2.events.StreamReset):
                    return said
            client.sendall(peer.data_to_send())


@pytest.mark.parametrize("kind", [JSON, "image/png"])
def test_trailers_are_not_sent(caller: Tenant, kind: str) -> None:
    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        head = headers(stream, 200, ("content-type", kind))
        writer.write(head + data(stream, b"{}") + bad.trailers(stream))

    said = over_http2(caller, script)
    assert said.startswith(b"{}")
    assert SECRET not in said


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_that_may_not_be_is_not_sent(caller: Tenant, status: int) -> None:
    async def script(reader: Reader, writer: Writer, stream: int) -> None:
        writer.write(headers(stream, status) + data(stream, SECRET, end=True))

    assert over_http2(caller, script) == b""


def test_a_refused_head_has_no_body(caller: Tenant) -> None:
    with tls_tunnel(caller.house, caller, HOST) as client:
        head = f"HEAD /v1/models HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\nx-a: {AWS_KEY}\r\n\r\n"
        client.sendall(head.encode())
        said = heard(client)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.endswith(b"\r\n\r\n")


def test_documents_with_separators_are_lines(caller: Tenant) -> None:
    lines = [b'\x1e{"a":%d}\n' % number for number in range(3)]
    said = answered(caller, answers(*lines, kind="application/json-seq"))
    assert lines[2] in said


# -- what the audit says ----------------------------------------------------------------


def test_a_compressed_stream_that_is_cut_is_no_end(caller: Tenant) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n"
    cut = gzip.compress(event(content("hi")))[:-9]
    assert b"earthflow_torn" in answered(caller, says(head + cut))
    assert caller.audit(1)[0]["completion"]["outcome"] == "upstream_error"


def test_a_websocket_of_no_text_is_broken(caller: Tenant) -> None:
    caller.house.scripted.script = says(SWITCHED + b"\r\n" + frame(1, b"\xff\xfe"))
    bad.socket_call(caller.house, caller)
    assert caller.audit(1)[0]["completion"]["outcome"] == "upstream_error"


# -- what holds up everybody ------------------------------------------------------------


def pieces(text: str, size: int) -> Script:
    """A stream whose events have so few characters each, in one write."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    parts = (text[at : at + size] for at in range(0, len(text), size))
    chunks = (chunk(event(content(part))) for part in parts)
    return says(head + b"".join(chunks) + chunk(b""))


def _named(size: int) -> bytes:
    """A gzip member of 92 KB, most of it a name, with 8 MB of JSON."""
    raw = b'{"usage":[' + b"[]," * (size // 3) + b"1]}"
    press = zlib.compressobj(9, wbits=-15)
    packed = press.compress(raw) + press.flush()
    end = struct.pack("<II", zlib.crc32(raw), len(raw))
    return b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"a" * 84_000 + b"\0" + packed + end


FIELDS = "".join(f"a{number:x}: b\r\n" for number in range(5_000))[:50_000]
STALLS = {
    "small pieces of encoded text": pieces((ENCODED * 300)[:10_000], 20),
    "small pieces of base64": pieces(
        base64.b64encode(bytes(n * n % 251 for n in range(4500))).decode(), 12
    ),
    "one event": answers(event(content((ENCODED * 400)[:15_500]))),
    "a whole text": responds((ENCODED * 800)[:32_000].encode(), "text/plain"),
    "a document that only passes": responds(
        _named(8_000_000), "image/png", "content-encoding: gzip\r\n"
    ),
    "a head of 5,000 fields": responds(
        b"{}", more=f"{FIELDS.rpartition(chr(13))[0]}\r\nx-n: {AWS_KEY}\r\n"
    ),
}


@pytest.mark.parametrize("name", STALLS)
def test_an_answer_that_is_work_holds_up_nobody_else(caller: Tenant, name: str) -> None:
    with bad.others_are_served(caller.house):
        said = answered(caller, STALLS[name], stream=name.startswith(("small", "one")))
    assert said.startswith(b"HTTP/1.1 200 ")
    assert SECRET not in said


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/mcp"])
def test_a_call_of_many_strings_holds_up_nobody_else(caller: Tenant, path: str) -> None:
    texts = ["a"] * 62_000
    called = {"name": "x", "arguments": [{"x": texts}]}
    body = json.dumps(
        {"jsonrpc": "2.0", "method": "tools/call", "params": called}
        if path == "/mcp"
        else {"model": "m", "messages": [{"role": "user", "content": texts}]},
        separators=(",", ":"),
    ).encode()
    caller.house.scripted.script = responds(b"{}")
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    with (
        bad.others_are_served(caller.house),
        tls_tunnel(caller.house, caller, HOST) as client,
    ):
        client.sendall(head.encode() + body)
        assert heard(client).startswith(b"HTTP/1.1 ")
