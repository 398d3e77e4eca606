"""Where an image, a sound or a document may stand, a bare token is read like any text, and a document is read."""

import base64
import json
from typing import Any

import pytest

from addons.providers import FORMATS
from addons.providers.places import LEAST, media_in
from addons.providers.provider import Call
from rules.exchange import NOWHERE

TOKEN = "AKIAQYLPMN5HHHFPZAM2"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(90)).decode()
PDF = base64.b64encode(b"%PDF-1.7\n%" + bytes(90)).decode()
SOUND = base64.b64encode(bytes(range(256)) * 2).decode()


def user(block: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": [block]}]}


# The format, and a call with X in the place of bytes
PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "openai image": ("openai-chat", user({"type": "image_url", "image_url": {"url": "X"}})),
    "openai sound": ("openai-chat", user({"type": "input_audio", "input_audio": {"data": "X", "format": "wav"}})),
    "openai file": ("openai-chat", user({"type": "file", "file": {"file_data": "X", "filename": "a.pdf"}})),
    "responses image": ("openai-responses", {"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "X"}]}]}),
    "responses file": ("openai-responses", {"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_data": "X"}]}]}),
    "anthropic image": ("anthropic-messages", user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "X"}})),
    "anthropic document": ("anthropic-messages", user({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "X"}})),
    "gemini": ("gemini", {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "application/pdf", "data": "X"}}]}]}),
    "bedrock": ("bedrock-converse", {"messages": [{"role": "user", "content": [{"document": {"format": "pdf", "name": "a", "source": {"bytes": "X"}}}]}]}),
    "mcp": ("mcp", {"jsonrpc": "2.0", "id": 1, "result": {"contents": [{"uri": "file:///a", "blob": "X"}]}}),
    "ollama": ("ollama", {"model": "m", "prompt": "look", "images": ["X"]}),
}  # fmt: skip


def read(place: str, value: str) -> Call:
    format, call = PLACES[place]
    body = json.dumps(call).replace('"X"', json.dumps(value)).encode()
    found = FORMATS[format].read_call(body, "/", "m")
    assert isinstance(found, Call)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_a_token_is_a_text_whatever_its_place(place: str) -> None:
    call = read(place, TOKEN)
    assert TOKEN in [part.text for part in call.parts]
    assert call.unreadable == ()


@pytest.mark.parametrize("place", PLACES)
def test_text_in_base64_is_a_text_that_is_decoded(place: str) -> None:
    text = base64.b64encode(b"the key is " + TOKEN.encode()).decode()
    assert text in [part.text for part in read(place, text).parts]


@pytest.mark.parametrize("place", PLACES)
def test_bytes_are_named_and_no_text(place: str) -> None:
    for value in (PNG, PDF, SOUND):
        call = read(place, value)
        assert len(call.unreadable) == 1
        assert value not in [part.text for part in call.parts]
        if call.unreadable == ("document",):
            ((number, document),) = call.documents.items()
            assert document == value
            assert call.parts[number][:4] == ("", call.parts[number].role, "document", NOWHERE)  # fmt: skip
        else:
            assert call.documents == {}


@pytest.mark.parametrize(
    ("text", "reason", "media"),
    [
        ("A" * (LEAST - 1), "audio", False),  # too short for sound without a beginning
        (SOUND[:LEAST], "audio", True),
        (SOUND[: LEAST - 4], "audio", False),
        ("data:image/png;base64," + PNG, "image", True),
        ("data:image/png;base64," + TOKEN, "image", False),
        (base64.b64encode(b"all of this is prose, line after line. " * 20).decode(), "image", False),
        (base64.b64encode(b"a,b\n1,2\n" * 90).decode(), "document", True),
        ("https://example.com/a.png", "image", False),
        ("", "image", False),
    ],
)  # fmt: skip
def test_what_counts_as_bytes(text: str, reason: str, media: bool) -> None:
    assert (media_in(text, reason) is not None) == media
