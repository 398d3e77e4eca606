"""What a text that goes on might still become: the place in it from which on a pattern could match once more has come.

For each pattern there is another one that matches every proper beginning of its matches. Where that matches at the end of a text, what
follows decides; what stands before is settled, whatever follows: a search there never looks at the text's end. A beginning that awaits
an edge (`\\b`, `$`) counts, as does a match that might grow.
"""

import re
import string
import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as sre  # type: ignore[attr-defined]
from typing import Any

from rules.locate import Pattern, encoded
from rules.normalise import CONTROLS, View, plain, unhide
from rules.patterns import CONTINUATION, Regex, at_end, readable

ENCODED = 12  # characters of what may be base64 or hexadecimal digits; from there on it is held until it ends
EDGE = 64  # characters: what a word near a finding, or its edge, may need
KEPT_IDLE = 20_000  # short texts
MAX_TAIL = 64 * 1024  # characters at a text's end that are looked at

_CLASSES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_PLACES = {op.AT_BEGINNING: "^", op.AT_END: "$", op.AT_BOUNDARY: r"\b", op.AT_NON_BOUNDARY: r"\B"}
_DIGITS, _HEX_PAIRS = string.ascii_letters + string.digits + "+/_=\r\n-", string.hexdigits + " :,"
_CONTROL = re.compile(f"[{CONTROLS}]")
_PAIRS = re.compile(r"(?:[0-9a-fA-F]{2}[ :,]){3}")
_CUT_ESCAPE = re.compile(r"(?:\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%[0-9a-fA-F]?)\Z")


class Boundless(Exception):
    """A pattern of which it cannot be said what its matches begin with."""


class Live:
    """The beginnings of some patterns' matches, looked for at the end of a text.

    `behind`: as many settled characters have a say in new matches.
    """

    def __init__(self, groups: Sequence[Sequence[tuple[Pattern, int]]]):
        """Groups that are compiled together: each pattern with the number of characters behind a match that have a say in it.

        Compiles nothing yet. Raises Boundless.
        """
        known = [one for group in groups for one in group]
        self._groups = [tuple(dict.fromkeys(beginnings(*one) for one in group)) for group in groups if group]
        self._regexes: list[Regex] | None = None
        least = min((int(_tree(pattern.regex).getwidth()[0]) for pattern, _ in known), default=sys.maxsize)
        self._least = least
        self._idle: set[str] = set()
        self._encoded = re.compile(
            rf"[A-Za-z0-9+/_=-]{{{min(ENCODED, -(-least * 4 // 3))}}}|(?:[0-9a-fA-F]{{2}}[ :,]){{3}}"
        )
        self.behind = EDGE + max(
            (max(reach, pattern.within + EDGE if pattern.near else 0) for pattern, reach in known), default=0
        )

    @property
    def ready(self) -> bool:
        """Whether it can be used without delay."""
        return self._regexes is not None or not self._groups

    def warm(self) -> None:
        """Have it ready; takes a tenth of a second for every hundred patterns or so."""
        if self._regexes is None:
            self._regexes = [at_end(group) for group in self._groups]

    def start(self, text: str, first: int = 0) -> int:
        """Where in a text that may go on the unsettled part begins, not before `first`; its length where all is settled."""
        if not self._groups or first >= len(text):
            return len(text)
        if self._regexes is None:
            self.warm()
        if is_plain(text):
            return max(first, min(self._start(text, first), _run(text, first)))
        settled = min(self._start(text, first), _run(text, first))
        for view in (plain(0, text), *_views(text)):
            cut = _CUT_ESCAPE.search(view.text, len(view.text) - 6 if len(view.text) > 6 else 0)
            shown = view.text[: cut.start()] if cut else view.text
            at = min(self._start(shown, 0), len(shown))
            if at < len(view.text):
                settled = min(settled, *(start for _, start, _ in view.back(at, len(view.text))))
        return max(first, settled)

    def idle(self, before: str, text: str) -> bool:
        """Whether a text of plain characters, behind one that is settled and ends in `before`, is settled at once, and brings no match.

        Known without looking for what came lately: tokens come again and again.
        """
        name = before + text
        if name in self._idle:
            return True
        if not is_plain(name) or (
            before in _DIGITS and text[:1] in _DIGITS
        ):  # digits of some encoding might go on
            return False
        if self.may_match(name, len(before)) or self.start(name, len(before)) < len(name):
            return False
        if len(self._idle) >= KEPT_IDLE:
            self._idle.clear()
        self._idle.add(name)
        return True

    def may_match(self, text: str, first: int) -> bool:
        """Whether a match may end behind `first`, going by the lengths alone; what is encoded may have begun before."""
        return (
            len(text) - first >= self._least
            or self._encoded.search(text, max(0, first - ENCODED)) is not None
        )

    def _start(self, text: str, first: int) -> int:
        first = max(first, len(text) - MAX_TAIL)
        data = encoded(text)
        ascii = len(data) == len(text)
        before = first if ascii else len(encoded(text[:first]))
        found = len(data)
        for regex in self._regexes or ():
            match = regex.search(data, before)
            if match is not None and match.start() < found:
                found = match.start()
        return found if ascii else first + len(data[before:found].translate(None, CONTINUATION))


