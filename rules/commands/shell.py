r"""Reads a command line as a POSIX shell would, as far as no knowledge of the machine is needed.

    rm -rf "$HOME"/x && (cd /; sudo r\m * | tee >log)

    → [[rm -rf ~/x]], [[cd /]], [[sudo rm *], [tee, > log]]

Quotes, escapes, `$'…'`, braces, variables that the line itself sets, `$(echo …)`, here
documents. What a variable or a substitution holds otherwise is unknown: `$NAME` stays, and a
substitution's commands are read as commands of their own. Total and bounded: any text gives
pipelines; what exceeds a bound is left out and `cut` says so.
"""

import re
from dataclasses import dataclass, field

from rules.commands.expand import (
    CLOSE,
    COMMA,
    MAX_BRACES,
    OPEN,
    SPLIT,
    ansi,
    braces,
)

MAX_TEXT = (
    64 * 1024
)  # characters; the longest scripts that agents write have some 20,000
MAX_COMMANDS = 500  # of one text
MAX_WORDS = 2_000  # of one command, after braces
MAX_BRACED = 1_024  # characters of a word whose braces are expanded
MAX_VALUE = 4_096  # characters of a variable; `X=$X$X` doubles it each time
MAX_EXPANDED = 64 * 1024  # characters that the variables of one text become
MAX_DEPTH = 8  # substitutions and scripts inside one another
UNKNOWN = "\ue004"  # what a substitution would print
_MARKS = str.maketrans("", "", "".join(map(chr, range(0xE000, 0xE014))))
RESERVED = frozenset(
    "if then elif else fi do done while until for case esac in select function { } ! time coproc".split()  # noqa: SIM905
)
HEADS = frozenset(("for", "select", "case"))
OPERATORS = ("&&", "||", "|&", ";;", ";", "&", "|", "\n", "(", ")")
BLANKS = re.compile(r"\s+")
REDIRECT = re.compile(r"(?:\d{0,2}|&)(?:<<<|<<-?|<>|>>|>\||>&|<&|>|<)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")


@dataclass(slots=True)
class Command:
    """A simple command: its words, program first, and what it redirects: (sign, target).

    `stdin` is a here document, or a here string.
    """

    words: list[str] = field(default_factory=list)
    redirects: list[tuple[str, str]] = field(default_factory=list)
    stdin: str | None = None


Pipeline = list[Command]


@dataclass(slots=True)
class Script:
    """The pipelines of a text, in their order, those of substitutions before theirs.

    `cut`: it is longer, or deeper, than is read.
    """

    pipelines: list[Pipeline] = field(default_factory=list)
    cut: bool = False


def parse(text: str, depth: int = 0) -> Script:
    """The pipelines of a text. Never raises."""
    reader = _Reader(text[:MAX_TEXT].translate(_MARKS), depth)
    reader.script.cut = len(text) > MAX_TEXT
    reader.read()
    return reader.script


