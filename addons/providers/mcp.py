"""The Model Context Protocol over HTTP (modelcontextprotocol.io/specification): JSON-RPC between an agent and a server of tools.

It may live under any path of a host that is opened; what shows it is its body. Answers need no format of their own.
"""

from collections.abc import Mapping
from typing import Any

from addons.providers.json_call import JsonFormat
from addons.providers.places import FIELD, Placed, is_base64, role_of, text_of
from addons.providers.refusals import FAMILIES
from rules.exchange import Unreadable
from rules.leaves import Leaf

VOCABULARY = frozenset(
    """
    jsonrpc id method params result error name arguments uri cursor messages role content type text data mimeType blob resource
    _meta progressToken protocolVersion capabilities clientInfo version title roots sampling elicitation listChanged experimental
    level logger code message action model stopReason isError structuredContent annotations audience priority ref argument value
    requestId reason progress total systemPrompt includeContext temperature maxTokens stopSequences metadata modelPreferences
    """.split()  # noqa: SIM905
)
BYTES = {"image": "image", "audio": "audio"}
MARK = b'"jsonrpc"'  # stands in every such body


def _classify(document: Mapping[str, Any], leaf: Leaf) -> Placed | Unreadable:
    path, around = leaf.path, leaf.around
    if path[-1] in ("data", "blob") and is_base64(leaf.text):
        return Unreadable(BYTES.get(text_of(around[-1], "type"), "document"))
    if path[0] in ("jsonrpc", "id", "method"):
        return FIELD
    if path[0] == "result":
        return "tool", "tool_result"
    if path[0] != "params" or len(path) < 2:
        return "user", "text"  # none of the protocol's
    if path[1] == "arguments":
        called = document.get("method") == "tools/call"
        return ("assistant", "tool_call", text_of(document["params"], "name")) if called else ("user", "text")
    if path[1] == "messages" and len(path) > 3:
        return role_of(around[3]), "field" if path[-1] == "type" else "text"
    return ("system", "text") if path[1] == "systemPrompt" else FIELD


FORMATS = (JsonFormat("mcp", VOCABULARY, _classify, needs=("jsonrpc",), family=FAMILIES["mcp"], named_results=True),)
