"""The texts of an answer: every string of its JSON, with its channels: the earlier
texts to which a client may append it.

No provider's schema is needed: a field that nobody has heard of is judged, too. In a
stream a client joins strings of several events:

    {"choices":[{"index":0,"delta":{"content":"sk-live-"}}]}
    {"choices":[{"index":0,"delta":{"content":"4eC39H"}}]}     the key spans two events

So a text belongs to several channels at once (`channel_names.py`), and `rules.stream` releases
it once it is settled in each.

A string under a key of COMPLETE (an id, a type), a number and a key continue nothing:
without a channel, they are judged as a whole. So are all strings of an event that repeats
a whole response, and of a message of MCP, whose sender may wait for an answer to it before it
says more. Other protocols over JSON-RPC stream pieces of text (A2A, ACP): those are joined.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from addons.answers.channel_names import Ids, channels_of, ids_of
from addons.answers.template import Bound, Template, Texts, template_of
from addons.providers.places import arguments_at, called_tool, is_base64
from addons.providers.signed import PENDING, in_answer
from rules.channels import Name, Piece
from rules.exchange import Kind, Unreadable
from rules.leaves import Leaf, Unread, Walk, parse

# Keys of the providers' own schemas. Any other key is text that somebody chose, and is judged.
KEYS = frozenset(
    """
    id object model created choices index delta content role finish_reason logprobs text type message usage tool_calls function name
    arguments system_fingerprint service_tier refusal reasoning reasoning_content annotations prompt_tokens completion_tokens
    total_tokens sequence_number item_id output_index content_index response item part output status obfuscation call_id summary
    input_tokens output_tokens content_block partial_json stop_reason stop_sequence thinking signature input citations
    candidates parts finishReason usageMetadata modelVersion responseId functionCall args promptTokenCount candidatesTokenCount
    contentBlockIndex toolUse toolUseId stopReason metrics latencyMs p bytes inputTokens outputTokens totalTokens
    created_at response done done_reason context total_duration load_duration eval_count eval_duration prompt_eval_count
    prompt_eval_duration data embedding error code param generated_text token special logprob event_type is_finished
    """.split()  # noqa: SIM905
)
# Keys of strings that are complete in one event.
COMPLETE = frozenset(
    """
    id object model type role finish_reason finishReason stop_reason stopReason system_fingerprint service_tier item_id call_id status
    name created_at modelVersion responseId toolUseId done_reason obfuscation p signature encrypted_content tool_call_id phase
    index output_index content_index summary_index contentBlockIndex
    event_type response_id generation_id finishMessage stop_sequence url uri mimeType mime_type file_id code param
    """.split()  # noqa: SIM905
)
# But in a `delta` OpenAI's SDK joins all strings but an index and a type (`accumulate_delta`). What is bound to
# a signature, or says nothing, stays whole.
APART = frozenset(
    """
    type signature encrypted_content obfuscation p index output_index content_index summary_index contentBlockIndex
    """.split()  # noqa: SIM905
)
ROLES = frozenset(("assistant", "user", "system", "developer", "tool", "model"))
# Keys under which bytes stand in base64, and what the bytes are.
MEDIA = {
    "b64_json": "image",
    "partial_image_b64": "image",
    "bytesBase64Encoded": "image",
    "result": "image",
    "data": "audio",
    "delta": "audio",
    "encrypted_content": "opaque",
    "signature": "opaque",
    "thoughtSignature": "opaque",
}
MEDIA_LENGTH = 512  # characters; a shorter string is read as text, base64 or not
CALLS = frozenset(
    (
        "tool_calls",
        "function_call",
        "arguments",
        "partial_json",
        "toolUse",
        "functionCall",
        "args",
        "tool_use",
        "tool_call_delta",
    )
)
# Keys that say that a tool is another server's.
SERVERS = frozenset(("namespace", "server_label", "server_name"))
CALL_TYPE = re.compile(
    "_call|tool_call|tool_use|tool-call|code_interpreter|shell|computer"
)
ENDS = (
    ".completed",
    ".failed",
    ".incomplete",
    "message_stop",
    "message-end",
    "messageStop",
)
# Events of a whole response, and the keys that they have: where there are more, a client may
# read a piece of text there.
WHOLE = frozenset(
    f"response.{state}"
    for state in (
        "created",
        "queued",
        "in_progress",
        "completed",
        "failed",
        "incomplete",
    )
)
WHOLE_KEYS = frozenset(("type", "sequence_number", "response"))
# What MCP's servers send (modelcontextprotocol.io/specification, 2025-11-25): keys of a message,
# methods, keys of results.
MESSAGE_KEYS = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
METHOD = re.compile(
    r"(?:sampling/createMessage|elicitation/create|roots/list|ping|(?:tasks|notifications)/[\w/]+)\Z"
)
RESULT_KEYS = frozenset(
    """
    content structuredContent isError tools resources resourceTemplates contents prompts messages description completion roots
    nextCursor protocolVersion capabilities serverInfo instructions model role stopReason action task tasks _meta
    taskId status statusMessage createdAt lastUpdatedAt ttl pollInterval
    """.split()  # noqa: SIM905
)
# Events after which a client waits for no other.
FINAL = frozenset(
    (
        "response.completed",
        "response.failed",
        "response.incomplete",
        "message_stop",
        "message-end",
        "messageStop",
    )
)
ENDING = re.compile(
    rb'"(?:finish|stop|completion|done)_?[rR]eason"\s*:\s*"|"(?:done|is_finished)"\s*:\s*true'
)
MAX_TOOLS = (
    10_000  # calls whose tool's name is kept, and blocks without a signature yet
)
MAX_NAMES = 10  # channels of one of these blocks: where it begins, and its pieces
# What a document must have for any of its texts to be signed.
SIGNS = (
    b"ignature",
    b"thinking",
    b"reasoningContent",
    b"redactedContent",
    b"encrypted_content",
)


@dataclass(slots=True)
class AnswerReader:
    """Reads the documents of one answer. `streams`: its texts continue from one document to the next."""

    streams: bool = True
    # names of called tools, by the indexes of their calls
    tools: dict[Ids, str] = field(default_factory=dict)
    template: "Template | None" = None  # of the last document
    # channels of texts whose signature is still to come, by the indexes around them
    # (None: it came)
    unbound: dict[Ids, dict[Name, None] | None] = field(default_factory=dict)

    def read(self, body: bytes, name: str = "") -> Texts | Unreadable:
        """Read one document. `name` is the name of its event. Never raises."""
        if self.template is not None:
            texts = self.template.read(body, name)
            if texts is not None:
                return texts
        read = self._read(body, name)
        if self.streams:
            self.template = (
                None if isinstance(read, Unreadable) else template_of(body, name, read)
            )
        return read

    def _read(self, body: bytes, name: str) -> Texts | Unreadable:
        document = parse(body, constants=True)
        if isinstance(document, Unreadable):
            return document
        continues = self.streams and not _is_whole(document)
        walk, unreadable, pieces = Walk(KEYS), dict[str, None](), list[Piece]()
        bound, has_signs = list[Bound](), any(sign in body for sign in SIGNS)
        kind_of_event = document.get("type") if isinstance(document, dict) else None
        event = (
            " ".join((name, kind_of_event) if name else (kind_of_event,))
            if isinstance(kind_of_event, str)
            else name
        )
        try:
            for leaf in walk.leaves(document):
                signature = in_answer(leaf, streams=self.streams) if has_signs else ""
                piece = self._piece(leaf, event, signature, continues=continues)
                if signature:
                    bound += self._bound(leaf, piece, signature)
                if isinstance(piece, Unreadable):
                    unreadable[piece.reason] = None
                else:
                    pieces.append(piece)
            walk.end(body)
        except Unread as error:
            return Unreadable(error.why)
        if b'"logprobs"' in body and has_logprobs(document):
            # Logprobs repeat the text as tokens and bytes, which are not read
            unreadable["opaque"] = None
        last = event.endswith(ENDS) or ENDING.search(body) is not None
        final = not FINAL.isdisjoint((name, *event.split(" ")))
        return Texts(
            tuple(pieces), last, tuple(unreadable), document, tuple(bound), final
        )

    def _bound(
        self, leaf: Leaf, piece: Piece | Unreadable, signature: str
    ) -> Iterator[Bound]:
        """What is bound to a signature; a text whose signature is to come is noted."""
        ids = ids_of(leaf.around)
        if signature != PENDING:
            yield Bound(signature, leaf.text)
            names = self.unbound.get(ids)
            if signature == leaf.text and names:
                # Once for a block: each time, all of it is hashed.
                self.unbound[ids] = None
                yield Bound(signature, "", tuple(names))
        elif isinstance(piece, Piece) and piece.channels and self._may_note(ids):
            names = self.unbound.setdefault(ids, {})
            if names is not None and len(names) < MAX_NAMES:
                names[piece.channels[0]] = None

    def _may_note(self, ids: Ids) -> bool:
        return ids in self.unbound or len(self.unbound) < MAX_TOOLS

    def _piece(
        self, leaf: Leaf, event: str, signature: str, *, continues: bool
    ) -> Piece | Unreadable:
        if leaf.is_key:
            return Piece(
                leaf.text, (), "assistant", "key", leaf.literal, signature=signature
            )
        last = leaf.path[-1] if leaf.path else ""
        name = (
            last
            if type(last) is str
            else next((key for key in reversed(leaf.path) if type(key) is str), "")
        )
        if (
            len(leaf.text) > MEDIA_LENGTH
            and name in MEDIA
            and _is_media(name, event, leaf)
            and is_base64(leaf.text)
        ):
            return Unreadable(MEDIA[name])
        is_call = _is_call(leaf, event)
        kind: Kind = "tool_call" if is_call else "text"
        tool = self._tool(leaf, name) if is_call else ""
        joined = "delta" in leaf.path and name not in APART and leaf.text not in ROLES
        complete = name in COMPLETE and not joined
        if complete or not _is_string(leaf, last):
            return Piece(
                leaf.text,
                (),
                "assistant",
                kind if is_call else "field",
                leaf.literal,
                tool,
                name,
                signature,
            )
        # Nothing is joined to a text that may not be edited.
        sort = f"signed {kind}" if signature else kind
        return Piece(
            leaf.text,
            channels_of(leaf, event, sort, name) if continues else (),
            "assistant",
            kind,
            leaf.literal,
            tool,
            name,
            signature,
            _arguments(leaf) if is_call else None,
        )

    def _tool(self, leaf: Leaf, name: str) -> str:
        """The tool that is called. Its name stands where the call begins; the arguments follow."""
        ids, depth = ids_of(leaf.around), arguments_at(leaf.path, leaf.around)
        if name == "name" and depth is None and len(self.tools) < MAX_TOOLS:
            # Clients differ in what they make of a second name.
            known = self.tools.setdefault(ids, leaf.text)
            self.tools[ids] = known if known == leaf.text else ""
        if any(_is_of_server(one) for one in leaf.around):
            return ""
        return called_tool(leaf.path, leaf.around) or self.tools.get(ids, "")


def _is_whole(document: Any) -> bool:
    """Whether no client joins the texts of an event to others."""
    if type(document) is not dict:
        return False
    if "jsonrpc" in document:
        return MESSAGE_KEYS.issuperset(document) and _is_mcp(document)
    kind = document.get("type")
    return (
        type(kind) is str
        and kind in WHOLE
        and WHOLE_KEYS.issuperset(document)
        and type(document.get("response")) is dict
    )


def _is_mcp(message: dict[str, Any]) -> bool:
    """Whether a message of JSON-RPC is one of MCP's."""
    if "method" in message:
        return METHOD.match(str(message["method"])) is not None
    result = message.get("result")
    if type(result) is not dict:
        return result is None
    return (
        RESULT_KEYS.issuperset(result)
        and type(result.get("status", "")) is str
        and _is_mcp_task(result.get("task"))
    )