def is_plain(text: str) -> bool:
    """Whether nothing in a text can stand for anything but itself, but for what is encoded as a whole."""
    return text.isascii() and "\\" not in text and "%" not in text and _CONTROL.search(text) is None


def _run(text: str, first: int) -> int:
    """Where at the end of a text digits of some encoding begin; its length where there are too few."""
    length, first = len(text), max(0, first - ENCODED + 1)
    if length - first < ENCODED:
        return length
    for digits in (_DIGITS, _HEX_PAIRS):
        begun = len(text[first:].rstrip(digits)) + first
        if length - begun >= ENCODED and (
            digits is _DIGITS or _PAIRS.search(text, length - ENCODED) is not None
        ):
            return begun
    return length


def _views(text: str) -> list[View]:
    """How a text reads where it hides characters, and how that reads again; what is encoded as a whole is held by its run."""
    views: list[View] = []
    deeper: list[View] = []
    _unhide(plain(0, text), views)
    for view in views:
        _unhide(view, deeper)
    return views + deeper


def _unhide(view: View, into: list[View]) -> None:
    tripped = {"escape"} if "\\" in view.text else set()
    tripped |= {"percent"} if "%" in view.text else set()
    tripped |= {"control"} if _CONTROL.search(view.text) is not None else set()
    tripped |= set() if view.text.isascii() else {"hidden", "styled", "lookalike"}
    if tripped:
        unhide(view, frozenset(tripped), into)


@lru_cache(maxsize=8192)
def beginnings(pattern: Pattern, reach: int) -> str:
    """A regex of every proper beginning of a pattern's match, and of what behind one has a say in it."""
    shape = _tree(pattern.regex)
    begun = _begun(shape, *_flags_of(shape)) or ""
    if not pattern.near and not reach:
        return _whole(shape, begun)
    behind = [rf"[\s\S]{{0,{reach}}}"] if reach else []
    if pattern.near:
        near = _tree(pattern.near)
        behind.append(rf"[\s\S]{{0,{pattern.within}}}" + _whole(near, _begun(near, *_flags_of(near)) or ""))
    full = _whole(shape, _sequence(list(shape), *_flags_of(shape)))
    return f"(?:{_whole(shape, begun)}|{full}(?:{'|'.join(behind)}))"


def _tree(regex: str) -> Any:
    text = readable(regex)
    if text is None:
        raise Boundless(regex)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sre.parse(text)
    except (re.error, OverflowError, RecursionError):
        raise Boundless(regex) from None


def _flags_of(tree: Any) -> tuple[bool, bool]:
    return bool(tree.state.flags & re.IGNORECASE), bool(tree.state.flags & re.DOTALL)


