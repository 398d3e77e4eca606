"""`match: {command: …}`: a command by program, subcommand, flags and targets.

A spec becomes a pattern, which finds the lines of its programs (`lines.py`), and a check of
one line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

# Around and between the commands of a line, and before a redirected file.
BEGIN, END, WORD, PIPE, REDIRECT = "\ue000", "\ue001", "\x1f", "\ue002", "\ue003"


@dataclass(frozen=True)
class CommandSpec:
    """What a command must be. Empty fields ask for nothing.

    `program` are names or globs; `subcommand` words that follow one another, options
    between them ignored; each of `flags` has alternatives (`r|R|recursive`), of which one
    must be there; `targets` are globs of paths, of which any operand, value or redirected
    file must be one; `writes` the same for files written by redirection; `into` are
    programs of which one follows in the pipeline. In a glob of a path `*` does not cross a
    slash, `**` does.
    """

    program: tuple[str, ...] = ()
    subcommand: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    into: tuple[str, ...] = ()

    @property
    def regex(self) -> str:
        """Finds the lines that `matches` is asked about."""
        programs = (
            "|".join(map(_program_regex, self.program)) or f"[^{WORD}{END}{PIPE}]*"
        )
        return f"{BEGIN}(?:{programs})[{WORD}{PIPE}{END}][^{END}]*"

    def matches(self, line: str) -> bool:
        """Whether the first command of a line is one."""
        first, *following = line.strip(BEGIN + END).split(PIPE)
        words = first.split(WORD)[1:]
        files = [word[1:] for word in words if word.startswith(REDIRECT)]
        words = [word for word in words if not word.startswith(REDIRECT)]
        flags, operands = _options(words)
        return (
            self._has_subcommand(operands)
            and all(not flags.isdisjoint(one) for one in self._flags)
            and self._hits(self._targets, (*words, *files))
            and self._hits(self._writes, [f for f in files if f.startswith(">")])
            and (
                not self.into
                or any(self._into.fullmatch(one.split(WORD)[0]) for one in following)
            )
        )

    def _has_subcommand(self, operands: Sequence[str]) -> bool:
        return not self.subcommand or any(
            tuple(one.split()) == tuple(operands[: len(one.split())])
            for one in self.subcommand
        )

    @staticmethod
    def _hits(globs: "re.Pattern[str] | None", words: Sequence[str]) -> bool:
        return globs is None or any(
            globs.fullmatch(candidate) for word in words for candidate in _paths(word)
        )

    @cached_property
    def _flags(self) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(one.split("|")) for one in self.flags)

    @cached_property
    def _targets(self) -> "re.Pattern[str] | None":
        return _globs(self.targets)

    @cached_property
    def _writes(self) -> "re.Pattern[str] | None":
        return _globs(self.writes)

    @cached_property
    def _into(self) -> "re.Pattern[str]":
        return re.compile("|".join(map(_program_regex, self.into)))


def _options(words: Sequence[str]) -> tuple[set[str], list[str]]:
    """Flags, by name and, for those of one dash, by letter; and operands.

    Those of cmd.exe (`/s`) count as flags, too.
    """
    flags: set[str] = set()
    operands: list[str] = []
    for at, word in enumerate(words):
        if word == "--":
            operands += words[at + 1 :]
            break
        if word.startswith("--"):
            flags.add(word[2:].partition("=")[0])
        elif word.startswith("-") and len(word) > 1:
            flags |= {word[1:].lower() if len(word) > 3 else word[1:], *word[1:]}
            flags.add(word[1:])
        else:
            if re.fullmatch(r"/[a-zA-Z?]{1,2}", word):
                flags.add(word.lower())
            operands.append(word)
    return flags, operands


def _paths(word: str) -> list[str]:
    """What a word may name: itself, the value behind `=`, the file behind `@`, a redirected file."""
    found = [word, word.lstrip("<>&|")]
    for sign in ("=@", "@", "=", "<"):
        if sign in word:
            found.append(word.partition(sign)[2])
    if re.match(r"-[A-Za-z]./|-[A-Za-z][/~]", word):
        found.append(word[2:])
    return found


def _program_regex(glob: str) -> str:
    return re.escape(glob).replace(r"\*", f"[^{WORD}{END}{PIPE}]*")


def _globs(globs: Sequence[str]) -> "re.Pattern[str] | None":
    return re.compile("|".join(map(_path_regex, globs))) if globs else None


def _path_regex(glob: str) -> str:
    """`*` stays within a segment, `**` does not; `[*]` is a star."""
    pieces: list[str] = []
    for token in re.findall(r"\*\*|\*|\?|\[[^\]]*\]|[^*?\[]+|\[", glob):
        pieces.append(
            {"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token)
            or (token if token[0] == "[" and len(token) > 1 else re.escape(token))
        )
    return "(?s:" + "".join(pieces) + ")"
