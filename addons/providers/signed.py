"""Texts that a provider bound to a signature, and refuses once they are edited.

    Anthropic   {"type": "thinking", "thinking": …, "signature": …}, redacted_thinking
    Bedrock     {"reasoningContent": {"reasoningText": {"text": …, "signature": …}}}
    Gemini      any part with a `thoughtSignature`, its function call included
    OpenAI      the `encrypted_content` of reasoning and of compaction

In a call they count only in the provider's own place, in a message of the assistant; in
an answer by their shape, since a stream's signature follows its text.
"""

from typing import Any

from addons.providers.places import role_of, text_of
from rules.leaves import Leaf

PENDING = "pending"  # a streamed text whose signature is still to come
BLOBS = ("encrypted_content", "redactedContent")
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


def in_answer(leaf: Leaf) -> str:
    """The signature of a text in an answer, whole or a stream's event: PENDING where it
    is still to come, empty where there is none.
    """
    inner = leaf.around[-1] if leaf.around else None
    key = leaf.path[-1] if leaf.path else ""
    if type(inner) is dict and not leaf.is_key:
        if key in BLOBS:
            return leaf.text
        kind = text_of(inner, "type")
        if kind == "thinking_delta" and key == "thinking":
            return PENDING
        if kind == "signature_delta" and key == "signature":
            return leaf.text
        if kind in ("thinking", "redacted_thinking"):
            own = key in ("thinking", "signature", "data")
            return _of_block(inner, key) or (PENDING if own else "")
        if "reasoningContent" in leaf.path and key in ("text", "signature"):
            return text_of(inner, "signature") or PENDING
    return next(filter(None, map(_of_part, leaf.around)), "")


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
