"""Which texts of a tool call are commands, and the text by which rules find them.

    a part      {"command": "cd /tmp && sudo rm -rf ../etc | tee log"}
    its lines   ⟨cd␟/tmp⟩⟨rm␟-rf␟/etc⟜tee␟log⟩⟨tee␟log⟩

Each command of a pipeline begins a line of its own, with what follows it in the pipeline.
Programs are without folder, paths are normal. The signs are from a private area of Unicode,
and taken out of what is read, so no text can pretend to be a command.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from posixpath import normpath
from typing import Any

import msgspec

from rules.commands import powershell, shell
from rules.commands.shell import Command, Script
from rules.commands.spec import BEGIN, END, PIPE, REDIRECT, WORD
from rules.commands.unwrap import POWERSHELLS, program_of, unwrapped
from rules.exchange import Part
from rules.scan import Finding

# Tools that run what they are given, by name; and arguments that hold commands, of any tool.
TOOLS = frozenset(
    """
    bash shell sh zsh powershell pwsh cmd terminal exec exec_command shell_command local_shell container.exec run_command
    run_shell_command execute_command run_terminal_cmd run_in_terminal execute_bash run_bash bash_tool shell_exec execute
    """.split()  # noqa: SIM905
)
ARGUMENTS = frozenset(("command", "cmd", "script", "code", "commands"))
# Arguments of those tools that hold none.
BESIDE = frozenset(
    "description explanation workdir cwd timeout timeout_ms restart justification reason id type status title name shell".split()  # noqa: SIM905
)
CMDLET = re.compile(
    r"(?i)\b(?:remove|get|set|clear|format|invoke|copy|move|new|stop)-[a-z]{3}"
)
MAX_LINES = 256 * 1024  # characters of the lines of one part
HOME = re.compile(
    r"(?:\$HOME|\$\{HOME\}|\$env:USERPROFILE|%USERPROFILE%)(?=/|\\|$)", re.IGNORECASE
)


def lines_of(part: Part) -> str:
    """The command lines in a part of a tool call; empty where there are none."""
    if part.kind != "tool_call" or len(part.text) > shell.MAX_TEXT:
        return ""
    return _lines(part.text, part.tool.lower(), part.argument)


def is_unread(part: Part) -> bool:
    """Whether a part is a command that is longer than is read."""
    return (
        part.kind == "tool_call"
        and len(part.text) > shell.MAX_TEXT
        and (part.tool.lower() in TOOLS or part.argument in ARGUMENTS)
    )


def command_texts(parts: Sequence[Part]) -> list[tuple[int, str]]:
    """The command lines of all parts that have some, with the part's number."""
    return [
        (number, lines)
        for number, part in enumerate(parts)
        if part.kind == "tool_call" and (lines := lines_of(part))
    ]


def in_their_parts(
    findings: Iterable[Finding],
    parts: Sequence[Part],
    commands: Sequence[tuple[int, str]],
    patterns: Container[int],
) -> Iterator[Finding]:
    """Findings, those in command lines moved to the whole part that has the command.

    `patterns` look for commands, and count there alone; all others do not.
    """
    for finding in findings:
        index = finding.text - len(parts)
        if (index >= 0) != (finding.pattern in patterns):
            continue
        if index >= 0:
            number = commands[index][0]
            whole = (number, 0, len(parts[number].text))
            finding = finding._replace(places=(whole,))
        yield finding


@lru_cache(maxsize=4096)
def _lines(text: str, tool: str, argument: str) -> str:
    """A conversation repeats its commands in every turn: each is read once."""
    lines: dict[str, None] = {}
    length = 0
    for script in _scripts(text, tool, argument):
        for pipeline in unwrapped(script):
            written = [_written(command) for command in pipeline]
            for at in range(len(written)):
                line = BEGIN + PIPE.join(written[at:]) + END
                length += len(line)
                if length > MAX_LINES:
                    return "\n".join(lines)
                lines[line] = None
    return "\n".join(lines)


def _scripts(text: str, tool: str, argument: str) -> Iterator[Script]:
    if text[:1] in ("{", "["):
        try:
            document = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            document = None
        if isinstance(document, dict):
            for value in _arguments(document, tool):
                if isinstance(value, list):
                    yield _argv(value)
                else:
                    yield from _read(value, tool)
            return
    if _is_argument(argument, tool):
        yield from _read(text, tool)


def _read(text: str, tool: str) -> Iterator[Script]:
    """A command line as the shell that the tool's name tells would read it.

    Where the name tells nothing, words of PowerShell do.
    """
    is_windows = tool in POWERSHELLS or tool == "cmd"
    if not is_windows:
        yield shell.parse(text)
    if is_windows or CMDLET.search(text) is not None:
        yield powershell.parse(text)


def _arguments(document: Mapping[str, Any], tool: str) -> Iterator[str | list[str]]:
    """The values that are commands, at any depth that a tool's arguments have."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _arguments(value, tool)
        elif _is_argument(key, tool) and _is_command(value):
            yield value


def _is_argument(name: str, tool: str) -> bool:
    """Whether an argument is a command. A tool that has no name may run anything."""
    return name in ARGUMENTS or ((not tool or tool in TOOLS) and name not in BESIDE)


def _is_command(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(one, str) for one in value)
    )


def _argv(words: list[str]) -> Script:
    """A list of words is a command already; or a list of commands."""
    if words and " " in words[0]:
        return Script([p for word in words[:50] for p in shell.parse(word).pipelines])
    return Script([[Command(words[: shell.MAX_WORDS])]])


def _written(command: Command) -> str:
    words = [program_of(command), *map(normal, command.words[1:])]
    words += [f"{REDIRECT}{sign}{normal(to)}" for sign, to in command.redirects]
    return WORD.join(word.replace("\n", " ") for word in words)


def normal(word: str) -> str:
    """A word, with a path in its plainest form: `~` for the home, no `//`, `.` and `..`."""
    word = HOME.sub("~", word)
    if word[:1] not in ("/", "~", ".", "$") or "://" in word:
        return word
    if word.startswith("/"):
        return normpath(word).replace("//", "/")
    return normpath(word) if "/" in word else word
