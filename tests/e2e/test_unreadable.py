"""What cannot be read is never a silent ALLOW: each body has a stated outcome, in the answer and in the audit."""

import base64
import gzip
import json

import brotli
import pytest
import zstandard

from tests.support import documents
from tests.support.house import AWS_KEY, House, Tenant, message, without_hashes

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
UNREADABLE = {
    "bad_json": (b"{", ()),
    "not_utf8": (b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}', ()),
    "duplicate_key": (
        b'{"messages": [], "messages": [{"role": "user", "content": "x"}]}',
        (),
    ),
    "opaque": (b'["not", "a", "call"]', ()),
    "too_deep": (b'{"messages": [' + b"[" * 5000 + b"]" * 5000 + b"]}", ()),
    "unknown_encoding": (message("hello"), ("-H", "content-encoding: rot13")),
    "bad_encoding": (b"this is not gzip", ("-H", "content-encoding: gzip")),
}


@pytest.mark.parametrize("reason", UNREADABLE)
def test_default_blocks_what_it_cannot_read(
    house: House, tenant: Tenant, reason: str
) -> None:
    before = len(house.providers.heard)
    body, words = UNREADABLE[reason]
    status, answer = tenant.post(body, *words)
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"], row["unreadable"]) == (
        "BLOCK",
        "none",
        [reason],
    )
    assert row["rules"][0]["rule"] == "coverage.unreadable-call"
    said = answer["error"]["message"]
    assert (status, row["id"] in said, said.endswith(f"({reason})")) == (
        400,
        True,
        True,
    )
    assert len(house.providers.heard) == before


def test_monitor_flags_what_it_cannot_read_and_lets_it_go(house: House) -> None:
    tenant = house.tenant("monitor")
    body, words = UNREADABLE["not_utf8"]
    tenant.post(body, *words)
    (row,) = tenant.audit(1)
    assert (row["status"], row["unreadable"]) == ("FLAG", ["not_utf8"])
    assert house.providers.heard[-1].body == body


@pytest.mark.parametrize(
    ("body", "coverage"), [(b'{"a": 1}', "partial"), (b"\xff\x00", "none")]
)
def test_an_unknown_path_of_an_ai_host_is_flagged_and_goes_on(
    tenant: Tenant, body: bytes, coverage: str
) -> None:
    assert tenant.post(body, url="https://api.openai.com/v1/novel")[0] == 200
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"], row["unreadable"], row["path"]) == (
        "FLAG",
        coverage,
        ["unknown_path"],
        "/v1/novel",
    )


def test_a_call_that_only_reads_is_read_with_its_head(tenant: Tenant) -> None:
    done = tenant.curl("https://api.openai.com/v1/models")
    assert json.loads(done.stdout)["object"] == "list"
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"], row["unreadable"]) == ("ALLOW", "full", [])


def test_an_image_makes_coverage_partial_and_its_text_is_still_judged(
    tenant: Tenant,
) -> None:
    content = [
        {"type": "text", "text": AWS_KEY},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    body = json.dumps(
        {"model": "gpt-5.2", "messages": [{"role": "user", "content": content}]}
    ).encode()
    assert tenant.post(body)[0] == 200
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"], row["unreadable"]) == (
        "REDACT",
        "partial",
        ["image"],
    )


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.compress)],
    ids=["gzip", "br", "zstd"],
)
def test_an_encoded_call_is_decoded_judged_and_written_back_plain(
    house: House, tenant: Tenant, encoding: str, encode: object
) -> None:
    assert callable(encode)
    status, _ = tenant.post(
        encode(message(f"my {AWS_KEY}")), "-H", f"content-encoding: {encoding}"
    )
    assert status == 200
    heard = house.providers.heard[-1]
    assert "content-encoding" not in {name.lower() for name in heard.headers}
    assert without_hashes(heard.body) == message(
        "my [REDACTED:credentials_aws_access_key_*]"
    )


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_over_the_cap_is_answered_413_in_the_providers_shape(
    house: House, tenant: Tenant, chunked: bool
) -> None:
    before = len(house.providers.heard)
    words = ("-H", "transfer-encoding: chunked") if chunked else ()
    status, answer = tenant.post(
        message("a" * (33 * 1024 * 1024)), "-H", "expect:", *words
    )
    assert status == 413
    (row,) = tenant.audit(1)
    assert (row["status"], row["reason"], row["coverage"], row["unreadable"]) == (
        "BLOCK",
        "too_large",
        "none",
        ["too_large"],
    )
    assert row["id"] in answer["error"]["message"]
    assert row["completion"]["status"] == 413
    assert len(house.providers.heard) == before


