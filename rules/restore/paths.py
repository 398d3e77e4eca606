"""Which file a call of a tool writes, and of which file its result shows the content.

Paths are compared as they are written, in their plainest form. One with `..` in it names
another file once a folder on the way is a link, and so names none here.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from posixpath import normpath
from typing import Any

from rules.commands.lines import ARGUMENTS, TOOLS
from rules.commands.shell import Command, Script, parse
from rules.commands.unwrap import SHELLS, program_of
from rules.restore.tools import READERS, WRITERS, FileTool

MAX_PATH = 4_096  # characters, as on Linux
MAX_ARGUMENTS = 1024 * 1024  # characters of a call's arguments that are read
# A line of a patch that begins a file, or that some reader may take for one.
STARRED = re.compile(r"^[^\S\n]*\*\*\*[^\n]*", re.MULTILINE)
PATCHED = re.compile(r"\*\*\* (?:Update|Add|Delete) File: ?(?P<path>.*)")
MAX_PATCHED = 200  # files of one patch; of more, none gets an original
INERT = ("*** Begin Patch", "*** End Patch", "*** End of File")
PATHS = frozenset(name.casefold() for tool in READERS.values() for name in tool.path)
# Programs that print one file, and their options with a value.
PRINTERS: Mapping[str, tuple[str, ...]] = {
    "cat": (),
    "nl": ("-b", "-w", "-s", "-v", "-n"),
    "head": ("-n", "-c", "--lines", "--bytes"),
    "tail": ("-n", "-c", "--lines", "--bytes"),
}
FOLDERS = (
    "workdir",
    "cwd",
    "working_directory",
    "directory",
)  # in which a command runs
SED = re.compile(r"[\d,$;p ]+")  # of `sed -n`: which lines are printed
UNNAMED = re.compile(
    r"[\x00-\x1f*?\[\]{}$`\\]"
)  # what a path may stand for more than one file by

Arguments = Mapping[str, Any] | str | Sequence[Any] | None


def arguments_of(text: str) -> Arguments:
    """A call's arguments as they were sent: JSON that all read alike, or the text itself."""
    if len(text) > MAX_ARGUMENTS or text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        document: Any = json.loads(text, object_pairs_hook=_object)
    except (RecursionError, ValueError):
        return text
    return document if isinstance(document, (dict, list)) else text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError where a key stands twice, in capitals or not: readers differ."""
    if len({key.casefold() for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def plain(path: object) -> str:
    """A path in its plainest form; empty where it names no one file."""
    if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH:
        return ""
    if (
        UNNAMED.search(path)
        or ".." in path.split("/")
        or "://" in path
        or path[0] == "~"
    ):
        return ""
    return normpath(path).replace("//", "/") if path.strip("./") else ""


def target_of(tool: str, arguments: Arguments) -> str:
    """The file that a call writes; empty where it is not known to write one."""
    return _named(WRITERS.get(tool), arguments)


def patched(text: str) -> list[tuple[int, int, str]]:
    """The stretches of a patch, each with the file that it changes; none for one that is moved,
    or that readers may divide in another way.
    """
    lines = [line for line in STARRED.finditer(text) if line[0].rstrip() not in INERT]
    if len(lines) > MAX_PATCHED:
        return []
    ends = [*(line.start() for line in lines), len(text)][1:]
    found: list[tuple[int, int, str]] = []
    for line, end in zip(lines, ends, strict=True):
        head = PATCHED.fullmatch(line[0])
        path = plain(head["path"].strip()) if head is not None else ""
        if line[0].startswith("*** Move to:") and found:
            found[-1] = (*found[-1][:2], "")
        found.append((line.end(), end, path))
    return found


def source_of(tool: str, arguments: Arguments) -> str:
    """The one file whose content a call shows; empty where it may show anything else."""
    if tool in READERS:
        return _named(READERS[tool], arguments)
    if not isinstance(arguments, Mapping):
        return ""
    if tool.lower() not in TOOLS:
        return ""
    commands = [value for name, value in arguments.items() if name in ARGUMENTS]
    path = _printed(commands[0]) if len(commands) == 1 else ""
    folder = next((arguments[key] for key in FOLDERS if arguments.get(key)), "")
    return plain(f"{folder}/{path}") if path and folder and path[0] != "/" else path


def _named(tool: FileTool | None, arguments: Arguments) -> str:
    if tool is None or not isinstance(arguments, Mapping):
        return ""
    named = [plain(arguments[name]) for name in tool.path if name in arguments]
    alike = sum(key.casefold() in PATHS for key in keys_of(arguments))
    return named[0] if len(named) == alike == 1 else ""


def keys_of(value: Any) -> Iterator[str]:
    """All keys of arguments, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield from map(str, one)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def leaves_of(arguments: Any) -> Iterator[tuple[str | None, str]]:
    """All texts of arguments, with the outermost names under which they stand; keys have None."""
    waiting: list[tuple[str, Any]] = [("", arguments)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            for key, member in value.items():
                yield None, str(key)
                waiting.append((name or str(key), member))
        elif isinstance(value, list):
            waiting += [(name, member) for member in value]


def _printed(command: object) -> str:
    """The file that a command prints, and does nothing else."""
    for _ in range(2):  # itself, or what a shell is given to run
        if isinstance(command, list) and all(isinstance(one, str) for one in command):
            script = Script([[Command(list(command))]])
        elif isinstance(command, str):
            script = parse(command)
        else:
            return ""
        if script.cut or len(script.pipelines) != 1 or len(script.pipelines[0]) != 1:
            return ""
        (only,) = script.pipelines[0]
        if only.redirects or only.stdin is not None:
            return ""
        if program_of(only) not in SHELLS:
            return _file_of(only)
        words = only.words[1:]
        if len(words) != 2 or words[0] not in ("-c", "-lc", "-ic"):
            return ""
        command = words[1]
    return ""


def _file_of(command: Command) -> str:
    program, words = program_of(command), command.words[1:]
    if not program or command.words[0] not in (
        program,
        f"/bin/{program}",
        f"/usr/bin/{program}",
    ):
        return ""
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
