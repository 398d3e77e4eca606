"""Ways around the rules that must lead nowhere."""

import gzip
import json
import socket
import ssl
import struct
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from cli.processes import wait_until
from tests.support.house import (
    AWS_KEY,
    OTHER_HOST,
    PATIENCE,
    RESTRICTED,
    House,
    Tenant,
    curl,
    message,
)
from tests.support.raw import tls_tunnel, tunnel

KEY = RESTRICTED
URL_FORM = "application/x-www-form-urlencoded"


def rules_of(row: dict[str, Any]) -> set[str]:
    return {fired["rule"] for fired in row["rules"]}


def over_h2(
    house: House, tenant: Tenant, headers: list[tuple[str, str]], body: bytes
) -> int:
    """One HTTP/2 call on a tunnel of its own; the status."""
    with tls_tunnel(house, tenant, "api.openai.com", alpn="h2") as client:
        assert client.selected_alpn_protocol() == "h2"
        connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        connection.initiate_connection()
        connection.send_headers(1, headers)
        connection.send_data(1, body, end_stream=True)
        client.sendall(connection.data_to_send())
        while data := client.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[":status"])
            client.sendall(connection.data_to_send())
    raise AssertionError("no answer")


def head(path: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "api.openai.com"),
        (":path", path),
        ("content-type", "application/json"),
    ]


def test_an_h2_call_without_a_length_reaches_an_h1_upstream_whole(
    house: House, tenant: Tenant
) -> None:
    assert over_h2(house, tenant, head("/v1/chat/completions"), message("hello")) == 200
    assert house.providers.heard[-1].body == message("hello")
    assert house.providers.heard[-1].headers["Content-Length"] == str(
        len(message("hello"))
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (":method", "POST /x"),
        (":method", "POST\t/x"),
        (":path", "/v1/files /v1/chat/completions"),
        (":path", "/v1/files\x01"),
        (":path", "/v1/fi\tles"),
    ],
)
def test_a_blank_in_an_h2_line_is_no_second_request_line(
    house: House, tenant: Tenant, name: str, value: str
) -> None:
    before = len(house.providers.heard)
    headers = [(key, value if key == name else old) for key, old in head("/v1/files")]
    assert over_h2(house, tenant, headers, message("hello")) == 400
    assert len(house.providers.heard) == before
    for row in tenant.audit(1):
        assert (row["status"], row["reason"]) == ("BLOCK", "malformed")


@pytest.mark.parametrize(
    "words",
    [
        ["-H", f"OpenAI-Organization: {AWS_KEY}"],
        ["-H", f"User-Agent: {AWS_KEY}"],
        ["-b", f"a={AWS_KEY}"],
        ["-X", AWS_KEY],
    ],
)
def test_a_secret_in_a_head_reaches_neither_the_provider_nor_the_audit(
    house: House, tenant: Tenant, words: list[str]
) -> None:
    before = len(house.providers.heard)
    assert tenant.post(message("hello"), *words)[0] == 400
    assert len(house.providers.heard) == before
    rows = tenant.audit(1)
    assert rows[0]["status"] == "BLOCK"
    assert AWS_KEY not in json.dumps(rows)


@pytest.mark.parametrize("text", ["hello", AWS_KEY])
def test_a_call_hidden_in_the_body_of_another_stays_a_body_and_is_read(
    house: House, tenant: Tenant, text: str
) -> None:
    inner = message(text)
    smuggled = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: {len(inner)}\r\n\r\n".encode()
        + inner
    )
    before = len(house.providers.heard)
    assert over_h2(house, tenant, head("/v1/unknown"), smuggled) == 200
    (heard,) = house.providers.heard[before:]
    assert heard.path == "/v1/unknown"
    assert (heard.body == smuggled) == (text == "hello")
    assert AWS_KEY.encode() not in heard.body


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", URL_FORM])
def test_an_unknown_path_hides_nothing(
    house: House, tenant: Tenant, kind: str, method: str
) -> None:
    body = json.dumps({"instructions": f"key {AWS_KEY}"})
    url = "https://api.openai.com/v1/assistants"
    words = ("-X", method, "-H", f"content-type: {kind}", "--data-binary", body)
    tenant.curl(*words, url)
    assert b'"key [REDACTED:' in house.providers.heard[-1].body
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"], row["unreadable"]) == (
        "REDACT",
        "partial",
        ["unknown_path"],
    )


@pytest.mark.parametrize("charset", ["utf-7", "utf-16"])
def test_a_charset_that_the_provider_may_read_otherwise_is_refused(
    tenant: Tenant, charset: str
) -> None:
    kind = f"content-type: application/json; charset={charset}"
    url = "https://api.openai.com/v1/chat/completions"
    tenant.curl("-H", kind, "--data-binary", message("+AEEASwBJAEE-").decode(), url)
    (row,) = tenant.audit(1)
    assert (row["status"], row["unreadable"]) == ("BLOCK", ["unknown_encoding"])


@pytest.mark.parametrize(
    "path",
    ["/v1/%63hat/completions", "/v1/./chat/completions", "//v1/chat/completions", "/v1/chat/completions/", "/v1/chat/completions;a=b", "/V1/Chat/Completions",
     "/v1/x/../chat/completions", "/v1/%2563hat/completions"],
)  # fmt: skip
def test_a_known_path_is_read_however_it_is_spelt(
    house: House, tenant: Tenant, path: str
) -> None:
    before = len(house.providers.heard)
    status, _ = tenant.post(
        message(KEY), "--path-as-is", url=f"https://api.openai.com{path}"
    )
    assert (status, len(house.providers.heard)) == (400, before)
    assert "confidential.tlp-red" in rules_of(tenant.audit(1)[0])


