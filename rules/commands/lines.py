"""Which texts of a tool call are commands, and the text by which rules find them.

    a part      {"command": "cd /tmp && sudo rm -rf ../etc | tee log"}
    its lines   ⟨cd␟/tmp⟩⟨rm␟-rf␟/etc⟜tee␟log⟩⟨tee␟log⟩

Each command of a pipeline begins a line of its own, with what follows it in the pipeline.
Programs are without folder, paths are normal. The signs are from a private area of Unicode,
and taken out of what is read, so no text can pretend to be a command.
"""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from posixpath import normpath
from typing import NamedTuple

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
MAX_LINES = 128 * 1024  # characters of the lines of one part
MAX_COMMANDS = 50  # of a list of them
# Parts whose lines are kept, and the characters of the longest, and of its lines: 50 MB at
# most, and 4 MB where nobody means harm. An agent's conversation has some hundred commands.
KEPT, MAX_KEPT = 4_096, 4_096
# Arguments too long to be read as JSON have a command.
NAMED = re.compile(r'"(?:command|cmd|script|code|commands)"\s{0,9}:')
HOME = re.compile(
    r"(?:\$HOME|\$\{HOME\}|\$env:USERPROFILE|%USERPROFILE%)(?=/|\\|$)", re.IGNORECASE
)


class Read(NamedTuple):
    """The command lines of a part. `cut`: there is more than is read."""

    lines: str
    cut: bool


# A conversation repeats its commands in every turn: each is read once. Threads need no lock: a
# part that is lost between two of them is read again.
_kept: dict[tuple[str, str, str], Read] = {}


def lines_of(part: Part) -> Read:
    """The command lines in a part of a tool call; none where there are none."""
    if part.kind != "tool_call":
        return Read("", cut=False)
    tool, text = part.tool.lower(), part.text
    if len(text) > shell.MAX_TEXT:
        runs = tool in TOOLS or part.argument in ARGUMENTS
        return Read("", cut=runs or NAMED.search(text) is not None)
    if len(text) > MAX_KEPT:
        return _lines(text, tool, part.argument)
    asked = (text, tool, part.argument)
    known = _kept.get(asked)
    if known is None:
        known = _lines(*asked)
        if len(known.lines) <= 2 * MAX_KEPT:
            if len(_kept) >= KEPT:
                _kept.clear()
            _kept[asked] = known
    return known


def unkept(parts: Sequence[Part]) -> int:
    """The characters of long calls of tools, whose lines are read anew each time."""
    return sum(
        len(part.text)
        for part in parts
        if part.kind == "tool_call" and MAX_KEPT < len(part.text) <= shell.MAX_TEXT
    )


def command_texts(parts: Sequence[Part]) -> tuple[list[tuple[int, str]], bool]:
    """The command lines of all parts that have some, with the part's number; whether there is
    more than is read.
    """
    found, cut = [], False
    for number, part in enumerate(parts):
        if part.kind == "tool_call":
            read = lines_of(part)
            cut = cut or read.cut
            if read.lines:
                found.append((number, read.lines))
    return found, cut


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


def _lines(text: str, tool: str, argument: str) -> Read:
    lines: dict[str, None] = {}
    length, cut = 0, False
    for script in _scripts(text, tool, argument):
        for pipeline in unwrapped(script):
            written = [_written(command) for command in pipeline]
            for at in range(len(written)):
                line = BEGIN + PIPE.join(written[at:]) + END
                length += len(line)
                if length > MAX_LINES:
                    return Read("\n".join(lines), cut=True)
                lines[line] = None
        cut = cut or script.cut
    return Read("\n".join(lines), cut)


def _scripts(text: str, tool: str, argument: str) -> Iterator[Script]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            document = msgspec.json.decode(text)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            document = None
        if isinstance(document, (dict, list)):
            for value in _arguments(document, tool):
                if isinstance(value, list):
                    yield from _argv(value)
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
        yield powershell.parse(text, escape="^" if tool == "cmd" else "`")


def _arguments(document: object, tool: str) -> Iterator[str | list[str]]:
    """The values that are commands, at any depth."""
    waiting: list[tuple[str, object]] = [("", document)]
    while waiting:
        name, value = waiting.pop()
        if name and _is_argument(name, tool) and _is_command(value):
            yield value  # type: ignore[misc]
        elif isinstance(value, dict):
            waiting += ((str(key), member) for key, member in value.items())
        elif isinstance(value, list):
            waiting += ((name, member) for member in value)


def _is_argument(name: str, tool: str) -> bool:
    """Whether an argument is a command. A tool that has no name may run anything."""
    return name in ARGUMENTS or ((not tool or tool in TOOLS) and name not in BESIDE)


def _is_command(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(one, str) for one in value)
    )


def _argv(words: list[str]) -> Iterator[Script]:
    """A list of words is a command already; or a list of commands."""
    if words and " " in words[0]:
        for word in words[:MAX_COMMANDS]:
            yield shell.parse(word)
        cut = len(words) > MAX_COMMANDS
        yield Script(cut=cut)
    else:
        cut = len(words) > shell.MAX_WORDS
        yield Script([[Command(words[: shell.MAX_WORDS])]], cut)


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