def _is_mcp_task(task: Any) -> bool:
    """A2A has tasks, too, which are streamed in pieces."""
    return task is None or (
        type(task) is dict
        and "taskId" in task
        and task.keys().isdisjoint(("artifacts", "history"))
    )


def _arguments(leaf: Leaf) -> Mapping[str, Any] | None:
    """All arguments of the call that a text is one of; None where they are a text."""
    depth = arguments_at(leaf.path, leaf.around)
    if depth is None or depth + 1 >= len(leaf.around):
        return None
    arguments: Mapping[str, Any] = leaf.around[depth + 1]
    return arguments


def _is_of_server(container: Any) -> bool:
    """Whether a call is one of an MCP server's tool, whatever its name."""
    return type(container) is dict and (
        not SERVERS.isdisjoint(container)
        or str(container.get("type", "")).startswith("mcp")
    )


def _is_string(leaf: Leaf, last: Any) -> bool:
    """Whether JSON has it as a string; numbers continue nothing."""
    return not leaf.around or type(leaf.around[-1][last]) is str


def _is_call(leaf: Leaf, event: str) -> bool:
    if not CALLS.isdisjoint(leaf.path) or (event and CALL_TYPE.search(event)):
        return True
    for container in leaf.around:
        if (
            type(container) is dict
            and type(kind := container.get("type")) is str
            and CALL_TYPE.search(kind)
        ):
            return True
    return False


def _is_media(name: str, event: str, leaf: Leaf) -> bool:
    """Whether a key of `MEDIA` holds bytes here; in other places the same key holds text."""
    if name == "delta":
        return "audio" in event
    if name == "data":
        return len(leaf.path) > 1 and leaf.path[-2] in (
            "audio",
            "inlineData",
            "inline_data",
            "content_block",
            "content",
            "data",
        )
    if name == "result":
        return any(
            isinstance(one, dict) and one.get("type") == "image_generation_call"
            for one in leaf.around
        )
    return True


def has_logprobs(document: Any) -> bool:
    """Whether an answer repeats its text as tokens."""
    choices = document.get("choices") if isinstance(document, dict) else None
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("logprobs") for choice in choices
    )