def test_a_decompression_bomb_is_refused(tenant: Tenant) -> None:
    status, _ = tenant.post(
        gzip.compress(b"0" * 100_000_000), "-H", "content-encoding: gzip"
    )
    assert status == 400
    assert tenant.audit(1)[0]["unreadable"] == ["bad_encoding"]


# -- documents --------------------------------------------------------------------------------------------------------


def with_document(data: bytes, text: str = "What does it say?") -> bytes:
    """A call of Anthropic's with a PDF."""
    source = {
        "type": "base64",
        "media_type": "application/pdf",
        "data": base64.b64encode(data).decode(),
    }
    content = [{"type": "document", "source": source}, {"type": "text", "text": text}]
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": "m", "max_tokens": 9, "messages": messages}).encode()


MESSAGES = "https://api.anthropic.com/v1/messages"


@pytest.mark.parametrize(
    ("text", "status", "rule"),
    [
        ("The minutes of Monday.", "ALLOW", None),
        (f"the key is {AWS_KEY}", "BLOCK", "credentials.aws-access-key"),
        ("TLP:RED", "BLOCK", "confidential.tlp-red"),
        ("her card is 4539 1488 0343 6467", "FLAG", "personal.card"),
    ],
)
def test_a_document_is_read_and_sent_as_it_is_or_not_at_all(
    house: House, tenant: Tenant, text: str, status: str, rule: str | None
) -> None:
    before, body = len(house.providers.heard), with_document(documents.pdf(text))
    tenant.post(body, url=MESSAGES)
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"], row["unreadable"]) == (status, "full", [])
    assert rule in [one["rule"] for one in row["rules"]] if rule else not row["rules"]
    sent = [heard.body for heard in house.providers.heard[before:]]
    assert sent == ([] if status == "BLOCK" else [body])
    for one in row["rules"]:
        assert one["findings"][0]["kind"] == "document"


def test_a_text_beside_a_document_is_redacted_and_the_document_stays(
    house: House, tenant: Tenant
) -> None:
    body = with_document(documents.pdf("her card is 4539 1488 0343 6467"), f"and {AWS_KEY}")  # fmt: skip
    assert tenant.post(body, url=MESSAGES)[0] == 200
    sent = json.loads(house.providers.heard[-1].body)["messages"][0]["content"]
    assert sent[0] == json.loads(body)["messages"][0]["content"][0]
    assert sent[1]["text"].startswith("and [REDACTED:credentials_aws_access_key_")


def test_what_is_not_text_in_a_document_is_named(tenant: Tenant) -> None:
    tenant.post(with_document(documents.pdf("a page", "")), url=MESSAGES)
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"]) == ("ALLOW", "partial")
    assert row["unreadable"] == ["document"]


def test_strict_refuses_what_it_cannot_take_out(house: House) -> None:
    tenant = house.tenant("strict")
    body = with_document(documents.docx(f"the key is {AWS_KEY}"))
    tenant.post(body, url=MESSAGES)
    (row,) = tenant.audit(1)
    assert row["status"] == "BLOCK"


def test_a_file_in_a_form_is_read(house: House, tenant: Tenant) -> None:
    before = len(house.providers.heard)
    file = house.folder / f"upload-{tenant.id}.docx"
    file.write_bytes(documents.docx("Minutes", f"the key is {AWS_KEY}"))
    done = tenant.curl(
        "-F", "purpose=assistants", "-F", f"file=@{file}", "https://api.openai.com/v1/files"
    )  # fmt: skip
    (row,) = tenant.audit(1)
    assert (row["status"], row["unreadable"]) == ("BLOCK", []), done.stdout
    assert len(house.providers.heard) == before
