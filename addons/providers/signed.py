"""Texts that a provider bound to a signature, and refuses once they are edited.

    Anthropic   {"type": "thinking", "thinking": …, "signature": …}, redacted_thinking
    Bedrock     {"reasoningContent": {"reasoningText": {"text": …, "signature": …}}}
    Gemini      any part with a `thoughtSignature`, its function call included
    OpenAI      the `encrypted_content` of reasoning and of compaction

They count only in the provider's own place: in a call, in a message of the assistant.
"""

from collections.abc import Sequence
from typing import Any

from addons.providers.places import role_of, text_of
from rules.leaves import Leaf, Path

PENDING = "pending"  # a streamed text whose signature is still to come
GEMINI = ("thoughtSignature", "thought_signature")


def in_messages(leaf: Leaf) -> str:
    """The signature of a text in Anthropic's messages; empty where there is none."""
    path, around = leaf.path, leaf.around
    if len(path) != 5 or path[0] != "messages" or path[2] != "content":
        return ""
    return _of_block(around[4], path[4]) if _is_assistant(around[2]) else ""


def in_batches(leaf: Leaf) -> str:
    """The same in a batch of them."""
    return in_messages(leaf._replace(path=leaf.path[3:], around=leaf.around[3:]))


def in_converse(leaf: Leaf) -> str:
    """The signature of a text in Bedrock's messages; empty where there is none."""
    path, around = leaf.path, leaf.around
    if path[0] != "messages" or len(path) < 6 or path[2] != "content":
        return ""
    if path[4] != "reasoningContent" or not _is_assistant(around[2]):
        return ""
    if path[5:] == ("redactedContent",):
        return leaf.text
    if path[5:] in (("reasoningText", "text"), ("reasoningText", "signature")):
        return text_of(around[6], "signature")
    return ""


def in_contents(leaf: Leaf) -> str:
    """The signature of what stands in a part of Gemini's; empty where there is none."""
    at = 1 if leaf.path[0] == "request" else 0
    path, around = leaf.path[at:], leaf.around[at:]
    if len(path) < 5 or path[0] != "contents" or path[2] != "parts":
        return ""
    return _of_part(around[4]) if _is_assistant(around[2]) else ""


def in_input(leaf: Leaf) -> str:
    """The encrypted content of an item of OpenAI's responses; empty elsewhere."""
    at = 1 if leaf.path[0] == "response" else 0
    path, around = leaf.path[at:], leaf.around[at:]
    if len(path) != 3 or path[0] != "input" or path[2] != "encrypted_content":
        return ""
    own = text_of(around[2], "type") in ("reasoning", "compaction")
    return leaf.text if own else ""


def in_answer(leaf: Leaf, *, streams: bool) -> str:
    """The signature of a text in an answer: a whole one, or (`streams`) an event.

    PENDING where a stream's signature is still to come, empty where there is none. Only at
    the provider's own places, which no argument of a tool can stand at.
    """
    path, around = leaf.path, leaf.around
    if not path:
        return ""
    pending = PENDING if streams else ""
    for place in PLACES:
        rest = _behind(path, place)
        if rest is not None:
            block = around[len(path) - len(rest)]
            return _in_block(block, rest, leaf, around, pending)
    for place in ITEMS:
        if _behind(path, place) == ("encrypted_content",):
            return leaf.text
    for place in PARTS:
        rest = _behind(path, place)
        if rest is not None:
            return _of_part(around[len(path) - len(rest)])
    return ""


# Where a block of Anthropic's or Bedrock's stands (a number is any), an item of OpenAI's, and a
# part of Gemini's, also behind the Gemini CLI's login.
PLACES: tuple[Path, ...] = (
    ("content", 0),
    ("message", "content", 0),
    ("content_block",),
    ("delta",),
    ("output", "message", "content", 0),
    ("contentBlockDelta", "delta"),
)
ITEMS: tuple[Path, ...] = (("output", 0), ("item",), ("response", "output", 0))
_PART: Path = ("candidates", 0, "content", "parts", 0)
PARTS: tuple[Path, ...] = (_PART, ("response", *_PART), (0, *_PART))


def _behind(path: Path, place: Path) -> Path | None:
    """What follows of a path behind a place; None where it does not begin so, or ends there."""
    if len(path) <= len(place):
        return None
    for key, wanted in zip(path, place, strict=False):
        if key != wanted and not (type(key) is int and type(wanted) is int):
            return None
    return path[len(place) :]


def _in_block(
    block: Any, rest: Path, leaf: Leaf, around: Sequence[Any], pending: str
) -> str:
    """The signature of a text in a block, which stands at `rest` in it."""
    kind = text_of(block, "type")
    if len(rest) == 1:
        if kind == "thinking_delta" and rest == ("thinking",):
            return pending
        if kind == "signature_delta" and rest == ("signature",):
            return leaf.text
        if kind in ("thinking", "redacted_thinking"):
            own = rest[0] in ("thinking", "signature", "data")
            return _of_block(block, rest[0]) or (pending if own else "")
    if rest[0] == "reasoningContent" and len(rest) in (2, 3):
        inner, key = around[-1], rest[-1]
        if rest[1:] == ("redactedContent",):
            return leaf.text
        if rest[1:] in (("text",), ("signature",)):
            return text_of(inner, "signature") or pending
        if rest[1] == "reasoningText" and key in ("text", "signature"):
            return text_of(inner, "signature") or pending
    return ""


def _of_block(block: Any, key: Any) -> str:
    kind = text_of(block, "type")
    if kind == "thinking" and key in ("thinking", "signature"):
        return text_of(block, "signature")
    return (
        text_of(block, "data") if kind == "redacted_thinking" and key == "data" else ""
    )


def _of_part(part: Any) -> str:
    return text_of(part, GEMINI[0]) or text_of(part, GEMINI[1])


def _is_assistant(message: Any) -> bool:
    return role_of(message) == "assistant"
