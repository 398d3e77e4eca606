"""Finds the commands that a command line runs in the end.

sudo -u x env A=1 rm -rf /        rm -rf /
bash -lc 'cd /; rm -rf *'         cd /, rm -rf *
echo 'rm -rf /' | sh              rm -rf /
find . -exec rm {} +              rm {}, besides find itself
powershell -Command "…"           what PowerShell would run
"""

from collections.abc import Callable, Iterator
from posixpath import basename

from rules.commands import powershell, shell
from rules.commands.shell import ASSIGNMENT, MAX_DEPTH, Command, Pipeline, Script

# Programs that run the words after their own options, and their options with a value.
WRAPPERS: dict[str, tuple[str, ...]] = {
    "sudo": (
        *("-u", "-g", "-h", "-p", "-C", "-r", "-t", "-U", "-D", "-R", "-T"),
        *("--user", "--group", "--host", "--prompt", "--chdir", "--chroot", "--role"),
    ),
    "doas": ("-u", "-C"),
    "pkexec": ("--user",),
    "runuser": ("-u", "-g", "-G", "-s", "--user", "--group", "--shell"),
    "env": ("-u", "-C", "--chdir", "--unset"),
    "command": (),
    "builtin": (),
    "exec": ("-a",),
    "nohup": (),
    "time": ("-f", "-o"),
    "setsid": (),
    "nice": ("-n", "--adjustment"),
    "ionice": ("-c", "-n", "-p"),
    "stdbuf": ("-i", "-o", "-e"),
    "timeout": ("-s", "-k", "--signal", "--kill-after"),
    "flock": ("-w", "-E", "--timeout"),
    "xargs": (
        *("-I", "-n", "-P", "-L", "-d", "-s", "-a", "-E"),
        *("--max-args", "--max-procs", "--delimiter", "--arg-file", "--max-lines"),
    ),
    "parallel": ("-j", "-I", "-n", "-N", "-a", "-S", "--jobs", "--sshlogin"),
    "busybox": (),
    "toybox": (),
    "chroot": (),
    "watch": ("-n",),
    "strace": ("-e", "-o", "-p"),
    "unbuffer": (),
    "caffeinate": ("-t", "-w"),
}
OPERANDS = {"timeout": 1, "chroot": 1, "flock": 1}  # operands before the command
SHELLS = frozenset(("sh", "bash", "zsh", "dash", "ksh", "ash", "fish", "rbash"))
POWERSHELLS = frozenset(("powershell", "pwsh"))
# Options of ssh with a value.
SSH_VALUES = tuple(f"-{letter}" for letter in "bcDEeFIiJLlmOopQRSWw")
MAX_STEPS = 20  # wrappers around one command


def unwrapped(script: Script, depth: int = 0) -> Iterator[Pipeline]:
    """The pipelines that run in the end. What a bound cuts, `script.cut` tells."""
    for pipeline in script.pipelines:
        inner: list[Script] = []
        effective: Pipeline = []
        before: Command | None = None
        for command in pipeline:
            command = _without_wrappers(command)
            inner += _scripts(command, before, depth)
            effective.append(command)
            before = command
        yield effective
        for one in inner:
            script.cut = script.cut or one.cut
            if depth < MAX_DEPTH:
                yield from unwrapped(one, depth + 1)
            else:
                script.cut = True
            script.cut = script.cut or one.cut


def program_of(command: Command) -> str:
    """The program's name: without folder, `.exe` and case."""
    if not command.words:
        return ""
    name = basename(command.words[0].replace("\\", "/")).lower()
    return name.removesuffix(".exe")


def _without_wrappers(command: Command) -> Command:
    words = list(command.words)
    for _ in range(MAX_STEPS):
        # `time`, which is a word of the shell's own, may leave its option.
        while words and (ASSIGNMENT.match(words[0]) or words[0].startswith("-")):
            words.pop(0)
        name = program_of(Command(words))
        if name not in WRAPPERS:
            break
        given = _split(words[1:]) if name == "env" else words[1:]
        rest = _after_options(given, WRAPPERS[name])[OPERANDS.get(name, 0) :]
        while rest and ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        if not rest:
            break  # `env` alone prints the environment
        words = rest
    return Command(words, command.redirects, command.stdin)


def _split(words: list[str]) -> list[str]:
    """The words of `env`, with what `-S` has as one word."""
    for at, word in enumerate(words):
        if word in ("-S", "--split-string"):
            line, rest = " ".join(words[at + 1 : at + 2]), words[at + 2 :]
        elif word.startswith(("-S", "--split-string=")):
            line, rest = word.removeprefix("-S").partition("=")[2] or word[2:], words[at + 1 :]  # fmt: skip
        else:
            continue
        pipelines = shell.parse(line).pipelines
        return [*words[:at], *(pipelines[0][0].words if pipelines else ()), *rest]
    return words


def _after_options(words: list[str], with_value: tuple[str, ...]) -> list[str]:
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        if words[at] == "--":
            return words[at + 1 :]
        at += 2 if words[at] in with_value else 1
    return words[at:]


def _scripts(command: Command, before: Command | None, depth: int) -> list[Script]:
    """The scripts that a command runs, besides itself."""
    name, words = program_of(command), command.words[1:]
    read: Callable[[str], Script] = lambda text: shell.parse(text, depth + 1)  # noqa: E731
    if name in SHELLS:
        return [read(text) for text in _of_shell(words, command, before)]
    if name == "eval":
        return [read(" ".join(words))]
    if name == "trap":
        return [read(word) for word in words[:1]]
    if name in ("su", "runuser", "flock"):
        at = next(
            (n for n, word in enumerate(words) if word in ("-c", "--command")), -1
        )
        return [read(words[at + 1])] if 0 <= at < len(words) - 1 else []
    if name == "ssh":
        rest = _after_options(words, SSH_VALUES)
        return [read(" ".join(rest[1:]))] if len(rest) > 1 else []
    if name == "find":
        return list(_of_find(words))
    if name in POWERSHELLS:
        at = next((n for n, w in enumerate(words) if "-command".startswith(w.lower()) and len(w) > 1), -1)  # fmt: skip
        rest = words[at + 1 :] if at >= 0 else _after_options(words, ())
        return [powershell.parse(" ".join(rest))] if rest else []
    if name == "cmd":
        at = next((n for n, w in enumerate(words) if w.lower() in ("/c", "/k")), -1)
        return (
            [powershell.parse(" ".join(words[at + 1 :]), escape="^")] if at >= 0 else []
        )
    return []


def _of_shell(
    words: list[str], command: Command, before: Command | None
) -> Iterator[str]:
    for at, word in enumerate(words):
        if word.startswith("-") and not word.startswith("--") and "c" in word[1:]:
            yield from words[at + 1 : at + 2]
            return
        if not word.startswith(("-", "+")):
            return  # a file
    if command.stdin is not None:
        yield command.stdin
    elif before is not None and before.stdin is not None:
        yield before.stdin
    elif before is not None and program_of(before) in ("echo", "printf"):
        yield " ".join(word for word in before.words[1:] if not word.startswith("-"))


def _of_find(words: list[str]) -> Iterator[Script]:
    for at, word in enumerate(words):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            rest = words[at + 1 :]
            end = next((n for n, w in enumerate(rest) if w in (";", "+")), len(rest))
            if rest[:end]:
                yield Script([[Command(rest[:end])]])
