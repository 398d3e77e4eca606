r"""Finds the earliest position in an unfinished text from which some pattern could still
match when more arrives.

Of each pattern a second one is made, which matches every proper prefix of its matches:

    sk-[a-z]{4}    →    (?:s(?:k(?:-(?:[a-z]{0,3})?)?)?)?

If it matches up to the end of the text, the start of that match is the first undecided
position; whatever begins earlier needs no text that has not arrived:

    pattern            text           earliest    held      why
    sk-[a-z]{4}        use sk-ab      4           "sk-ab"   two letters more, and it is a key
    sk-[a-z]{4}        use sk-9       8 (all)     –         no match can hold "sk-9"
    key with edges     my key         3           "key"     "keys" would be no match

So a word that is complete but for its closing edge (`\b`) is held, too, and so is a
match that more characters would lengthen. A run that may be base64 or hexadecimal text
is held until it ends, and decoded then.
"""

import re
import string
import sys
from collections.abc import Sequence
from functools import lru_cache

from rules.escapes import WAYS
from rules.locate import Pattern, encoded
from rules.normalise import CONTROLS, unhide
from rules.patterns import CONTINUATION, Regex, at_end
from rules.regex_tree import (
    AnyBut,
    AnyCharacter,
    Branch,
    Edge,
    Group,
    Literal,
    Node,
    Repeat,
    Set,
    Tree,
    tree_of,
)
from rules.views import View, plain

# Characters of a run that may be base64 or hexadecimal digits; a longer one is held until it
# ends. Words of ordinary prose are shorter.
ENCODED = 12
EDGE = 64  # characters after a finding that its edge, or a keyword near it, may need
MAX_IDLE = 20_000  # short texts known to be settled at once; some 2 MB
MAX_TAIL = 64 * 1024  # characters at the end of a text that are searched

_DIGITS = string.ascii_letters + string.digits + "+/_=\r\n-"
_HEX_PAIRS = string.hexdigits + " \t:,;-xX"
_CONTROL = re.compile(f"[{CONTROLS}]")
PAIRS = r"(?:(?:0[xX])?[0-9a-fA-F]{2}[ \t]?[ :,;-][ \t]?){3}"
_PAIRS = re.compile(PAIRS)
WIDEST_PAIRS = 21  # characters of three
_CUT_ESCAPE = re.compile(
    r"(?:\\(?:u[0-9a-fA-F]{0,3}|[ux]\{[0-9a-fA-F]{0,8}|U0{0,6}[0-9a-fA-F]?|x[0-9a-fA-F]?|[01][0-7]?)?"
    r"|%[0-9a-fA-F]?|&#?[0-9A-Za-z]{0,12}|=[0-9A-F\r]?|\x1b(?:\[[0-9;:?]{0,12})?)\Z"
)
LONGEST_ESCAPE = 16  # characters
# Codes of `rules.escapes`, whole or cut, but for those with a mark that stands for nothing else.
_CODE = re.compile(r"&(?:[#A-Za-z]|\Z)|=(?:[2-7][0-9A-F]|\r?\n|[2-7\r]?\Z)")


MARKS = {name: way.mark.decode() for name, way in WAYS.items()}


class Boundless(Exception):
    """A pattern without a tree: nobody can tell how its matches begin."""


