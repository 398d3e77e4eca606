"""Amazon Bedrock's converse, and invoke with the body of the model family that it
names.
"""

from collections.abc import Mapping
from typing import Any

from addons.providers.error_formats import FAMILIES
from addons.providers.json_call import JsonFormat
from addons.providers.places import (
    FIELD,
    Placed,
    media_in,
    role_of,
    text_of,
    tool_name,
)
from addons.providers.signed import in_converse, in_messages
from rules.exchange import Unreadable
from rules.leaves import Leaf

VOCABULARY = frozenset(
    """
    messages role content text system toolUse toolUseId name input toolResult json status toolConfig tools toolSpec description
    inputSchema toolChoice image format source bytes document video s3Location uri inferenceConfig maxTokens temperature topP
    stopSequences additionalModelRequestFields guardrailConfig guardContent cachePoint type reasoningContent reasoningText signature
    anthropic_version anthropic_beta max_tokens prompt inputText textGenerationConfig max_gen_len top_p top_k stop_sequences
    message chat_history tools input_schema properties required items enum tool_use_id id data media_type cache_control
    inputText inputImage texts input_type taskType textToImageParams negativeText schemaVersion
    """.split()  # noqa: SIM905
)
MEDIA = {"image": "image", "video": "image", "document": "document", "audio": "audio"}
PROMPTS = (
    "prompt",
    "inputText",
    "message",
    "texts",
    "query",
    "documents",
    "inputs",
    "textToImageParams",
)


def _converse(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path, around = leaf.path, leaf.around
    if path[0] == "system":
        return "system", "text"
    if path[0] == "toolConfig":
        return "system", "tool_definition", tool_name(around)
    if path[0] != "messages" or len(path) < 3:
        return FIELD
    role = role_of(around[2])
    reason = next((MEDIA[str(key)] for key in path if key in MEDIA), "document")
    if path[-2:] == ("source", "bytes") and (found := media_in(leaf.text, reason)):
        return found
    if "toolUse" in path:
        return role, "tool_call", tool_name(around)
    if "toolResult" in path:
        at = path.index("toolResult")
        return (
            "tool",
            "tool_result",
            text_of(around[at + 1], "toolUseId") if len(around) > at + 1 else "",
        )
    return role, "text" if path[2] == "content" else "field"


def _invoke(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    """Anthropic's messages, Nova's converse, or a prompt under the key of the model's
    family.
    """
    path, around = leaf.path, leaf.around
    if path[0] in PROMPTS:
        return "user", "text"
    if path[0] in ("system", "tools"):
        return (
            ("system", "text")
            if path[0] == "system"
            else ("system", "tool_definition", tool_name(around))
        )
    if path[0] not in ("messages", "chat_history") or len(path) < 3:
        return FIELD
    if (
        path[-1] in ("data", "bytes")
        and len(path) > 2
        and path[-2] == "source"
        and (found := media_in(leaf.text, _reason(around[-2])))
    ):
        return found
    role = role_of(around[2])
    types = {text_of(block, "type") for block in around[3:]}
    if "toolUse" in path or "tool_use" in types:
        return role, "tool_call", tool_name(around[2:])
    if "toolResult" in path or "tool_result" in types:
        return "tool", "tool_result", ""
    return role, "text" if path[2] in ("content", "message") and path[
        -1
    ] != "type" else "field"


def _reason(block: Any) -> str:
    return "document" if "document" in str(block)[:200] else "image"


def _streams(document: Mapping[str, Any], path: str) -> bool:
    return "stream" in path


FORMATS = (
    JsonFormat(
        "bedrock-converse",
        VOCABULARY,
        _converse,
        needs=("messages", "system"),
        family=FAMILIES["bedrock"],
        signed=in_converse,
        streams=_streams,
    ),
    JsonFormat(
        "bedrock-invoke",
        VOCABULARY,
        _invoke,
        needs=("messages", *PROMPTS),
        family=FAMILIES["bedrock"],
        signed=in_messages,
        streams=_streams,
    ),
)
