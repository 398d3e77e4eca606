"""Reading calls, in every format: each text is a part with its place, and any bytes give a call or a reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.calls.heads import canonical
from addons.providers import FORMATS, Directory
from addons.providers.json_call import JsonFormat
from addons.providers.places import ROLES
from addons.providers.provider import Call, Format, Usage
from contract.providers import BadProviders
from rules.exchange import Part, Unreadable
from rules.redact import literals
from tests.support.shared import examples

EVERY = [pytest.param(format, id=name) for name, format in FORMATS.items()]
CHAT = FORMATS["openai-chat"]
DIRECTORY = Directory()
PNG = "iVBORw0KGgo" * 10


def call(format: str, body: dict[str, Any], path: str = "/", model: str = "") -> Call:
    read = FORMATS[format].read_call(json.dumps(body).encode(), path, model)
    assert isinstance(read, Call), read
    return read


# A call as the vendor's documents show it, and where its texts stand: role, kind and, of tools, the name.
CALLS: dict[str, tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = {
    "openai-chat": (
        {
            "model": "m",
            "stream": True,
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "look",
                        "description": "look it up",
                        "parameters": {"properties": {"q": {}}},
                    },
                }
            ],
            "messages": [
                {"role": "system", "content": "be kind"},
                {"content": "hi", "role": "user"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hello"},
                        {
                            "type": "image_url",
                            "image_url": {"url": "https://x.example/a.png"},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "look", "arguments": '{"q": 1}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "1", "content": "the result"},
            ],
            "metadata": {"project": "apollo"},
        },
        {
            "be kind": ("system", "text"),
            "hi": ("user", "text"),
            "hello": ("user", "text"),
            "https://x.example/a.png": ("user", "text"),
            '{"q": 1}': ("assistant", "tool_call", "look"),
            "the result": ("tool", "tool_result", "look"),
            "look it up": ("system", "tool_definition", "look"),
            "apollo": ("other", "field"),
            "project": ("other", "key"),
        },
    ),
    "openai-responses": (
        {
            "model": "m",
            "instructions": "be kind",
            "tools": [
                {"type": "function", "name": "look", "description": "look it up"}
            ],
            "input": [
                "bare words",
                {"role": "user", "content": "hello"},
                {
                    "type": "message",
                    "role": "developer",
                    "content": [{"type": "input_text", "text": "house rules"}],
                },
                {
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "I thought"}],
                },
                {
                    "type": "function_call",
                    "call_id": "c1",
                    "name": "look",
                    "arguments": '{"q": 2}',
                },
                {
                    "type": "function_call_output",
                    "call_id": "c1",
                    "output": "the result",
                },
                {
                    "type": "local_shell_call",
                    "call_id": "c2",
                    "action": {"command": ["rm", "-rf"]},
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "input_image",
                            "image_url": f"data:image/png;base64,{PNG}",
                        }
                    ],
                },
            ],
        },
        {
            "be kind": ("system", "text"),
            "bare words": ("user", "text"),
            "hello": ("user", "text"),
            "house rules": ("system", "text"),
            "I thought": ("assistant", "text"),
            '{"q": 2}': ("assistant", "tool_call", "look"),
            "the result": ("tool", "tool_result", "look"),
            "-rf": ("assistant", "tool_call"),
            "look it up": ("system", "tool_definition", "look"),
        },
    ),
    "completions": (
        {"model": "m", "prompt": ["once", "upon"], "suffix": "a time"},
        {"once": ("user", "text"), "a time": ("user", "text")},
    ),
    "embeddings": (
        {"model": "m", "input": ["one", {"type": "text", "text": "two"}]},
        {"one": ("user", "text"), "two": ("user", "text")},
    ),
    "images": ({"model": "m", "prompt": "a cat"}, {"a cat": ("user", "text")}),
    "speech": (
        {"model": "m", "input": "say it", "instructions": "softly"},
        {"say it": ("user", "text"), "softly": ("system", "text")},
    ),
    "anthropic-messages": (
        {
            "model": "m",
            "system": [
                {
                    "type": "text",
                    "text": "be kind",
                    "cache_control": {"type": "ephemeral"},
                }
            ],
            "tools": [
                {
                    "name": "look",
                    "description": "look it up",
                    "input_schema": {"type": "object"},
                }
            ],
            "messages": [
                {"role": "user", "content": "hello"},
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "tool_use",
                            "id": "1",
                            "name": "look",
                            "input": {"card": 4539148803436467},
                        }
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "content": [{"type": "text", "text": "the result"}],
                        }
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {
                                "type": "text",
                                "media_type": "text/plain",
                                "data": "a paper",
                            },
                        }
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {
                                "type": "base64",
                                "media_type": "image/png",
                                "data": PNG,
                            },
                        }
                    ],
                },
            ],
        },
        {
            "be kind": ("system", "text"),
            "hello": ("user", "text"),
            "4539148803436467": ("assistant", "tool_call", "look"),
            "the result": ("tool", "tool_result", "look"),
            "a paper": ("user", "text"),
            "look it up": ("system", "tool_definition", "look"),
        },
    ),
    "anthropic-batches": (
        {
            "requests": [
                {
                    "custom_id": "a",
                    "params": {
                        "model": "m",
                        "system": "be kind",
                        "messages": [{"role": "user", "content": "hello"}],
                    },
                }
            ]
        },
        {
            "be kind": ("system", "text"),
            "hello": ("user", "text"),
            "a": ("other", "field"),
        },
    ),
    "gemini": (
        {
            "systemInstruction": {"parts": [{"text": "be kind"}]},
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "look", "description": "look it up"}
                    ]
                }
            ],
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "hello"},
                        {"inlineData": {"mimeType": "image/png", "data": PNG}},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"text": "Sure"},
                        {"functionCall": {"name": "look", "args": {"q": "deep"}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionResponse": {
                                "name": "look",
                                "response": {"found": "the result"},
                            }
                        }
                    ],
                },
            ],
        },
        {
            "be kind": ("system", "text"),
            "hello": ("user", "text"),
            "Sure": ("assistant", "text"),
            "deep": ("assistant", "tool_call", "look"),
            "the result": ("tool", "tool_result", "look"),
            "look it up": ("system", "tool_definition", "look"),
        },
    ),
    "bedrock-converse": (
        {
            "system": [{"text": "be kind"}],
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "look", "description": "look it up"}}]
            },
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "hello"},
                        {
                            "document": {
                                "format": "pdf",
                                "name": "d",
                                "source": {"bytes": PNG},
                            }
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {
                            "toolUse": {
                                "toolUseId": "t",
                                "name": "look",
                                "input": {"q": "deep"},
                            }
                        }
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "t",
                                "content": [{"text": "the result"}],
                            }
                        }
                    ],
                },
            ],
        },
        {
            "be kind": ("system", "text"),
            "hello": ("user", "text"),
            "deep": ("assistant", "tool_call", "look"),
            "the result": ("tool", "tool_result", "look"),
            "look it up": ("system", "tool_definition", "look"),
        },
    ),
    "bedrock-invoke": (
        {
            "anthropic_version": "bedrock-2023-05-31",
            "system": "be kind",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "tool_use",
                            "id": "1",
                            "name": "look",
                            "input": {"q": "deep"},
                        }
                    ],
                },
            ],
        },
        {
            "be kind": ("system", "text"),
            "hello": ("user", "text"),
            "deep": ("assistant", "tool_call", "look"),
        },
    ),
    "cohere-chat": (
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hello"}]}
            ],
            "documents": [{"data": "a paper"}],
        },
        {"hello": ("user", "text"), "a paper": ("user", "text")},
    ),
    "cohere-v1-chat": (
        {
            "message": "hello",
            "preamble": "be kind",
            "chat_history": [
                {"role": "USER", "message": "before"},
                {"role": "CHATBOT", "message": "Sure"},
            ],
            "tool_results": [
                {"call": {"name": "look"}, "outputs": [{"found": "the result"}]}
            ],
        },
        {
            "hello": ("user", "text"),
            "be kind": ("system", "text"),
            "before": ("user", "text"),
            "Sure": ("assistant", "text"),
            "the result": ("tool", "tool_result"),
        },
    ),
    "ollama": (
        {
            "model": "m",
            "system": "be kind",
            "prompt": "hello",
            "messages": [{"role": "user", "content": "hi", "images": [PNG]}],
        },
        {
            "be kind": ("system", "text"),
            "hello": ("user", "text"),
            "hi": ("user", "text"),
        },
    ),
    "files": ({"purpose": "batch", "input": "lines"}, {"lines": ("user", "text")}),
    "openai-socket": (
        {
            "type": "response.create",
            "response": {
                "instructions": "be kind",
                "input": [
                    {
                        "role": "user",
                        "content": [{"type": "input_text", "text": "hello"}],
                    }
                ],
            },
        },
        {"be kind": ("system", "text"), "hello": ("user", "text")},
    ),
    "openai-realtime": (
        {
            "type": "conversation.item.create",
            "session": {
                "instructions": "be kind",
                "tools": [
                    {"type": "function", "name": "look", "description": "look it up"}
                ],
            },
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "hello"}],
            },
            "response": {
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c1",
                        "output": "the result",
                    }
                ]
            },
            "audio": PNG,
        },
        {
            "be kind": ("system", "text"),
            "look it up": ("system", "tool_definition", "look"),
            "hello": ("user", "text"),
            "the result": ("tool", "tool_result"),
        },
    ),
    "gemini-live": (
        {
            "setup": {"systemInstruction": {"parts": [{"text": "be kind"}]}},
            "clientContent": {
                "turns": [
                    {"role": "user", "parts": [{"text": "hello"}]},
                    {"role": "model", "parts": [{"text": "Sure"}]},
                ]
            },
            "realtimeInput": {
                "text": "now",
                "audio": {"mimeType": "audio/pcm", "data": PNG},
            },
            "toolResponse": {
                "functionResponses": [
                    {"id": "1", "name": "look", "response": {"found": "the result"}}
                ]
            },
        },
        {
            "be kind": ("system", "text"),
            "hello": ("user", "text"),
            "Sure": ("assistant", "text"),
            "now": ("user", "text"),
            "the result": ("tool", "tool_result", "look"),
        },
    ),
    "mcp": (
        {
            "jsonrpc": "2.0",
            "id": 7,
            "method": "tools/call",
            "params": {
                "name": "look",
                "arguments": {"q": "deep"},
                "messages": [{"role": "user", "content": {"text": "hello"}}],
            },
            "result": {
                "content": [
                    {"type": "text", "text": "the result"},
                    {"type": "image", "data": PNG},
                ]
            },
            "beside": "words",
        },
        {
            "deep": ("assistant", "tool_call", "look"),
            "hello": ("user", "text"),
            "the result": ("tool", "tool_result"),
            "words": ("user", "text"),
        },
    ),
    "huggingface": (
        {"inputs": {"question": "who?", "context": "he"}},
        {"who?": ("user", "text"), "he": ("user", "text")},
    ),
}
UNREAD = {
    "openai-responses": ("image",),
    "anthropic-messages": ("image",),
    "gemini": ("image",),
    "bedrock-converse": ("document",),
    "ollama": ("image",),
    "openai-realtime": ("audio",),
    "gemini-live": ("audio",),
    "mcp": ("image",),
}
# The names in those bodies that are judged as text: of a form's fields, and of whatever no
# format documents, since they are the caller's own.
OWN_NAMES = {
    "openai-chat": {"q", "project"},
    "openai-responses": {"command"},
    "anthropic-messages": {"card"},
    "gemini": {"q", "found"},
    "bedrock-converse": {"q"},
    "bedrock-invoke": {"q"},
    "cohere-v1-chat": {"found"},
    "files": {"purpose"},
    "gemini-live": {"found"},
    "mcp": {"q", "beside"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_texts_of_a_call_have_their_places(name: str) -> None:
    body, places = CALLS[name]
    read = call(name, body)
    found = {
        part.text: (part.role, part.kind, *([part.tool] if part.tool else []))
        for part in read.parts
    }
    assert {text: found.get(text) for text in places} == places
    assert PNG not in found
    names = {part.text for part in read.parts if part.kind == "key"}
    assert names == OWN_NAMES.get(name, set())
    assert read.unreadable == UNREAD.get(name, ())


def test_every_path_of_every_provider_leads_to_a_format_that_is_tested() -> None:
    assert set(CALLS) == set(FORMATS)


@pytest.mark.parametrize(
    ("host", "path", "provider", "format", "model"),
    [
        ("api.openai.com", "/v1/chat/completions", "openai", "openai-chat", ""),
        ("eu.api.openai.com", "/v1/responses", "openai", "openai-responses", ""),
        ("chatgpt.com", "/backend-api/codex/responses", "codex", "openai-responses", ""),
        ("acme.openai.azure.com", "/openai/deployments/gpt-5/chat/completions", "azure", "openai-chat", "gpt-5"),
        ("api.anthropic.com", "/v1/messages/count_tokens", "anthropic", "anthropic-messages", ""),
        ("generativelanguage.googleapis.com", "/v1beta/models/gemini-3:streamgeneratecontent", "gemini", "gemini", "gemini-3"),
        ("generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "gemini", "openai-chat", ""),
        ("cloudcode-pa.googleapis.com", "/v1internal:generatecontent", "gemini-cli", "gemini", ""),
        (
            "europe-west1-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-5:streamrawpredict",
            "vertex",
            "anthropic-messages",
            "claude-5",
        ),
        ("bedrock-runtime.eu-west-3.amazonaws.com", "/model/anthropic.claude-v5:0/converse-stream", "bedrock", "bedrock-converse", "anthropic.claude-v5:0"),
        (
            "bedrock-runtime.us-east-1.amazonaws.com",
            "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude/invoke",
            "bedrock",
            "bedrock-invoke",
            "us.anthropic.claude",
        ),
        ("api.mistral.ai", "/v1/fim/completions", "mistral", "completions", ""),
        ("api.cohere.com", "/v2/chat", "cohere", "cohere-chat", ""),
        ("api.groq.com", "/openai/v1/chat/completions", "groq", "openai-chat", ""),
        ("api.deepseek.com", "/anthropic/v1/messages", "deepseek", "anthropic-messages", ""),
        ("api.business.githubcopilot.com", "/chat/completions", "copilot", "openai-chat", ""),
        ("api-inference.huggingface.co", "/models/org/name", "huggingface", "huggingface", "name"),
        ("ollama.com", "/api/chat", "ollama", "ollama", ""),
    ],
)  # fmt: skip
def test_a_call_is_led_to_its_format(
    host: str, path: str, provider: str, format: str, model: str
) -> None:
    found = DIRECTORY.of(host)
    assert found is not None
    endpoint = found.endpoint("POST", path)
    assert endpoint is not None
    assert (found.name, endpoint.format.name, endpoint.model) == (
        provider,
        format,
        model,
    )
    assert found.endpoint("GET", path) is None


@pytest.mark.parametrize(
    "path", ["/v1/batches", "/v1/chat/completions/x", "/", "/v1/models/x:predict"]
)
def test_a_path_that_is_not_known_leads_nowhere(path: str) -> None:
    found = DIRECTORY.of("api.openai.com")
    assert found is not None
    assert found.endpoint("POST", path) is None


@pytest.mark.parametrize(
    ("format", "body", "path", "stream"),
    [
        ("ollama", {"prompt": "x"}, "/api/generate", True),
        ("ollama", {"prompt": "x", "stream": False}, "/api/generate", False),
        ("gemini", {"contents": []}, "/v1beta/models/m:streamgeneratecontent", True),
        ("gemini", {"contents": []}, "/v1beta/models/m:generatecontent", False),
        ("bedrock-converse", {"messages": []}, "/model/m/converse-stream", True),
        ("openai-chat", {"messages": []}, "/v1/chat/completions", False),
    ],
)
def test_whether_an_answer_will_stream_is_known(
    format: str, body: dict[str, Any], path: str, stream: bool
) -> None:
    assert call(format, body, path).stream is stream


@pytest.mark.parametrize("format", ["completions", "embeddings"])
@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_words_written_as_tokens_cannot_be_read(format: str, tokens: Any) -> None:
    assert call(format, {"model": "m", "prompt": tokens}).unreadable == ("opaque",)


def test_the_model_in_the_path_counts_where_the_body_names_none() -> None:
    assert call("gemini", {"contents": []}, model="gemini-3").model == "gemini-3"
    assert (
        call("openai-chat", {"messages": [], "model": "m"}, model="deployment").model
        == "m"
    )


KEYS = [
    "role",
    "content",
    "type",
    "text",
    "source",
    "data",
    "url",
    "tool_calls",
    "x",
    "messages",
    "parts",
    "toolUse",
    "name",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["user", "tool", "text", "image", "data:x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=15,
)
TOPS = sorted(
    {
        key
        for format in FORMATS.values()
        if isinstance(format, JsonFormat)
        for key in format.needs
    }
    | {"tools", "system", "systemInstruction"}
)
WANTED = st.lists(JSON, min_size=1, max_size=3)
DOCUMENT = st.dictionaries(
    st.sampled_from(TOPS) | st.text(max_size=5), JSON, max_size=4
)


@pytest.mark.parametrize("format", EVERY)
@examples(60)
@given(document=DOCUMENT, wanted=WANTED)
def test_every_string_of_a_call_is_a_part_or_named_unreadable(
    format: JsonFormat, document: dict[str, Any], wanted: Any
) -> None:
    document = {**document, format.needs[0]: wanted}
    read = format.read_call(json.dumps(document).encode(), "/", "")
    assert isinstance(read, Call)
    texts = {part.text for part in read.parts}
    for leaf in strings(document):
        assert leaf in texts or leaf in ROLES or read.unreadable, leaf


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else ()
    )
    return [leaf for item in inner for leaf in strings(item)]


@pytest.mark.parametrize("format", EVERY)
@examples(60)
@given(document=DOCUMENT, wanted=WANTED)
def test_a_parts_literal_is_where_its_text_stands_in_the_body(
    format: JsonFormat, document: dict[str, Any], wanted: Any
) -> None:
    document = {**document, format.needs[0]: wanted}
    body = json.dumps({**document, "n": -1.5e3, "big": 10**30})
    read = format.read_call(body.encode(), "/", "")
    assert isinstance(read, Call)
    written = [body[start:end] for start, end in literals(body)]
    for part in read.parts:
        raw = written[part.literal]
        assert (json.loads(raw) if raw.startswith('"') else raw) == part.text


@pytest.mark.parametrize("format", EVERY)
@examples(60)
@given(
    body=st.binary(max_size=100)
    | (JSON | DOCUMENT).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_give_a_call_or_a_reason(format: Format, body: bytes) -> None:
    assert isinstance(format.read_call(body, "/", ""), Call | Unreadable)


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
        (b'{"prompt": "x"}', "opaque"),
        (b"[]", "opaque"),
    ],
)
def test_hostile_bodies_have_a_stated_reason(body: bytes, reason: str) -> None:
    assert CHAT.read_call(body, "/", "") == Unreadable(reason)


def test_a_huge_number_is_a_part_and_no_error() -> None:
    read = CHAT.read_call(b'{"messages": [' + b"9" * 10_000 + b"]}", "/", "")
    assert isinstance(read, Call)
    assert read.parts[-1] == Part("9" * 10_000, "other", "field", 1)


@pytest.mark.parametrize(
    "host", ["api.openai.com", "API.OpenAI.com", "api.openai.com."]
)
def test_a_hosts_provider_is_found_however_it_is_written(host: str) -> None:
    found = DIRECTORY.of(host)
    assert found is not None
    assert found.name == "openai"


@pytest.mark.parametrize(
    "host",
    [
        "openai.com",
        "api.openai.com.evil.example",
        "xapi.openai.com",
        "",
        "1.2.3.4",
        "openai.azure.com",
        "a.openai.azure.com.evil.example",
    ],
)
def test_other_hosts_have_none(host: str) -> None:
    assert DIRECTORY.of(host) is None


MINE = """
sets: {mine: {/ask: completions}}
providers:
  house: {hosts: [llm.house.example, "*.llm.example"], refusal: mistral, paths: {/v1: openai, /v2: mine}}
  groq: {hosts: [groq.house.example], paths: {/v1: openai}}
