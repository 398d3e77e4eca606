"""Reading calls: every text is a part with its place, and any bytes give a call or a reason."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.providers import PROVIDERS, provider_of
from addons.providers.chat_body import ROLES
from addons.providers.provider import Call, Provider, Usage
from rules.exchange import Part, Unreadable
from rules.redact import LITERAL

OPENAI, ANTHROPIC = PROVIDERS


def call(provider: Provider, **body: Any) -> Call:
    read = provider.read_call(json.dumps({"model": "m", **body}).encode())
    assert isinstance(read, Call), read
    return read


def places(read: Call) -> dict[str, tuple[str, str]]:
    return {part.text: (part.role, part.kind) for part in read.parts}


def test_openai_parts_have_their_roles_and_kinds() -> None:
    read = call(
        OPENAI,
        stream=True,
        tools=[
            {
                "type": "function",
                "function": {"name": "look", "description": "look it up", "parameters": {"properties": {"q": {"type": "string"}}}},
            }
        ],
        messages=[
            {"role": "system", "content": "be kind"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "the result"},
        ],
        metadata={"project": "apollo"},
    )
    found = places(read)
    assert found["be kind"] == ("system", "text")
    assert found["hello"] == ("user", "text")
    assert found["https://x.example/a.png"] == ("user", "text")
    assert found['{"q": 1}'] == ("assistant", "tool_call")
    assert found["the result"] == ("tool", "tool_result")
    assert found["look it up"] == ("system", "tool_definition")
    assert found["apollo"] == ("other", "field")
    assert found["project"] == ("other", "key")
    assert (read.model, read.stream, read.unreadable) == ("m", True, ())


def test_anthropic_parts_have_their_roles_and_kinds() -> None:
    read = call(
        ANTHROPIC,
        system=[{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
        messages=[
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look", "input": {"card": 4539148803436467}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "the result"}]}]},
            {"role": "user", "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a paper"}}]},
            {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}],
            },
        ],
    )
    found = places(read)
    assert found["be kind"] == ("system", "text")
    assert found["hello"] == ("user", "text")
    assert found["4539148803436467"] == ("assistant", "tool_call")
    assert found["the result"] == ("tool", "tool_result")
    assert found["a paper"] == ("user", "text")
    assert read.unreadable == ("image", "document")
    assert "AAAA" not in found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["user", "tool", "text", "image", "data:x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "source", "data", "url", "tool_calls", "x", "messages"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
@settings(max_examples=300, deadline=None)
@given(messages=st.lists(JSON, max_size=3), more=st.dictionaries(st.text(max_size=5), JSON, max_size=2))
def test_every_string_of_a_call_is_a_part_or_named_unreadable(provider: Provider, messages: list[Any], more: dict[str, Any]) -> None:
    document = {**more, "messages": messages}
    read = provider.read_call(json.dumps(document).encode())
    assert isinstance(read, Call)
    texts = {part.text for part in read.parts}
    for leaf in strings(document):
        assert leaf in texts or leaf in ROLES or read.unreadable, leaf


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [leaf for item in inner for leaf in strings(item)]


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
@settings(max_examples=300, deadline=None)
@given(messages=st.lists(JSON, max_size=3))
def test_a_parts_literal_is_where_its_text_stands_in_the_body(provider: Provider, messages: list[Any]) -> None:
    body = json.dumps({"messages": messages, "n": -1.5e3, "big": 10**30})
    read = provider.read_call(body.encode())
    assert isinstance(read, Call)
    literals = [match[0] for match in LITERAL.finditer(body)]
    for part in read.parts:
        raw = literals[part.literal]
        assert (json.loads(raw) if raw.startswith('"') else raw) == part.text


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_a_call_or_a_reason(provider: Provider, body: bytes) -> None:
    assert isinstance(provider.read_call(body), Call | Unreadable)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" * 200_000, "too_deep"),
        (b'{"messages": [' + b"[" * 100 + b"]" * 100 + b"]}", "too_deep"),
        (b'{"messages": [' + b'"x",' * 500_000 + b'"x"]}', "too_deep"),
        (b'{"messages": [], "n": NaN}', "bad_json"),
        (b'{"messages": [], "a": {"b": 1, "b": 2}}', "duplicate_key"),
        (b'\xef\xbb\xbf{"messages": []}', "bad_json"),
        (b'{"messages": "x"}', "opaque"),
    ],
)
def test_hostile_bodies_have_a_stated_reason(body: bytes, reason: str) -> None:
    assert OPENAI.read_call(body) == Unreadable(reason)


def test_a_huge_number_is_a_part_and_no_error() -> None:
    read = OPENAI.read_call(b'{"messages": [' + b"9" * 10_000 + b"]}")
    assert isinstance(read, Call)
    assert read.parts[-1] == Part("9" * 10_000, "other", "field", 1)


@pytest.mark.parametrize("host", ["api.openai.com", "API.OpenAI.com", "api.openai.com."])
def test_a_hosts_provider_is_found_however_it_is_written(host: str) -> None:
    assert provider_of(host) is OPENAI


@pytest.mark.parametrize("host", ["openai.com", "api.openai.com.evil.example", "xapi.openai.com", "", "1.2.3.4"])
def test_other_hosts_have_none(host: str) -> None:
    assert provider_of(host) is None


@pytest.mark.parametrize(
    "counts", [None, 5, {"prompt_tokens": "x"}, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"prompt_tokens": 2**60}]
)
def test_implausible_counts_are_passed_over(counts: Any) -> None:
    usage = Usage()
    OPENAI.read_usage({"usage": counts}, usage)
    assert usage.input_tokens is None
