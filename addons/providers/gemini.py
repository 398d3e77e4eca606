"""Google's generateContent and related calls (ai.google.dev/api), on Gemini's hosts, on
Vertex, and behind the Gemini CLI's login.
"""

from collections.abc import Mapping
from typing import Any

from addons.providers.error_formats import FAMILIES
from addons.providers.json_call import JsonFormat
from addons.providers.places import (
    FIELD,
    LEAST,
    LEAST_OF_PIECE,
    Placed,
    media_in,
    reason_of,
    role_of,
    text_of,
    tool_name,
)
from addons.providers.signed import in_contents
from rules.exchange import Unreadable
from rules.leaves import Leaf
from rules.restore.paths import source_of

VOCABULARY = frozenset(
    """
    contents parts text role systemInstruction system_instruction tools functionDeclarations function_declarations name description
    parameters parametersJsonSchema functionCall function_call functionResponse function_response args response id inlineData
    inline_data data mimeType mime_type fileData file_data fileUri file_uri generationConfig generation_config temperature topP topK
    maxOutputTokens candidateCount stopSequences responseMimeType responseSchema responseJsonSchema thinkingConfig thinkingBudget
    includeThoughts thought thoughtSignature toolConfig tool_config functionCallingConfig mode allowedFunctionNames safetySettings
    safety_settings category threshold cachedContent content requests model taskType title outputDimensionality instances prompt
    parameters sampleCount request project user_prompt_id session_id generateContentRequest properties required items enum type
    executableCode codeExecutionResult code language outcome output googleSearch urlContext codeExecution labels ttl displayName
    """.split()  # noqa: SIM905
)
SYSTEM = ("systemInstruction", "system_instruction")
CALLS = ("functionCall", "function_call", "executableCode")
RESULTS = ("functionResponse", "function_response", "codeExecutionResult")
INLINE = ("inlineData", "inline_data")


def _classify(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path, around = leaf.path, leaf.around
    if any(key in path for key in SYSTEM):
        return "system", "text"
    if "tools" in path:
        return "system", "tool_definition", tool_name(around)
    if path[-1] == "bytesBase64Encoded" or (
        path[-1] == "data" and path[-2:-1] and path[-2] in INLINE
    ):
        found = media_in(leaf.text, reason_of(_mime(around[-1]) or "image/png"))
        if found:
            return found
    if path[0] == "instances":
        return "user", "text"
    if "parts" not in path:
        return (
            ("user", "text")
            if path in (("contents",), ("content",))
            or (len(path) == 2 and path[0] == "contents")
            else FIELD
        )
    at = path.index("parts")
    role = role_of(around[at], "user")
    if any(key in path[at:] for key in CALLS):
        return "assistant", "tool_call", tool_name(around[at:])
    if any(key in path[at:] for key in RESULTS):
        return "tool", "tool_result", tool_name(around[at:])
    return role, "text" if path[-1] == "text" else "field"


def _mime(container: Any) -> str:
    return text_of(container, "mimeType") or text_of(container, "mime_type")


def _files(document: Mapping[str, Any]) -> dict[int, str]:
    """The files whose content results show, by the identity of the result's object.

    A result belongs to the call of its id, or to the next one of its name.
    """
    request = document.get("request")
    contents = (request if isinstance(request, dict) else document).get("contents")
    waiting: dict[str, list[str]] = {}  # paths by an id or a name
    files: dict[int, str] = {}
    for content in contents if isinstance(contents, list) else ():
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            for key in part if isinstance(part, dict) else ():
                inner = part[key]
                name = text_of(inner, "id") or text_of(inner, "name")
                if key in CALLS and name:
                    path = source_of(text_of(inner, "name"), inner.get("args"))
                    waiting.setdefault(name, []).append(path)
                elif key in RESULTS and waiting.get(name):
                    files[id(inner)] = waiting[name].pop(0)
    return files


def _live(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    """A message of the live API: set-up, turns, real-time input, or results of tools."""
    path = leaf.path
    if path[0] in ("toolResponse", "tool_response"):
        return "tool", "tool_result", tool_name(leaf.around)
    if path[0] in ("realtimeInput", "realtime_input"):
        reason = reason_of(_mime(leaf.around[-1]) or "audio/pcm")
        least = LEAST_OF_PIECE if reason == "audio" else LEAST
        if path[-1] == "data" and (found := media_in(leaf.text, reason, least)):
            return found
        return "user", "text" if path[-1] == "text" else "field"
    return _classify(document, leaf)


LIVE = VOCABULARY | frozenset(
    """
    setup clientContent client_content turns turnComplete turn_complete realtimeInput realtime_input mediaChunks media_chunks audio
    video audioStreamEnd activityStart activityEnd toolResponse tool_response functionResponses function_responses
    sessionResumption contextWindowCompression inputAudioTranscription outputAudioTranscription realtimeInputConfig proactivity
    responseModalities speechConfig voiceConfig prebuiltVoiceConfig voiceName languageCode handle
    """.split()  # noqa: SIM905
)
MESSAGES = (
    "setup",
    "clientContent",
    "client_content",
    "realtimeInput",
    "realtime_input",
    "toolResponse",
    "tool_response",
)
FORMATS = (
    JsonFormat(
        "gemini-live",
        LIVE,
        _live,
        needs=MESSAGES,
        family=FAMILIES["gemini-live"],
        named_results=True,
    ),
    JsonFormat(
        "gemini",
        VOCABULARY,
        _classify,
        needs=(
            "contents",
            "content",
            "requests",
            "request",
            "instances",
            "generateContentRequest",
        ),
        family=FAMILIES["gemini"],
        streams=lambda document, path: "stream" in path,
        named_results=True,
        grows=True,
        signed=in_contents,
        files=_files,
        results=RESULTS,
    ),
)