"""


def test_an_operators_list_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    directory = Directory(tmp_path / "mine.yaml")
    house = directory.of("a.llm.example")
    assert house is not None
    assert (house.name, house.endpoint("POST", "/v2/ask").format.name) == (
        "house",
        "completions",
    )  # type: ignore[union-attr]
    assert directory.of("api.groq.com") is None
    assert directory.of("api.openai.com") is not None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("providers: {x: {hosts: [HOST.example]}}", "`HOST.example` is not a host"),
        ("providers: {x: {hosts: ['*.com']}}", "`*.com` is not a host"),
        (
            "providers: {x: {hosts: [a.example], paths: {/v1: opanai}}}",
            "there is no set `opanai`",
        ),
        (
            "providers: {x: {hosts: [a.example], refusal: rude}}",
            "there is no refusal `rude`",
        ),
        (
            "sets: {s: {/x: yaml}}\nproviders: {x: {hosts: [a.example], paths: {'': s}}}",
            "there is no format `yaml`",
        ),
        ("providers: {x: {hosts: [a.example], pathes: {}}}", "unknown field `pathes`"),
        ("providers: [", "is not YAML"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(
    tmp_path: Path, written: str, said: str
) -> None:
    (tmp_path / "mine.yaml").write_text(written)
    with pytest.raises(BadProviders, match=said.replace("*", r"\*")):
        Directory(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, (3, 4)),
        (
            {
                "type": "response.completed",
                "response": {"usage": {"input_tokens": 3, "output_tokens": 4}},
            },
            (3, 4),
        ),
        (
            {
                "type": "message_start",
                "message": {"usage": {"input_tokens": 3, "output_tokens": 1}},
            },
            (3, 1),
        ),
        ({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}}, (3, 4)),
        (
            [
                {"usageMetadata": {"promptTokenCount": 3}},
                {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}},
            ],
            (3, 4),
        ),
        (
            {
                "response": {
                    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}
                }
            },
            (3, 4),
        ),
        ({"metadata": {"usage": {"inputTokens": 3, "outputTokens": 4}}}, (3, 4)),
        (
            {
                "usage": {
                    "billed_units": {"input_tokens": 9},
                    "tokens": {"input_tokens": 3, "output_tokens": 4},
                }
            },
            (3, 4),
        ),
        (
            {
                "type": "message-end",
                "delta": {"usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}}},
            },
            (3, 4),
        ),
        ({"meta": {"tokens": {"input_tokens": 3, "output_tokens": 4}}}, (3, 4)),
        ({"done": True, "prompt_eval_count": 3, "eval_count": 4}, (3, 4)),
        ({"usage": None}, (None, None)),
        ({"usage": {"prompt_tokens": "x", "completion_tokens": -1}}, (None, None)),
        ({"usage": {"prompt_tokens": True, "completion_tokens": 2**60}}, (None, None)),
        ("words", (None, None)),
    ],
)
def test_tokens_are_counted_in_every_shape(
    message: Any, counts: tuple[int | None, int | None]
) -> None:
    usage = Usage()
    usage.read(message)
    assert (usage.input_tokens, usage.output_tokens) == counts


def test_the_root_of_a_host_is_a_path(tmp_path: Path) -> None:
    """Tools that are served at the root were an unknown path, which `strict` refuses."""
    (tmp_path / "mine.yaml").write_text(
        "providers: {tools: {hosts: [tools.example], paths: {'': mcp}}}"
    )
    tools = Directory(tmp_path / "mine.yaml").of("tools.example")
    assert tools is not None
    endpoint = tools.endpoint("POST", canonical("/"))
    assert endpoint is not None and endpoint.format.name == "mcp"


@pytest.mark.parametrize(
    ("unread", "passing", "refused"),
    [
        ("[/dictation, '/tools/{}']", ["/dictation", "/tools/7"], ["/", "/tools/7/x"]),
        ("['*']", ["/", "/anything/else"], []),
        ("[]", [], ["/", "/dictation"]),
    ],
)
def test_an_operator_says_which_sockets_pass_unread(
    tmp_path: Path, unread: str, passing: list[str], refused: list[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(
        f"providers: {{x: {{hosts: [x.example], paths: {{/v1: openai}}, unread: {unread}}}}}"
    )
    provider = Directory(tmp_path / "mine.yaml").of("x.example")
    assert provider is not None
    assert [path for path in passing if not provider.passes_unread(path)] == []
    assert [path for path in refused if provider.passes_unread(path)] == []


def test_claude_codes_own_sockets_are_named() -> None:
    anthropic = Directory().of("api.anthropic.com")
    assert anthropic is not None
    for path in (
        "/api/ws/speech_to_text/voice_stream",
        "/v2/session_ingress/mcp/ws/a1",
    ):
        assert anthropic.passes_unread(path)
    assert not anthropic.passes_unread("/v1/messages")
