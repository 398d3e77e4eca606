"""Which file a call of a tool writes, and of which file its result shows the content.

Paths are compared as they are written, in their plainest form. One with `..` in it names
another file once a folder on the way is a link, and so names none here.
"""

import re
from collections.abc import Mapping, Sequence
from posixpath import normpath
from typing import Any

import msgspec

from rules.commands.lines import ARGUMENTS, TOOLS
from rules.commands.shell import Command, parse
from rules.commands.unwrap import program_of, unwrapped
from rules.restore.tools import PATCHES, READERS, WRITERS, FileTool

MAX_PATH = 4_096  # characters, as on Linux
MAX_ARGUMENTS = 1024 * 1024  # characters of a call's arguments that are read
PATCHED = re.compile(
    r"^\*\*\* (?P<what>Update File|Add File|Delete File|Move to): ?(?P<path>.*)$",
    re.MULTILINE,
)
# Programs that print one file, and their options with a value.
PRINTERS: Mapping[str, tuple[str, ...]] = {
    "cat": (),
    "nl": ("-b", "-w", "-s", "-v", "-n"),
    "head": ("-n", "-c", "--lines", "--bytes"),
    "tail": ("-n", "-c", "--lines", "--bytes"),
}
SED = re.compile(r"[\d,$;p ]+")  # of `sed -n`: which lines are printed
UNNAMED = re.compile(
    r"[\x00-\x1f*?\[\]{}$`\\]"
)  # what a path may stand for more than one file by

Arguments = Mapping[str, Any] | str | Sequence[Any] | None


def arguments_of(text: str) -> Arguments:
    """A call's arguments as they were sent: JSON, or the text itself."""
    if len(text) > MAX_ARGUMENTS or text[:1] not in ("{", "["):
        return text
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return text
    return document if isinstance(document, (dict, list)) else text


def plain(path: object) -> str:
    """A path in its plainest form; empty where it names no one file."""
    if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH:
        return ""
    if UNNAMED.search(path) or ".." in path.split("/") or "://" in path:
        return ""
    return normpath(path).replace("//", "/") if path.strip("./") else ""


def target_of(tool: str, arguments: Arguments) -> str:
    """The file that a call writes; empty where it is not known to write one."""
    return _named(WRITERS.get(tool), arguments)


def patched(text: str) -> list[tuple[int, int, str]]:
    """The stretches of a patch, each with the file that it changes; one that is moved has
    none.
    """
    heads = [match for match in PATCHED.finditer(text) if match["what"] != "Move to"]
    ends = [*(head.start() for head in heads), len(text)][1:]
    found = []
    for head, end in zip(heads, ends, strict=True):
        moved = "\n*** Move to:" in text[head.end() : end]
        found.append((head.end(), end, "" if moved else plain(head["path"].strip())))
    return found


def source_of(tool: str, arguments: Arguments) -> str:
    """The one file whose content a call shows; empty where it may show anything else."""
    if tool in READERS:
        return _named(READERS[tool], arguments)
    if tool in PATCHES or not isinstance(arguments, Mapping):
        return ""
    commands = [
        value
        for name, value in arguments.items()
        if name in ARGUMENTS and (tool in TOOLS or tool.lower() in TOOLS)
    ]
    return _printed(commands[0]) if len(commands) == 1 else ""


def _named(tool: FileTool | None, arguments: Arguments) -> str:
    if tool is None or not isinstance(arguments, Mapping):
        return ""
    named = [plain(arguments[name]) for name in tool.path if name in arguments]
    return named[0] if len(named) == 1 else ""


def _printed(command: object) -> str:
    """The file that a command prints, and does nothing else."""
    if isinstance(command, list) and all(isinstance(one, str) for one in command):
        script = parse("")
        script.pipelines = [[Command(list(command))]]
    elif isinstance(command, str):
        script = parse(command)
    else:
        return ""
    pipelines = list(unwrapped(script))
    if script.cut:
        return ""
    # `bash -lc 'cat x'` runs itself, and what it is given.
    runs = [one for one in pipelines if not _is_shell(one)]
    if len(runs) != 1 or len(runs[0]) != 1 or runs[0][0].redirects:
        return ""
    return _file_of(runs[0][0])


def _is_shell(pipeline: Sequence[Command]) -> bool:
    return len(pipeline) == 1 and program_of(pipeline[0]) in ("bash", "sh", "zsh")


def _file_of(command: Command) -> str:
    program, words = program_of(command), command.words[1:]
    if program == "sed":
        quiet = len(words) == 3 and words[0] == "-n" and SED.fullmatch(words[1])
        return plain(words[2]) if quiet else ""
    if program not in PRINTERS:
        return ""
    files, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-") and len(word) > 1:
            skip = word in PRINTERS[program]
        else:
            files.append(word)
    return plain(files[0]) if len(files) == 1 else ""
