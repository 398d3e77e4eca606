"""Command-line clients: how each is run without a terminal, in a home of its own, and what its provider answers besides."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.pretend import Given
from tests.support import answers
from tests.support.streams import SHAPES

CODEX = "check_for_update_on_startup = false\n[analytics]\nenabled = false\n[features]\nplugins = false\napps = false\n"
GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}


@dataclass(frozen=True)
class Tool:
    """One. `files` are put into its home; `ends_well`: it takes a stream that was stopped for an answer, and says why in it."""

    package: str
    shape: str
    command: Callable[[str], Sequence[str]]
    environment: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    ends_well: bool = False


TOOLS: dict[str, Tool] = {
    "Claude Code": Tool(
        "@anthropic-ai/claude-code",
        "anthropic-messages",
        lambda prompt: ("claude", "-p", "--", prompt),
        {
            "ANTHROPIC_API_KEY": "sk-ant-x",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    ),
    "Codex (WebSocket)": Tool(
        "@openai/codex",
        "openai-responses",
        lambda prompt: ("codex", "exec", "--skip-git-repo-check", "--", prompt),
        {"CODEX_API_KEY": "sk-x"},
        {".codex/config.toml": CODEX},
    ),
    "Gemini CLI": Tool(
        "@google/gemini-cli",
        "gemini-sse",
        lambda prompt: (
            "gemini",
            "--skip-trust",
            "-m",
            "gemini-3",
            f"--prompt={prompt}",
        ),
        {"GEMINI_API_KEY": "x"},
        {".gemini/settings.json": json.dumps(GEMINI)},
        ends_well=True,
    ),
}


def stream(shape: str, text: Sequence[str]) -> Given:
    """A streamed answer in small pieces."""
    body = b"".join(SHAPES[shape].made(text, []))
    return Given(
        SHAPES[shape].content_type,
        [body[at : at + 97] for at in range(0, len(body), 97)],
    )


def answer(path: str, call: dict[str, Any], text: str) -> Any:
    """Whole or streamed, as it is asked; nothing for a tool's own matters."""
    if path.endswith("/codex/models"):
        return {"models": []}
    if path.startswith("/api/") and path != "/api/chat":
        return Given("application/json", [b"{}"], status=404)
    shape = shape_of(path, call)
    return stream(shape, [text]) if shape else answers.whole(path, call, text)


def shape_of(path: str, call: dict[str, Any]) -> str:
    """In which shape a call wants its answer streamed, if it does."""
    if ":streamGenerateContent" in path:
        return "gemini-sse"
    if not call.get("stream"):
        return ""
    return {
        "responses": "openai-responses",
        "messages": "anthropic-messages",
        "completions": "openai-chat",
    }.get(path.rpartition("/")[2], "")


def reply_with(said: Callable[[], Given]) -> Callable[[str], list[str]]:
    """Responses over a WebSocket: a message that is only to warm up is answered by nothing, another by what `said` gives."""

    def reply(message: str) -> list[str]:
        if json.loads(message).get("generate") is False:
            created, *_, completed = events(stream("openai-responses", [""]))
            last = json.loads(completed)
            last["response"]["output"] = []
            return [created, json.dumps(last)]
        return events(said())

    return reply


def events(given: Given) -> list[str]:
    """What a stream of server-sent events says."""
    return [
        line[6:]
        for line in b"".join(given.chunks).decode().split("\n")
        if line.startswith("data: {")
    ]
