"""OpenAI's chat, which many other providers have, too: its keys, and where its texts stand."""

from collections.abc import Mapping
from typing import Any

from addons.providers.places import (
    FIELD,
    Placed,
    media_in,
    role_of,
    text_of,
    tool_name,
)
from rules.exchange import Unreadable
from rules.leaves import Leaf

# Keys of the API itself. Any other key is text that somebody chose, and is judged.
VOCABULARY = frozenset(
    """
    model messages role content type text name stream tool_calls tool_call_id id function arguments tools tool_choice description
    parameters image_url url detail input_audio data format file file_id file_data filename refusal temperature top_p n stop
    max_tokens max_completion_tokens presence_penalty frequency_penalty logit_bias logprobs top_logprobs user seed response_format
    json_schema schema strict stream_options include_usage parallel_tool_calls service_tier store metadata reasoning_effort
    modalities audio prediction function_call functions properties required additionalProperties items enum
    instructions input output summary encrypted_content call_id status action reasoning effort include truncation
    previous_response_id max_output_tokens max_tool_calls prompt_cache_key prompt_cache_retention safety_identifier verbosity
    background conversation annotations input_text output_text input_image input_file prompt suffix best_of echo
    dimensions encoding_format size quality style voice speed response_format background moderation output_format
    texts query documents top_n images input_type embedding_types truncate document title
    """.split()  # noqa: SIM905
)

# Keys under which bytes stand in base64, and what the bytes are.
BYTES: dict[tuple[str | int, ...], str] = {
    ("image_url", "url"): "image",
    ("input_audio", "data"): "audio",
    ("file", "file_data"): "document",
}


def chat(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    """Who speaks in a text, and what it is, as `Classify`."""
    path = leaf.path
    if path[0] in ("tools", "functions"):
        return "system", "tool_definition", tool_name(leaf.around)
    if path[0] == "documents":
        return "user", "text"
    if path[0] != "messages" or len(path) < 3:
        return FIELD
    if (reason := BYTES.get(path[-2:])) and (found := media_in(leaf.text, reason)):
        return found
    role = role_of(document["messages"][path[1]])
    if path[2] in ("tool_calls", "function_call"):
        return role, "tool_call", tool_name(leaf.around[3:])
    if path[2] != "content" or (
        len(path) > 3
        and path[-1] == "type"
        and leaf.around[-1].get("type") == leaf.text
    ):
        return role, "field"
    return (
        (role, "tool_result", text_of(leaf.around[2], "tool_call_id"))
        if role == "tool"
        else (role, "text")
    )
