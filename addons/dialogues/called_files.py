"""Of which files the tools show the content that were called on one WebSocket.

    provider   {"type":"response.output_item.done", "item":{"type":"function_call",
                "call_id":"c1", "name":"exec_command", "arguments":"{\"cmd\":\"cat .env\"}"}}
    client     {…, "input":[{"type":"function_call_output", "call_id":"c1", "output":…}]}

A client's next message has the result alone; its call stood in an earlier answer.
"""

from typing import Any

import msgspec

from rules.restore.paths import arguments_of, source_of

MAX_CALLS = 1_000  # of one WebSocket whose files are known, the newest ones


class _Item(msgspec.Struct):
    type: str = ""
    call_id: str = ""
    name: str = ""
    arguments: Any = None


class _Message(msgspec.Struct):
    type: str = ""
    item: _Item | None = None


_message = msgspec.json.Decoder(_Message)


class CalledFiles:
    """The files by the ids of their calls."""

    def __init__(self) -> None:
        self.by_call: dict[str, str] = {}

    def take(self, content: bytes) -> None:
        """Take a message of the provider. Never raises."""
        if b"response.output_item.done" not in content:
            return
        try:
            message = _message.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        item = message.item
        if message.type != "response.output_item.done" or item is None:
            return
        if item.type == "function_call" and isinstance(item.arguments, str):
            path = source_of(item.name, arguments_of(item.arguments))
            # An id that stands twice names no file.
            known = self.by_call.get(item.call_id, path)
            self.by_call[item.call_id] = path if known == path else ""
            if len(self.by_call) > MAX_CALLS:
                del self.by_call[next(iter(self.by_call))]
