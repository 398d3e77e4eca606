"""OpenAI's formats (platform.openai.com/docs/api-reference), which many other providers
use, too.
"""

from collections.abc import Mapping
from typing import Any

from addons.providers.chat import VOCABULARY, chat
from addons.providers.error_formats import FAMILIES
from addons.providers.json_call import JsonFormat
from addons.providers.places import (
    FIELD,
    LEAST_OF_PIECE,
    Placed,
    media_in,
    role_of,
    text_of,
    tool_name,
)
from addons.providers.signed import in_input
from rules.exchange import Unreadable
from rules.leaves import Leaf

# Keys under which bytes stand in base64, and what the bytes are.
ITEM_BYTES = {
    "image_url": "image",
    "file_data": "document",
    "data": "audio",
    "result": "image",
    "screenshot": "image",
}


def _responses(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path = leaf.path
    if path[0] == "instructions":
        return "system", "text"
    if path[0] == "tools":
        return "system", "tool_definition", tool_name(leaf.around)
    if path[0] not in ("input", "items"):
        return FIELD
    if len(path) < 3:
        return "user", "text"
    item = leaf.around[2]
    kind = text_of(item, "type")
    reason = ITEM_BYTES.get(str(path[-1]))
    if reason and (found := media_in(leaf.text, reason)):
        return found
    if path[-1] == "type":
        return role_of(item), "field"
    if kind.endswith("_output"):
        return "tool", "tool_result", text_of(item, "call_id")
    if kind.endswith(("_call", "_request")):
        return "assistant", "tool_call", tool_name((item,))
    if kind == "reasoning":
        return "assistant", "text" if path[-1] == "text" else "field"
    return role_of(item), "text" if path[2] == "content" else "field"


def _socket(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    """A message of the Responses API over a WebSocket: the call itself, or one that
    holds it.
    """
    if leaf.path[0] == "response" and len(leaf.path) > 1:
        return _responses(
            document["response"],
            leaf._replace(path=leaf.path[1:], around=leaf.around[1:]),
        )
    return _responses(document, leaf)


def _realtime(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    """An event of a client: settings of the session or a response, an item of the
    conversation, or audio.
    """
    path, around = leaf.path, leaf.around
    if path[0] in ("session", "response") and len(path) > 1:
        return _responses(
            document[path[0]], leaf._replace(path=path[1:], around=around[1:])
        )
    if path[0] == "item" and len(path) > 1:
        return _responses(
            document,
            leaf._replace(
                path=("input", 0, *path[1:]),
                around=(document, [document["item"]], *around[1:]),
            ),
        )
    found = media_in(leaf.text, "audio", LEAST_OF_PIECE) if path[0] == "audio" else None
    return found or FIELD


def _said(*keys: str) -> Any:
    """A classifier of calls whose texts stand directly under these keys."""

    def classify(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
        if leaf.path[0] not in keys:
            return (
                ("system", "text")
                if leaf.path[0] in ("instructions", "system", "preamble")
                else FIELD
            )
        if leaf.path[-1] in ("url", "image", "image_url") and (
            found := media_in(leaf.text, "image")
        ):
            return found
        return "user", "field" if leaf.path[-1] == "type" else "text"

    return classify


SOCKETS = VOCABULARY | frozenset(
    """
    session item event_id response generate previous_item_id content_index audio_end_ms turn_detection input_audio_format
    output_audio_format input_audio_transcription input_audio_noise_reduction max_response_output_tokens output_modalities transcript
    threshold prefix_padding_ms silence_duration_ms create_response interrupt_response eagerness language rate client_secret tracing
    """.split()  # noqa: SIM905
)
PROMPTS = (
    "prompt",
    "suffix",
    "input",
    "texts",
    "inputs",
    "query",
    "documents",
    "images",
    "examples",
)
FORMATS = (
    JsonFormat("openai-chat", VOCABULARY, chat, needs=("messages",), plain="messages"),
    JsonFormat(
        "openai-responses",
        VOCABULARY,
        _responses,
        needs=("input", "prompt", "items", "instructions", "previous_response_id"),
        family=FAMILIES["openai-responses"],
        signed=in_input,
    ),
    JsonFormat(
        "completions",
        VOCABULARY,
        _said(*PROMPTS),
        needs=("prompt",),
        tokens=("prompt",),
    ),
    JsonFormat(
        "embeddings",
        VOCABULARY,
        _said(*PROMPTS),
        needs=(*PROMPTS, "content"),
        tokens=("input", "prompt"),
    ),
    JsonFormat("images", VOCABULARY, _said("prompt"), needs=("prompt",)),
    JsonFormat(
        "speech", VOCABULARY, _said("input"), needs=("input",), streams_text=False
    ),
    JsonFormat("files", VOCABULARY, _said(*PROMPTS), needs=("file", "purpose", "data")),
    JsonFormat(
        "openai-socket",
        SOCKETS,
        _socket,
        needs=("type",),
        family=FAMILIES["openai-responses"],
        signed=in_input,
    ),
    JsonFormat(
        "openai-realtime",
        SOCKETS,
        _realtime,
        needs=("type",),
        family=FAMILIES["realtime"],
    ),
)
