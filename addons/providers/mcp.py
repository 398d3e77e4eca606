"""The Model Context Protocol over HTTP (modelcontextprotocol.io/specification):

JSON-RPC between an agent and a tool server.

It may live under any path of an AI host, and is known by its body. Its answers need no
format of their own.
"""

from collections.abc import Mapping
from typing import Any

from addons.providers.error_formats import FAMILIES
from addons.providers.json_call import JsonFormat
from addons.providers.places import FIELD, Placed, media_in, role_of, text_of
from addons.providers.provider import Call
from rules.exchange import Part, Unreadable
from rules.leaves import Leaf, Unread, Walk, parse

VOCABULARY = frozenset(
    """
    jsonrpc id method params result error name arguments uri cursor messages role content type text data mimeType blob resource
    _meta progressToken protocolVersion capabilities clientInfo version title roots sampling elicitation listChanged experimental
    level logger code message action model stopReason isError structuredContent annotations audience priority ref argument value
    requestId reason progress total systemPrompt includeContext temperature maxTokens stopSequences metadata modelPreferences
    """.split()  # noqa: SIM905
)
BYTES = {"image": "image", "audio": "audio"}


def _classify(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path, around = leaf.path, leaf.around
    if path[-1] in ("data", "blob"):
        reason = BYTES.get(text_of(around[-1], "type"), "document")
        if found := media_in(leaf.text, reason):
            return found
    if path[0] in ("jsonrpc", "id", "method"):
        return FIELD
    if path[0] == "result":
        return "tool", "tool_result"
    if path[0] != "params" or len(path) < 2:
        return "user", "text"  # no method of the protocol
    if path[1] == "arguments":
        called = document.get("method") == "tools/call"
        return (
            ("assistant", "tool_call", text_of(document["params"], "name"))
            if called
            else ("user", "text")
        )
    if path[1] == "messages" and len(path) > 3:
        return role_of(around[3]), "field" if path[-1] == "type" else "text"
    return ("system", "text") if path[1] == "systemPrompt" else FIELD


class McpFormat(JsonFormat):
    """JSON-RPC: a message, or a batch of them."""

    def read_call(self, body: bytes, path: str, model: str) -> Call | Unreadable:
        """Read a message as any JSON call; a batch message by message."""
        document = parse(body) if body.lstrip()[:1] == b"[" else None
        if not isinstance(document, list) or not any(
            isinstance(one, dict) and "jsonrpc" in one for one in document
        ):
            return super().read_call(body, path, model)
        walk, parts, unreadable = Walk(self.vocabulary), list[Part](), dict[str, None]()
        try:
            for leaf in walk.leaves(document):
                placed = _of_batch(document, leaf)
                if isinstance(placed, Unreadable):
                    unreadable[placed.reason] = None
                else:
                    parts.append(
                        Part(
                            leaf.text,
                            placed[0],
                            placed[1],
                            leaf.literal,
                            placed[2] if len(placed) > 2 else "",
                        )
                    )
            walk.end(body)
        except Unread as error:
            return Unreadable(error.why)
        return Call(
            model, stream=False, parts=tuple(parts), unreadable=tuple(unreadable)
        )


def _of_batch(document: list[Any], leaf: Leaf) -> Placed | Unreadable:
    if leaf.is_key:
        return "other", "key"
    message = (
        document[leaf.path[0]] if leaf.path and isinstance(leaf.path[0], int) else None
    )
    if not isinstance(message, dict):
        return "user", "text"
    return _classify(message, leaf._replace(path=leaf.path[1:], around=leaf.around[1:]))


FORMATS = (
    McpFormat(
        "mcp",
        VOCABULARY,
        _classify,
        needs=("jsonrpc",),
        family=FAMILIES["mcp"],
        named_results=True,
    ),
)
