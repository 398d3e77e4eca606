"""Every cell of the table in docs/providers.md: format x whole or streamed x what is found x HTTP version x encoding."""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import brotli
import zstandard

from cli.pretend import Given
from tests.support.streams import SHAPES

KEY = "AKIAQYLPMN5HHHFPZAM2"
PLAIN = (["Hello", " there", ", all is", " well. "], ['{"path": "/tmp', '/x"}'])
FOUND = (["The key is AKI", "AQYLPMN5", "HHHFPZAM2", ", keep it."], ['{"command": "echo AKIAQY', 'LPMN5HHHFPZAM2"}'])
WIPE = (["I will", " clean up. "], ['{"command": "rm -', "rf /", '"}'])
CASES = {"allow": PLAIN, "redact": FOUND, "block": WIPE}
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "br": lambda data: brotli.compress(data),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
VERSIONS = ("h1", "h2")
HOW = ("whole", "streamed")


class Cell(NamedTuple):
    """One combination."""

    shape: str
    how: str
    case: str
    version: str
    encoding: str


def cells(shape: str, how: str) -> Iterator[Cell]:
    """All cells of one shape."""
    return (Cell(shape, how, *rest) for rest in product(CASES, VERSIONS, ENCODINGS))


def given(cell: Cell) -> Given:
    """What the pretend provider answers; streams in small pieces."""
    text, call = CASES[cell.case]
    shape = SHAPES[cell.shape]
    if cell.how == "whole":
        body, content_type = json.dumps(whole(cell.shape, "".join(text), json.loads("".join(call)))).encode(), "application/json"
    else:
        body, content_type = b"".join(shape.made(text, call)), shape.content_type
    sent = ENCODINGS[cell.encoding](body)
    step = 97 if cell.how == "streamed" else len(sent)
    encoding = "" if cell.encoding == "identity" else cell.encoding
    return Given(content_type, [sent[at : at + step] for at in range(0, len(sent), step)], encoding)


def whole(shape: str, text: str, call: dict[str, Any]) -> Any:
    """A whole answer of a text and a tool call."""
    written = json.dumps(call)
    function = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": written}}
    match shape:
        case "openai-chat" | "mistral-chat":
            return {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "tool_calls": [function]}}]}
        case "openai-responses":
            said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
            return {"id": "x", "output": [said, {"type": "function_call", "name": "shell", "call_id": "c1", "arguments": written}]}
        case "anthropic-messages" | "bedrock-invoke":
            return {"content": [{"type": "text", "text": text}, {"type": "tool_use", "id": "t", "name": "shell", "input": call}]}
        case "gemini-sse" | "gemini-array":
            parts = [{"text": text}, {"functionCall": {"name": "shell", "args": call}}]
            return {"candidates": [{"content": {"parts": parts, "role": "model"}}]}
        case "bedrock-converse":
            blocks = [{"text": text}, {"toolUse": {"toolUseId": "t", "name": "shell", "input": call}}]
            return {"output": {"message": {"role": "assistant", "content": blocks}}}
        case "cohere-chat":
            return {"id": "x", "message": {"role": "assistant", "content": [{"type": "text", "text": text}], "tool_calls": [function]}}
        case _:
            return {"message": {"role": "assistant", "content": text, "tool_calls": [{"function": {"name": "shell", "arguments": call}}]}}


def url_of(cell: Cell) -> str:
    """Where such a call goes."""
    url = SHAPES[cell.shape].url
    if cell.how == "streamed":
        return url
    whole_path = url.replace("streamGenerateContent", "generateContent").replace("?alt=sse", "")
    return whole_path.replace("converse-stream", "converse").replace("invoke-with-response-stream", "invoke")


def call_of(cell: Cell) -> bytes:
    """Such a call."""
    call = SHAPES[cell.shape].call
    return json.dumps({**call, "stream": cell.how == "streamed"} if "stream" in call or cell.shape == "ollama" else call).encode()


def table(seen: dict[tuple[str, str], int]) -> str:
    """The table in docs/providers.md, of how many cells held."""
    every = len(CASES) * len(VERSIONS) * len(ENCODINGS)
    lines = ["| format | whole | streamed |", "|---|---|---|"]
    lines += [f"| {shape} | " + " | ".join(f"{seen[shape, how]} of {every}" for how in HOW) + " |" for shape in SHAPES]
    return "\n".join(lines)