def test_what_would_be_redacted_in_the_query_is_blocked(tenant: Tenant) -> None:
    status, _ = tenant.post(
        message("hello"),
        url=f"https://api.openai.com/v1/chat/completions?note={AWS_KEY}",
    )
    assert status == 400
    assert tenant.audit(1)[0]["status"] == "BLOCK"


@pytest.mark.parametrize(
    "text", ["\\ud800", "a\\u0000b", "m" * 5000], ids=["surrogate", "nul", "long"]
)
def test_a_model_name_that_no_record_can_hold_is_judged_and_recorded_all_the_same(
    tenant: Tenant, text: str
) -> None:
    body = f'{{"model": "{text}", "messages": [{{"role": "user", "content": "{KEY}"}}]}}'.encode()
    assert tenant.post(body)[0] == 400
    (row,) = tenant.audit(1)
    assert (row["status"], row["reason"]) == ("BLOCK", "policy")
    assert "confidential.tlp-red" in rules_of(row)


def test_raw_bytes_in_the_path_are_recorded(tenant: Tenant, house: House) -> None:
    with _tls_h1(house, tenant) as client:
        body = message(KEY)
        client.sendall(
            b"POST /v1/chat/completions\xff HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )
        client.makefile("rb").readline()
    assert len(tenant.audit(1)) == 1


def test_words_in_an_images_place_are_read_as_words(tenant: Tenant) -> None:
    content = [{"type": "image_url", "image_url": {"url": f"data: \n{KEY}"}}]
    body = json.dumps(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": content, "url": f"data:{AWS_KEY}"}
            ],
        }
    ).encode()
    assert tenant.post(body)[0] == 400


def test_only_what_was_judged_is_sent_of_an_encoded_call(
    house: House, tenant: Tenant
) -> None:
    import io

    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", filename=f"{AWS_KEY}.json") as file:
        file.write(message("hello"))
    assert AWS_KEY.encode() in raw.getvalue()
    assert tenant.post(raw.getvalue(), "-H", "content-encoding: gzip")[0] == 200
    assert house.providers.heard[-1].body == message("hello")


def test_a_client_hello_cut_after_its_first_byte_is_still_read(
    house: House, tenant: Tenant
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    hello = context.wrap_bio(incoming, outgoing, server_hostname="api.openai.com")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    data = outgoing.read()
    with tunnel(house, tenant, f"{OTHER_HOST}:443") as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(data[:1])
        assert wait_until(lambda: unacknowledged(client) == 0, PATIENCE)
        client.sendall(data[1:])
        assert answer(client) == b""
    assert {row["reason"] for row in tenant.audit(2)} == {
        "tunnelled",
        "authority_mismatch",
    }


@pytest.mark.parametrize(
    "data",
    [b"\x16\x04\x01\x02\x00\x01", b"\x16\x00\x00"],
    ids=["version 4", "version 0"],
)
def test_what_begins_like_tls_and_is_none_is_not_passed_on(
    house: House, tenant: Tenant, data: bytes
) -> None:
    with tunnel(house, tenant, f"{OTHER_HOST}:443") as client:
        client.sendall(data)
        assert answer(client) == b""
    assert tenant.audit(1)[0]["completion"]["outcome"] == "client_abort"


def test_a_tunnel_that_is_left_before_a_byte_is_completed(
    house: House, tenant: Tenant
) -> None:
    tunnel(house, tenant, f"{OTHER_HOST}:443").close()
    assert tenant.audit(1)[0]["completion"] is not None


def test_chunked_trailers_are_answered_and_do_not_hang(
    house: House, tenant: Tenant
) -> None:
    with _tls_h1(house, tenant) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.sendall(b"2\r\n{}\r\n0\r\nX-Note: secret\r\n\r\n")
        assert client.makefile("rb").readline().startswith(b"HTTP/1.1 400")


def test_a_refused_caller_cannot_fill_our_memory(house: House) -> None:
    """The body of a call that is answered 407 or by health is let go by, not kept; the proxy's own memory says so."""
    body = house.folder / "large"
    body.write_bytes(b"a" * 60_000_000)
    before = resident(house)
    for words in (
        ["-x", f"http://127.0.0.1:{house.stack.port}", "http://other.example/"],
        ["-X", "GET", house.url("/health")],
    ):
        curl(
            "-s",
            "-o",
            "/dev/null",
            "-H",
            "expect:",
            "-H",
            "transfer-encoding: chunked",
            "--data-binary",
            f"@{body}",
            *words,
        )
        assert resident(house) - before < 40_000_000


def resident(house: House) -> int:
    pid = house.stack.services["proxy"].process.pid
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def answer(client: socket.socket) -> bytes:
    try:
        return client.recv(100)
    except ConnectionError:
        return b""


def unacknowledged(client: socket.socket) -> int:
    """Packets the kernel has not had acknowledged (tcp_info, Linux)."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("I", info, 24)[0])


def _tls_h1(house: House, tenant: Tenant) -> Any:
    context = ssl.create_default_context(cafile=str(house.bundle))
    return context.wrap_socket(
        tunnel(house, tenant, "api.openai.com:443"), server_hostname="api.openai.com"
    )
