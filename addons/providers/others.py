"""Formats of single providers: Cohere's chats, Ollama's two, Hugging Face's inference."""

from collections.abc import Mapping
from typing import Any

from addons.providers.chat import VOCABULARY as OPENAI
from addons.providers.chat import chat
from addons.providers.json_call import JsonFormat
from addons.providers.places import FIELD, Placed, media_in, text_of, tool_name
from rules.exchange import Role, Unreadable
from rules.leaves import Leaf

COHERE = OPENAI | frozenset(
    """
    message chat_history preamble documents tool_results call outputs citation_options connectors search_queries_only
    conversation_id prompt_truncation p k safety_mode parameter_definitions raw_prompting max_input_tokens force_single_step
    """.split()  # noqa: SIM905
)
OLLAMA = OPENAI | frozenset(
    """
    options keep_alive template raw context images format think num_ctx num_predict thinking system
    """.split()  # noqa: SIM905
)
HUGGINGFACE = frozenset(
    """
    inputs parameters options max_new_tokens return_full_text question context past_user_inputs generated_responses text
    source_sentence sentences table query candidate_labels wait_for_model use_cache stream
    """.split()  # noqa: SIM905
)
SPEAKERS: dict[str, Role] = {
    "user": "user",
    "chatbot": "assistant",
    "system": "system",
    "tool": "tool",
}


def _cohere_v1(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path, around = leaf.path, leaf.around
    if path[0] in ("message", "documents"):
        return "user", "text"
    if path[0] == "preamble":
        return "system", "text"
    if path[0] == "tools":
        return "system", "tool_definition", tool_name(around)
    if path[0] == "tool_results":
        return "tool", "tool_result", ""
    if path[0] != "chat_history" or len(path) < 3:
        return FIELD
    role = SPEAKERS.get(text_of(around[2], "role").lower(), "other")
    if path[2] == "tool_calls":
        return role, "tool_call", tool_name(around[3:])
    return (
        (role, "tool_result", "")
        if role == "tool"
        else (role, "text" if path[2] == "message" else "field")
    )


def _ollama(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path = leaf.path
    if "images" in path and (found := media_in(leaf.text, "image")):
        return found
    if path[0] in ("prompt", "suffix"):
        return "user", "text"
    if path[0] in ("system", "template"):
        return "system", "text"
    return chat(document, leaf)


def _huggingface(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    return ("user", "text") if leaf.path[0] == "inputs" else FIELD


FORMATS = (
    JsonFormat("cohere-chat", COHERE, chat, needs=("messages",), plain="messages"),
    JsonFormat("cohere-v1-chat", COHERE, _cohere_v1, needs=("message",)),
    JsonFormat(
        "ollama",
        OLLAMA,
        _ollama,
        needs=("messages", "prompt"),
        plain="messages",
        tokens=("context",),
        streams=lambda document, _: document.get("stream") is not False,
    ),
    JsonFormat("huggingface", HUGGINGFACE, _huggingface, needs=("inputs",)),
)