def _whole(tree: Any, text: str) -> str:
    caseless, dotall = _flags_of(tree)
    return f"(?{'i' * caseless}{'s' * dotall}:{text})"


def _begun(items: Sequence[tuple[Any, Any]], caseless: bool, dotall: bool) -> str | None:
    """Every proper beginning of a sequence, the empty one included; None where there is nothing to begin."""
    rest: str | None = None
    for item in reversed(list(items)):
        rest = _begun_with(item, rest, caseless, dotall)
    return rest


def _begun_with(item: tuple[Any, Any], rest: str | None, caseless: bool, dotall: bool) -> str:
    """The beginnings of an item, and those of what follows it, where that is something, behind the whole item."""
    code, argument = item
    ways = []
    if code is op.SUBPATTERN:
        within, dots, flag = _flags(argument, caseless, dotall)
        ways.append(f"(?{flag}:{_begun(list(argument[3]), within, dots) or ''})")
    elif code is op.BRANCH:
        ways += [_begun(list(branch), caseless, dotall) or "" for branch in argument[1]]
    elif code in (op.MAX_REPEAT, op.MIN_REPEAT):
        _, high, inside = argument
        most = "" if high is op.MAXREPEAT else str(max(0, high - 1))
        one = _sequence(list(inside), caseless, dotall)
        ways.append(f"(?:{one}){{0,{most}}}(?:{_begun(list(inside), caseless, dotall) or ''})")
    if rest is not None:
        ways.append(_item(item, caseless, dotall) + rest)
    return f"(?:{'|'.join(dict.fromkeys(ways))})?" if ways else ""


def _sequence(items: Sequence[tuple[Any, Any]], caseless: bool, dotall: bool) -> str:
    return "".join(_item(item, caseless, dotall) for item in items)


def _item(item: tuple[Any, Any], caseless: bool, dotall: bool) -> str:
    """An item as RE2 writes it."""
    code, argument = item
    if code is op.LITERAL:
        return _character(argument)
    if code is op.NOT_LITERAL:
        return f"[^{_character(argument)}]"
    if code is op.ANY:
        return r"[\s\S]" if dotall else r"[^\n]"
    if code is op.AT and argument in _PLACES:
        return _PLACES[argument]
    if code is op.IN:
        return f"[{''.join(map(_member, argument))}]"
    if code is op.BRANCH:
        return f"(?:{'|'.join(_sequence(list(branch), caseless, dotall) for branch in argument[1])})"
    if code is op.SUBPATTERN:
        within, dots, flag = _flags(argument, caseless, dotall)
        return f"(?{flag}:{_sequence(list(argument[3]), within, dots)})"
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, inside = argument
        return (
            f"(?:{_sequence(list(inside), caseless, dotall)}){{{low},{'' if high is op.MAXREPEAT else high}}}"
        )
    raise Boundless(str(code))


def _member(member: tuple[Any, Any]) -> str:
    kind, value = member
    if kind is op.NEGATE:
        return "^"
    if kind is op.CATEGORY and value in _CLASSES:
        return _CLASSES[value]
    if kind is op.LITERAL:
        return _character(value)
    if kind is op.RANGE:
        return f"{_character(value[0])}-{_character(value[1])}"
    raise Boundless(str(kind))


def _character(code: int) -> str:
    return rf"\x{{{code:x}}}"


def _flags(argument: Any, caseless: bool, dotall: bool) -> tuple[bool, bool, str]:
    """What holds inside a group, and how the group says so."""
    _, added, taken, _ = argument
    flag = "i" if added & re.IGNORECASE else "-i" if taken & re.IGNORECASE else ""
    inner = (caseless or bool(added & re.IGNORECASE)) and not taken & re.IGNORECASE
    return inner, (dotall or bool(added & re.DOTALL)) and not taken & re.DOTALL, flag


NOTHING = Live(())