class _Reader:
    """One pass over a text."""

    def __init__(self, text: str, depth: int):
        self.script = Script()
        self._text, self._at, self._depth = text, 0, depth
        self._variables = {"HOME": "~", "IFS": " \t\n"}
        self._pipeline: Pipeline = []
        self._command = Command()
        self._inner: list[Pipeline] = []  # of substitutions in the current command
        self._documents: list[tuple[Command, str, bool]] = []
        self._count = self._expanded = 0
        self._in_head = False  # of a loop or a case, which runs nothing
        self._at_word_start = False

    def read(self) -> None:
        text = self._text
        while self._at < len(text):
            if self._count >= MAX_COMMANDS:
                self.script.cut = True
                break
            char = text[self._at]
            if char in " \t\r":
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
            elif char == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif (redirect := REDIRECT.match(text, self._at)) is not None:
                self._redirect(redirect)
            elif (sign := self._operator()) is not None:
                self._at += len(sign)
                self._end_command(sign)
            else:
                self._word_of_command()
        self._end_command("")

    def _operator(self) -> str | None:
        return next((o for o in OPERATORS if self._text.startswith(o, self._at)), None)

    def _end_command(self, sign: str) -> None:
        command, self._command = self._command, Command()
        if self._in_head:
            command, self._in_head = Command(), False
        for name, value in self._assigned(command):
            self._variables[name] = value if len(value) <= MAX_VALUE else UNKNOWN
        if command.words or command.redirects:
            self._count += 1
            self._pipeline.append(command)
        # What a substitution prints goes into the command that it stands in.
        after = [command] if command.words else []
        for pipeline in self._inner:
            self.script.pipelines.append([*pipeline, *after])
        self._inner = []
        if sign not in ("|", "|&") and self._pipeline:
            self.script.pipelines.append(self._pipeline)
            self._pipeline = []
        if sign == "\n" and self._documents:
            self._read_documents()

    def _assigned(self, command: Command) -> list[tuple[str, str]]:
        """The variables that a command of nothing but assignments sets."""
        words = command.words
        if not words or not all(ASSIGNMENT.match(word) for word in words):
            return []
        command.words = []
        return [
            (name.removesuffix("+"), value)
            for name, _, value in (word.partition("=") for word in words)
        ]

    def _word_of_command(self) -> None:
        words = self._word()
        if not self._command.words and words and words[0] in HEADS:
            self._in_head = True
        if not self._command.words and words and words[0] in RESERVED:
            words = words[1:]
        room = MAX_WORDS - len(self._command.words)
        self.script.cut = self.script.cut or len(words) > room
        self._command.words += words[:room]

    def _redirect(self, found: "re.Match[str]") -> None:
        sign = found[0].lstrip("0123456789&")
        self._at = found.end()
        while self._text[self._at : self._at + 1] in (" ", "\t"):
            self._at += 1
        if found[0] in ("<", ">") and self._text[self._at : self._at + 1] == "(":
            self._at += 1
            self._substitute(self._until_close())
            return
        start = self._at
        if self._at >= len(self._text) or self._operator() is not None:
            return
        target = " ".join(self._word())
        if sign.startswith("<<") and sign != "<<<":
            quoted = self._text[start : self._at] != target
            self._documents.append((self._command, target, quoted))
        elif sign == "<<<":
            self._command.stdin = target
        else:
            self._command.redirects.append((sign, target))

    def _read_documents(self) -> None:
        """The here documents that begin after this line."""
        for command, delimiter, quoted in self._documents:
            lines: list[str] = []
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._at = end + 1
                if line.strip("\t") == delimiter:
                    break
                lines.append(line)
            command.stdin = "\n".join(lines)
            if not quoted:
                self._substitutions_in(command.stdin)
        self._documents = []

    def _substitutions_in(self, text: str) -> None:
        """Read the commands that a here document, or a variable's default, runs."""
        if "$(" in text or "`" in text:
            plain = text.replace('"', "").replace("\\\n", "")
            self._read_inner(f'echo "{plain}"')

    def _read_inner(self, text: str) -> Script:
        """Read the commands of a substitution."""
        if self._depth >= MAX_DEPTH:
            self.script.cut = True
            return Script()
        script = parse(text, self._depth + 1)
        self.script.cut = self.script.cut or script.cut
        self._count += len(script.pipelines)
        self._inner += script.pipelines
        return script

    # -- words --------------------------------------------------------------------------

    def _word(self) -> list[str]:
        """The words that the next word becomes."""
        pieces: list[str] = []
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char in " \t\r\n;&|()<>":
                break
            self._at += 1
            self._at_word_start = not pieces
            if char == "'":
                end = text.find("'", self._at)
                end = len(text) if end < 0 else end
                pieces.append(text[self._at : end])
                self._at = end + 1
            elif char == '"':
                pieces.append(self._quoted())
            elif char == "\\":
                if text[self._at : self._at + 1] != "\n":
                    pieces.append(text[self._at : self._at + 1])
                self._at += 1
            elif char == "$":
                pieces.append(self._dollar(quoted=False))
            elif char == "`":
                pieces.append(self._backquoted())
            else:
                pieces.append({"{": OPEN, ",": COMMA, "}": CLOSE}.get(char, char))
        word = "".join(pieces)
        words = [word]
        if OPEN in word and CLOSE in word:
            words = braces(word) if len(word) <= MAX_BRACED else []
            if not words or len(words) >= MAX_BRACES:
                self.script.cut = True
                words = words or [word]
        return [
            piece.replace(OPEN, "{").replace(COMMA, ",").replace(CLOSE, "}")
            for one in words
            for piece in (filter(None, one.split(SPLIT)) if SPLIT in one else [one])
        ]

    def _quoted(self) -> str:
        pieces: list[str] = []
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            self._at += 1
            if char == '"':
                break
            if char == "\\":
                following = text[self._at : self._at + 1]
                self._at += 1
                if following != "\n":
                    pieces.append(
                        following if following in '$`"\\' else "\\" + following
                    )
            elif char == "$":
                pieces.append(self._dollar(quoted=True))
            elif char == "`":
                pieces.append(self._backquoted())
            else:
                pieces.append(char)
        return "".join(pieces)

    def _dollar(self, *, quoted: bool) -> str:
        text = self._text
        if text.startswith("((", self._at):
            self._at += 1
            self._until_close()
            return "0"
        if text.startswith("(", self._at):
            self._at += 1
            printed = self._substitute(self._until_close())
            return printed if quoted else BLANKS.sub(SPLIT, printed)
        if text.startswith("{", self._at):
            end = self._end_of_braces()
            inner = text[self._at + 1 : end]
            self._at = end + 1
            name = NAME.match(inner)
            return self._value(name[0] if name else inner, inner, quoted=quoted)
        if not quoted and text.startswith("'", self._at):
            inside, self._at = ansi(text, self._at + 1)
            return inside
        if not quoted and text.startswith('"', self._at):
            self._at += 1
            return self._quoted()
        if (name := PARAMETER.match(text, self._at)) is not None:
            self._at = name.end()
            return self._value(name[0], name[0], quoted=quoted)
        return "$"

    def _value(self, name: str, written: str, *, quoted: bool) -> str:
        """A variable's value, split where the shell splits; `$NAME` where it is unknown."""
        value = self._variables.get(name)
        if value is None:
            default = written[len(name) :]
            if default.startswith((":-", "-")):
                self._substitutions_in(default)
                return default.lstrip(":-")
            return f"${name}"
        self._expanded += len(value)
        if self._expanded > MAX_EXPANDED:
            self.script.cut = True
            return UNKNOWN
        if not quoted:
            for sign in self._variables["IFS"]:
                value = value.replace(sign, SPLIT)
        return value.translate({0xE010: None}) if quoted else value

    def _backquoted(self) -> str:
        end = self._at
        while end < len(self._text) and self._text[end] != "`":
            end += 2 if self._text[end] == "\\" else 1
        inner = self._text[self._at : end].replace("\\`", "`")
        self._at = end + 1
        return self._substitute(inner)

    def _end_of_braces(self) -> int:
        """Where `${` ends: at a brace that stands in no substitution."""
        depth, last = 0, min(len(self._text), self._at + MAX_VALUE)
        for at in range(self._at, last):
            char = self._text[at]
            depth += (char == "(") - (char == ")")
            if char == "}" and depth <= 0:
                return at
        return last

    def _until_close(self) -> str:
        """The text up to the parenthesis that closes this one."""
        text, start, depth = self._text, self._at, 1
        while self._at < len(text):
            char = text[self._at]
            self._at += 1
            if char == "\\":
                self._at += 1
            elif char == "'":
                end = text.find("'", self._at)
                self._at = len(text) if end < 0 else end + 1
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if not depth:
                    return text[start : self._at - 1]
        return text[start:]

    def _substitute(self, inner: str) -> str:
        """Read a substitution's commands; what it prints, where that is plain."""
        starts_word = self._at_word_start
        script = self._read_inner(inner)
        if len(script.pipelines) == 1 and len(script.pipelines[0]) == 1:
            words = script.pipelines[0][0].words
            if words[:1] in (["echo"], ["printf"]):
                return SPLIT.join(words[1:])
            is_program = starts_word and not self._command.words
            if len(words) == 1 and is_program:
                return words[0]  # `rm` -rf /: who writes so means the program
        return UNKNOWN
