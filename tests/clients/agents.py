"""A pretend provider that plays a coding agent's session, step by step, to the real agents.

It knows only what it is sent: what it writes back of a file is what it was shown of it.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.pretend import Given

PLACEHOLDER = re.compile(r"\[REDACTED:\w{1,80}_[b-t]{8}\]")
# What a step is: a tool and its arguments, of what the file's content was said to be; or a text.
Step = tuple[str, dict[str, Any]] | str
Steps = Callable[[int, str], Step]


def sse(events: Sequence[dict[str, Any]]) -> Given:
    body = [
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in events
    ]
    return Given("text/event-stream", body)


def pieces(text: str, size: int = 7) -> list[str]:
    """A text as it is streamed."""
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def messages(step: Step) -> Given:
    """A step in Anthropic's format."""
    if isinstance(step, str):
        block: dict[str, Any] = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": one} for one in pieces(step)]
    else:
        tool, given = step
        block = {"type": "tool_use", "id": f"toolu_{abs(hash(str(step))):x}", "name": tool, "input": {}}  # fmt: skip
        text = json.dumps(given)
        deltas = [{"type": "input_json_delta", "partial_json": one} for one in pieces(text)]  # fmt: skip
    reason = "end_turn" if isinstance(step, str) else "tool_use"
    message: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 1},
    }  # fmt: skip
    return sse(
        [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            *({"type": "content_block_delta", "index": 0, "delta": one} for one in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
    )  # fmt: skip


def responses(step: Step, number: int) -> list[dict[str, Any]]:
    """A step in OpenAI's format, as events."""
    item: dict[str, Any]
    if isinstance(step, str):
        said = {"type": "output_text", "text": step, "annotations": []}
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [said]}  # fmt: skip
        begun = {**item, "content": [], "status": "in_progress"}
        deltas = [
            {"type": "response.output_text.delta", "item_id": item["id"], "output_index": 0, "content_index": 0, "delta": one}
            for one in pieces(step)
        ]  # fmt: skip
    elif "patch" in step[1]:
        item = {"type": "custom_tool_call", "id": f"ct_{number}", "call_id": f"call_{number}", "name": step[0], "input": step[1]["patch"], "status": "completed"}  # fmt: skip
        begun = {**item, "input": "", "status": "in_progress"}
        deltas = [
            {"type": "response.custom_tool_call_input.delta", "item_id": item["id"], "output_index": 0, "delta": one}
            for one in pieces(step[1]["patch"])
        ]  # fmt: skip
    else:
        text = json.dumps(step[1])
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": step[0], "arguments": text, "status": "completed"}  # fmt: skip
        begun = {**item, "arguments": "", "status": "in_progress"}
        deltas = [
            {"type": "response.function_call_arguments.delta", "item_id": item["id"], "output_index": 0, "delta": one}
            for one in pieces(text)
        ]  # fmt: skip
    usage = {
        "input_tokens": 11, "output_tokens": 5, "total_tokens": 16,
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    response = {"id": f"resp_{number}", "object": "response", "created_at": 0, "model": "m", "status": "in_progress", "output": []}  # fmt: skip
    return [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        *deltas,
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**response, "status": "completed", "output": [item], "usage": usage}},
    ]  # fmt: skip


@dataclass
class Session:
    """One agent's session: its `steps`, by number, from what was shown of the file."""

    steps: Steps
    taken: int = 0
    shown: str = ""  # the newest result of a tool
    calls: list[dict[str, Any]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)

    def next(self, call: dict[str, Any]) -> Step:
        """The answer to a call of the agent's."""
        self.calls.append(call)
        self.tools = [
            tool.get("name", tool.get("type")) for tool in call.get("tools", ())
        ]
        self.shown = _last_result(call) or self.shown
        step = self.steps(self.taken, self.shown)
        self.taken += 1
        return step


def _last_result(call: dict[str, Any]) -> str:
    """The newest result of a tool in a call of either format."""
    found = ""
    for message in call.get("messages") or call.get("input") or ():
        blocks = message.get("content") if "messages" in call else [message]
        for block in blocks if isinstance(blocks, list) else ():
            if block.get("type") == "tool_result":
                found = _text(block.get("content"))
            elif str(block.get("type")).endswith("_call_output"):
                found = _text(block.get("output"))
    return found


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else ()
    return "".join(block.get("text", "") for block in blocks)


def lines_of(shown: str) -> str:
    """The content of a file of which a tool showed numbered lines, or what ran before it."""
    lines = []
    for line in shown.split("\n"):
        numbered = re.match(r"\s*\d+(?:\t|→)(.*)", line)
        if numbered or "=" in line:
            lines.append(numbered[1] if numbered else line)
    return "\n".join(line for line in lines if "=" in line and "<" not in line) + "\n"


def env_file(folder: Path) -> str:
    """A file of secrets; its content."""
    content = (
        "AWS_ACCESS_KEY_ID=AKIAQYLPMN5HHHFPZAM2\n"
        "DATABASE_URL=postgres://shop:Zx81mk3lsQ9w@db1:5432/shop\n"
        "PORT=8000\n"
    )
    (folder / ".env").write_text(content)
    return content