class PartialMatches:
    """The prefix patterns of some patterns.

    `lookback`: how many settled characters a later match may still need before it, as
    its edge or as keywords near it.
    """

    def __init__(self, groups: Sequence[Sequence[tuple[Pattern, int]]]):
        """Each group is compiled together. A pattern comes with its reach: the characters behind a match that exceptions look at.

        Compiles nothing yet. Raises Boundless.
        """
        known = [one for group in groups for one in group]
        self._groups = [
            tuple(dict.fromkeys(prefix_regex(*one) for one in group))
            for group in groups
            if group
        ]
        self._regexes: list[Regex] | None = None
        self._least = min(
            (_tree(pattern.regex).least for pattern, _ in known), default=sys.maxsize
        )
        self._idle: set[str] = set()
        # The fewest characters in which a match can hide, in base64 (4 for 3).
        digits = min(ENCODED, -(-self._least * 4 // 3))
        self._encoded = re.compile(rf"[A-Za-z0-9+/_=-]{{{digits}}}|{PAIRS}")
        reaches = (
            max(reach, pattern.within + EDGE if pattern.near else 0)
            for pattern, reach in known
        )
        self.lookback = EDGE + max(reaches, default=0)

    @property
    def ready(self) -> bool:
        """Whether it can be used without a delay for compiling."""
        return self._regexes is not None or not self._groups

    def warm(self) -> None:
        """Compile; takes some 0.1 s for a hundred patterns."""
        if self._regexes is None:
            self._regexes = [at_end(group) for group in self._groups]

    def earliest(self, text: str, first: int = 0) -> int:
        """The earliest position, from `first` on, where a match may begin that needs later text.

        The length of the text where it is all settled.
        """
        if not self._groups or first >= len(text):
            return len(text)
        if self._regexes is None:
            self.warm()
        settled = min(self._search(text, first), _encoded_run(text, first))
        if is_plain(text):
            return max(first, settled)
        for view in (plain(0, text), *_views(text)):
            cut = _CUT_ESCAPE.search(view.text, max(0, len(view.text) - LONGEST_ESCAPE))
            shown = view.text[: cut.start()] if cut else view.text
            at = min(self._search(shown, 0), len(shown))
            if at < len(view.text):
                places = view.back(at, len(view.text))
                settled = min(settled, *(start for _, start, _ in places))
        return max(first, settled)

    def is_idle(self, before: str, text: str) -> bool:
        """Whether `text` is settled at once and ends no match, where all before it is settled.

        `before` is the last character before it. The answer is remembered: a model's tokens
        come again and again.
        """
        name = before + text
        if name in self._idle:
            return True
        continues_digits = before in _DIGITS and text[:1] in _DIGITS
        if not is_plain(name) or continues_digits:
            return False
        if self.may_match(name, len(before)):
            return False
        if self.earliest(name, len(before)) < len(name):
            return False
        if len(self._idle) >= MAX_IDLE:
            self._idle.clear()
        self._idle.add(name)
        return True

    def may_match(self, text: str, first: int) -> bool:
        """Whether a match may end behind `first`, by the length of matches alone.

        An encoded match may have begun before `first`.
        """
        if len(text) - first >= self._least:
            return True
        return self._encoded.search(text, max(0, first - ENCODED)) is not None

    def _search(self, text: str, first: int) -> int:
        """The earliest match of a prefix pattern that reaches the text's end."""
        first = max(first, len(text) - MAX_TAIL)
        data = encoded(text)
        ascii = len(data) == len(text)
        before = first if ascii else len(encoded(text[:first]))
        found = len(data)
        for regex in self._regexes or ():
            match = regex.search(data, before)
            if match is not None and match.start() < found:
                found = match.start()
        if ascii:
            return found
        return first + len(data[before:found].translate(None, CONTINUATION))


def is_plain(text: str) -> bool:
    """Whether no single character of a text is escaped, hidden or a look-alike."""
    return (
        text.isascii()
        and "\\" not in text
        and "%" not in text
        and _CODE.search(text) is None
        and _CONTROL.search(text) is None
    )


def _encoded_run(text: str, first: int) -> int:
    """Where a run of encoded text begins that reaches the text's end; its length where none does."""
    length, first = len(text), max(0, first - ENCODED + 1)
    if length - first < ENCODED:
        return length
    for digits in (_DIGITS, _HEX_PAIRS):
        begin = len(text[first:].rstrip(digits)) + first
        if length - begin >= ENCODED and (
            digits is _DIGITS
            or _PAIRS.search(text, max(0, length - WIDEST_PAIRS)) is not None
        ):
            return begin
    return length


def _views(text: str) -> list[View]:
    """A text without its escapes and hidden characters, and once more without those that shows.

    Runs that are encoded as a whole are not decoded here: they are held (`_encoded_run`).
    """
    views: list[View] = []
    deeper: list[View] = []
    _unhide(plain(0, text), views)
    for view in views:
        _unhide(view, deeper)
    return views + deeper


def _unhide(view: View, into: list[View]) -> None:
    tripped = {name for name, mark in MARKS.items() if mark in view.text}
    tripped |= {"control"} if _CONTROL.search(view.text) is not None else set()
    tripped |= set() if view.text.isascii() else {"hidden", "styled", "lookalike"}
    if tripped:
        unhide(view, frozenset(tripped), into)


@lru_cache(maxsize=8192)
def prefix_regex(pattern: Pattern, reach: int) -> str:
    """A regex of every proper prefix of a pattern's matches.

    With `reach`, or keywords near, also of a whole match with what may follow it. Raises
    Boundless.
    """
    tree = _tree(pattern.regex)
    prefix = _with_flags(tree, _prefixes(tree.items) or "")
    if not pattern.near and not reach:
        return prefix
    behind = [rf"[\s\S]{{0,{reach}}}"] if reach else []
    if pattern.near:
        near = _tree(pattern.near)
        keywords = _with_flags(near, _prefixes(near.items) or "")
        behind.append(rf"[\s\S]{{0,{pattern.within}}}{keywords}")
    whole = _with_flags(tree, _sequence(tree.items))
    return f"(?:{prefix}|{whole}(?:{'|'.join(behind)}))"


def _tree(regex: str) -> Tree:
    tree = tree_of(regex)
    if tree is None:
        raise Boundless(regex)
    return tree


def _with_flags(tree: Tree, text: str) -> str:
    caseless, dotall, _ = tree.flags
    return f"(?{'i' * caseless}{'s' * dotall}:{text})"


def _prefixes(items: Sequence[Node]) -> str | None:
    """A regex of all proper prefixes of a sequence, the empty one included; None for no items."""
    rest: str | None = None
    for item in reversed(items):
        rest = _prefixes_from(item, rest)
    return rest


def _prefixes_from(item: Node, rest: str | None) -> str:
    """The prefixes of an item, and the whole item with the prefixes of what follows it."""
    ways = []
    match item:
        case Group():
            ways.append(f"(?{item.case}:{_prefixes(item.items) or ''})")
        case Branch():
            ways += [_prefixes(branch) or "" for branch in item.branches]
        case Repeat():
            most = "" if item.high is None else max(0, item.high - 1)
            one = _sequence(item.items)
            ways.append(f"(?:{one}){{0,{most}}}(?:{_prefixes(item.items) or ''})")
    if rest is not None:
        ways.append(_written(item) + rest)
    return f"(?:{'|'.join(dict.fromkeys(ways))})?" if ways else ""


def _sequence(items: Sequence[Node]) -> str:
    return "".join(map(_written, items))


def _written(item: Node) -> str:
    """An item as RE2 writes it."""
    match item:
        case Literal():
            return _character(item.code)
        case AnyBut():
            return f"[^{_character(item.code)}]"
        case AnyCharacter():
            return r"[\s\S]" if item.newline else r"[^\n]"
        case Edge():
            return f"(?m:{item.sign})" if item.multiline else item.sign
        case Set():
            members = "".join(map(_member, item.order))
            return f"[{'^' if item.negated else ''}{members}]"
        case Branch():
            return f"(?:{'|'.join(map(_sequence, item.branches))})"
        case Group():
            return f"(?{item.case}:{_sequence(item.items)})"
        case Repeat():
            most = "" if item.high is None else item.high
            return f"(?:{_sequence(item.items)}){{{item.low},{most}}}"


def _member(member: tuple[int, int] | str) -> str:
    if isinstance(member, str):
        return member
    low, high = member
    if low == high:
        return _character(low)
    return f"{_character(low)}-{_character(high)}"


def _character(code: int) -> str:
    return rf"\x{{{code:x}}}"


NOTHING = PartialMatches(())
