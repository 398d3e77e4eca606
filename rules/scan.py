"""The one multi-pattern pass: which patterns occur anywhere in a call's texts, then where, in each text by itself.

Stage 1 looks at all texts joined by newlines and may only be too generous; stage 2 runs the patterns that it named with RE2, in
windows around the places that it named, over each text alone. A pattern with `near` is looked for around those words only, so
stage 1 asks for the words. Text that hides text trips a wire in the same pass and is read again as it shows (rules.normalise).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import accumulate, groupby
from typing import NamedTuple, Protocol

from rules.hyper import Hyper, Store, sound
from rules.normalise import (
    MAX_DEPTH,
    TRIPWIRES,
    WIRES_BEYOND_ASCII,
    WIRES_OF_CHARACTERS,
    Place,
    TooMuch,
    View,
    joints,
    plain,
    unhidden,
)
from rules.patterns import Regex, compile_regex, width
from rules.portable import Portable

MAX_FINDINGS = 200  # per pattern and text; what lies behind the 200th is covered by one finding to the text's end
MAX_PAIRS = 10_000  # patterns looked for in texts, in one call; beyond them a text that a pattern touches is a finding as a whole
KEPT_LAYERS = 512  # compiled sets of patterns kept for tenants with rules of their own
SECRET = b"secret"  # the group whose span is the finding, where a regex has it
SURROGATE = re.compile("[\ud800-\udfff]")
KELVIN, LONG_S = "\u212a", "\u017f"
CONTINUATION = bytes(range(0x80, 0xC0))


class Pattern(NamedTuple):
    """What to find; with `near`, only where that regex matches at most `within` characters before or after."""

    regex: str
    near: str = ""
    within: int = 0

    @property
    def trigger(self) -> str:
        """What stage 1 looks for."""
        return self.near or self.regex


class Finding(NamedTuple):
    """A pattern found: its places in the texts (several at a joint), and the view it was found in, at `start` to `end`.

    `value` is what was found; None where so much was found that it was no longer looked at one by one: then no check can clear it.
    """

    pattern: int
    places: tuple[Place, ...]
    value: str | None
    view: View
    start: int
    end: int

    @property
    def text(self) -> int:
        """The text in which it begins."""
        return self.places[0][0]


class Clean(Protocol):
    """Remembers texts in which nothing was found."""

    def __contains__(self, text: object) -> bool: ...

    def add(self, text: str) -> None:
        """Nothing was found in this text."""


class Stage1(Protocol):
    """Which expressions occur, and behind which byte each match ends (None: somewhere)."""

    name: str

    def ends(self, data: bytes) -> Mapping[int, Sequence[int] | None]: ...


@dataclass(slots=True)
class Scanned:
    """All findings; `hidden`: more was encoded than was decoded."""

    findings: list[Finding] = field(default_factory=list)
    hidden: bool = False


class Layer:
    """Patterns compiled together, once, and shared by all rulebooks that hold the same ones."""

    def __init__(self, patterns: tuple[Pattern, ...], *, wired: bool, portable: bool, store: Store | None, without: frozenset[str]):
        wires = tuple(TRIPWIRES.values()) if wired else ()
        self.wires = tuple(TRIPWIRES) if wired else ()
        self.patterns = patterns
        triggers = list(dict.fromkeys((*wires, *(pattern.trigger for pattern in patterns))))
        number_of = {trigger: number for number, trigger in enumerate(triggers)}
        self.asking: list[list[int]] = [[] for _ in triggers]  # trigger -> the patterns that it stands for
        for number, pattern in enumerate(patterns):
            self.asking[number_of[pattern.trigger]].append(number)
        left = frozenset(number for number, trigger in enumerate(triggers) if trigger in without)
        self.stage1: Stage1 = Portable(triggers) if portable else Hyper(triggers, store, left)
        self.refused = tuple(triggers[number] for number in self.stage1.refused) if isinstance(self.stage1, Hyper) else ()


@lru_cache(maxsize=KEPT_LAYERS)
def _layer(patterns: tuple[Pattern, ...], wired: bool, portable: bool, store: Store | None, without: frozenset[str]) -> Layer:
    return Layer(patterns, wired=wired, portable=portable, store=store, without=without)


@cache
def _wires(expressions: tuple[str, ...]) -> Hyper:
    return Hyper(expressions)


class Scanner:
    """All patterns of a rulebook, in layers: what is shipped, the operator's, a tenant's. Never changed; safe in many threads."""

    def __init__(
        self,
        layers: Sequence[Sequence[Pattern]],
        *,
        portable: bool | None = None,
        store: Store | None = None,
        without: frozenset[str] = frozenset(),
    ):
        """`portable` takes that engine even where hyperscan is sound; `without` are triggers that hyperscan was seen to miss."""
        choice = not sound() if portable is None else portable
        self._layers = [
            _layer(tuple(layer), number == 0, choice, store, without) for number, layer in enumerate(layers) if layer or not number
        ]
        self.patterns = [pattern for layer in self._layers for pattern in layer.patterns]
        self.engine = self._layers[0].stage1.name
        beyond = tuple(WIRES_BEYOND_ASCII.values())
        self._beyond_ascii: Stage1 = Portable(beyond) if choice else _wires(beyond)

    def warm(self) -> None:
        """Have ready what only hostile texts need; takes seconds the first time."""
        for layer in self._layers:
            if isinstance(layer.stage1, Hyper):
                layer.stage1.warm()

    def missed(self, text: str, patterns: Iterable[int]) -> list[str]:
        """The triggers of these patterns that occur in a text, and that stage 1 does not see there."""
        data = _encoded(text + "\n")
        base, seen = 0, set()
        for layer in self._layers:
            seen |= {base + number for trigger in layer.stage1.ends(data) for number in layer.asking[trigger]}
            base += len(layer.patterns)
        triggers = {number: self.patterns[number].trigger for number in patterns if number not in seen}
        return [trigger for trigger in triggers.values() if compile_regex("(?m)" + trigger).search(data) is not None]

    @property
    def refused(self) -> tuple[str, ...]:
        """Triggers that the portable engine looks for, since hyperscan cannot."""
        return tuple(trigger for layer in self._layers for trigger in layer.refused)

    def scan(self, texts: Sequence[str], runs: Sequence[Sequence[int]] = (), clean: Clean | None = None) -> Scanned:
        """Every finding. `runs` are texts that follow one another, whose joints are looked at; texts known to be `clean` are not."""
        result = Scanned()
        numbers = [number for number, text in enumerate(texts) if text and (clean is None or text not in clean)]
        if not numbers and not runs:
            return result
        level: Sequence[View] | _Plain = _Plain(texts, numbers)
        if runs:
            level = [*level, *joints(texts, runs)]
        pairs = _Pairs()
        depth = 0
        while level:
            tripped = self._look(level, result, pairs)
            depth += 1
            level = self._next(level, tripped, result) if tripped and depth <= MAX_DEPTH else []
        if clean is not None and not result.hidden:
            dirty = {place[0] for finding in result.findings for place in finding.places}
            for number in numbers:
                if number not in dirty:
                    clean.add(texts[number])
        return result

    def _next(self, level: "Sequence[View] | _Plain", tripped: frozenset[str], result: Scanned) -> list[View]:
        views: list[View] = []
        for view in level:
            try:
                views.extend(unhidden(view, tripped))
            except TooMuch:
                result.hidden = True
        return views

    def _look(self, level: "Sequence[View] | _Plain", result: Scanned, pairs: "_Pairs") -> frozenset[str]:
        """Add what stands in these views, and name the wires that were tripped."""
        buffer = _Buffer(level.texts if isinstance(level, _Plain) else [view.text for view in level])
        tripped = set(self._wires(buffer))
        seen: set[tuple[int, tuple[Place, ...]]] = set()
        base = 0
        for layer in self._layers:
            for trigger, ends in layer.stage1.ends(buffer.data).items():
                if trigger < len(layer.wires):
                    tripped.add(layer.wires[trigger])
                for number in layer.asking[trigger]:
                    pattern = layer.patterns[number]
                    for index, local in buffer.touched(pattern, ends):
                        pairs.count += 1
                        self._take(base + number, _spans(pattern, buffer, index, local, pairs.many), level[index], result, seen)
            base += len(layer.patterns)
        return frozenset(tripped)

    def _wires(self, buffer: "_Buffer") -> Iterator[str]:
        """The wires that are not part of the pass over everything."""
        for name, (character, wire) in WIRES_OF_CHARACTERS.items():
            if character in buffer.data and compile_regex(wire).search(buffer.data) is not None:
                yield name
        if buffer.folds:
            yield "lookalike"
        if not buffer.ascii:
            yield from (tuple(WIRES_BEYOND_ASCII)[number] for number in self._beyond_ascii.ends(buffer.data))

    def _take(self, number: int, spans: Iterable["_Span"], view: View, result: Scanned, seen: set[tuple[int, tuple[Place, ...]]]) -> None:
        for start, end, counted in spans:
            places = tuple(view.back(start, end))
            if not places or (number, places) in seen:
                continue
            seen.add((number, places))
            result.findings.append(Finding(number, places, view.text[start:end] if counted else None, view, start, end))


class _Pairs:
    """How many (pattern, text) pairs were looked at so far."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def many(self) -> bool:
        return self.count > MAX_PAIRS


class _Plain:
    """The texts as they are; a View of one is made when it is asked for."""

    def __init__(self, texts: Sequence[str], numbers: Sequence[int]):
        self._numbers = numbers
        self.texts = [texts[number] for number in numbers]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> View:
        return plain(self._numbers[index], self.texts[index])

    def __iter__(self) -> Iterator[View]:
        return (self[index] for index in range(len(self.texts)))


class _Buffer:
    """Texts joined for stage 1, and the way back to each of them."""

    def __init__(self, texts: Sequence[str]):
        self.texts = texts
        joined = "\n".join(texts)
        self.ascii = joined.isascii()
        self.folds = not self.ascii and (KELVIN in joined or LONG_S in joined)
        self.data = _encoded(joined + "\n")
        self._starts: list[int] | None = None

    @property
    def starts(self) -> list[int]:
        """The byte at which each text begins, and one past the last."""
        if self._starts is None:
            lengths = map(len, self.texts) if self.ascii else (len(_encoded(text)) for text in self.texts)
            self._starts = list(accumulate((length + 1 for length in lengths), initial=0))
        return self._starts

    def bytes_of(self, index: int) -> bytes:
        """One text."""
        return self.data[self.starts[index] : self.starts[index + 1] - 1]

    def touched(self, pattern: Pattern, ends: Sequence[int] | None) -> Iterator[tuple[int, list[int] | None]]:
        """The texts in which a pattern may occur, with the places where its trigger ended, in bytes of that text."""
        if ends is None:
            yield from ((index, None) for index in self._touching(compile_regex("(?m)" + pattern.trigger)))
            return
        starts, last = self.starts, len(self.texts) - 1
        for index, group in groupby(sorted(ends), lambda end: min(bisect_right(starts, end) - 1, last)):
            yield index, [end - starts[index] for end in group]

    def _touching(self, regex: Regex) -> Iterator[int]:
        """The texts that matches in the joined text touch.

        A match in one text alone can be missing there only because another match took its first character; that one touches the text, too.
        """
        done, starts, last_index = -1, self.starts, len(self.texts) - 1
        for match in regex.finditer(self.data):
            first, last = (bisect_right(starts, place) - 1 for place in match.span())
            yield from range(max(first, done + 1), min(last, last_index) + 1)
            done = max(done, last)


_Span = tuple[int, int, bool]  # start and end in characters, and whether it was looked at by itself


def _spans(pattern: Pattern, buffer: _Buffer, index: int, ends: list[int] | None, many: bool) -> Iterator[_Span]:
    """Where a pattern occurs in one text."""
    text = buffer.texts[index]
    if many:
        yield 0, len(text), False
        return
    data = buffer.bytes_of(index)
    per_character = 1 if len(data) == len(text) else 4
    places = _Characters(data) if per_character > 1 else None
    regex = compile_regex(pattern.regex)
    widest = width(pattern.regex)
    group = regex.groupindex.get(SECRET, 0)
    windows = _windows(ends, widest, per_character, len(data))
    words: list[tuple[int, int]] = []
    if pattern.near:
        for match in _matches(compile_regex(pattern.near), data, _windows(ends, width(pattern.near), per_character, len(data))):
            words.append(places.of(*match.span()) if places else match.span())
            if len(words) > MAX_FINDINGS:
                windows = [(0, len(data))]
                words.append((0, len(text)))
                break
        else:
            windows = _around(words, places, pattern.within, widest, per_character, len(data))
    count = 0
    for match in _matches(regex, data, windows):
        start, end = places.of(*match.span()) if places else match.span()
        if start == end or (words and not _is_near(start, end, words, pattern.within)) or (pattern.near and not words):
            continue
        if group and match.span(group)[0] >= 0:
            start, end = places.of(*match.span(group)) if places else match.span(group)
        count += 1
        yield start, len(text) if count == MAX_FINDINGS else end, count < MAX_FINDINGS
        if count == MAX_FINDINGS:
            return


def _matches(regex: Regex, data: bytes, windows: Sequence[tuple[int, int]]) -> Iterator["re.Match[bytes]"]:
    for first, last in windows:
        yield from regex.finditer(data, first, last)


def _windows(ends: list[int] | None, widest: int | None, per_character: int, length: int) -> list[tuple[int, int]]:
    """Stretches of bytes that hold every match that ends at one of `ends`, and all that follows from it; the whole where unknown."""
    if ends is None or widest is None:
        return [(0, length)]
    reach = widest * per_character + 1
    return _merged((end - reach, end + reach) for end in ends) if length > reach else [(0, length)]


def _around(
    words: list[tuple[int, int]], places: "_Characters | None", within: int, widest: int | None, per_character: int, length: int
) -> list[tuple[int, int]]:
    """Stretches of bytes around words, wide enough for a match and the distance to it."""
    if widest is None:
        return [(0, length)] if words else []
    reach = (within + widest) * per_character
    inside = (places.back(*word) if places else word for word in words)
    return _merged((start - reach, end + reach) for start, end in inside)


def _merged(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in stretches:
        start = max(start, 0)
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _is_near(start: int, end: int, words: Sequence[tuple[int, int]], within: int) -> bool:
    return any(first - end <= within and start - last <= within for first, last in words)


class _Characters:
    """Bytes of a text <-> its characters, counted only as far as anyone asked."""

    def __init__(self, data: bytes):
        self._data = data
        self._known = [(0, 0)]  # (byte, character), ascending
        self._bytes: dict[int, int] = {0: 0}

    def of(self, start: int, end: int) -> tuple[int, int]:
        """The characters that begin at these bytes."""
        return self._count(start), self._count(end)

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The bytes of characters that were counted before."""
        return self._bytes[start], self._bytes[end]

    def _count(self, byte: int) -> int:
        index = bisect_right(self._known, (byte, len(self._data))) - 1
        at, count = self._known[index]
        if at != byte:
            count += len(self._data[at:byte].translate(None, CONTINUATION))
            self._known.insert(index + 1, (byte, count))
            self._bytes[count] = byte
        return count


def _encoded(text: str) -> bytes:
    """UTF-8, with half surrogate pairs as U+FFFD, which is as long.

    Two characters that RE2 takes for an ASCII letter where case is folded, and stage 1 does not, are put aside; they trip a wire.
    """
    if not text.isascii():
        text = text.replace(KELVIN, "\ufffd").replace(LONG_S, "\u0180")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub("\ufffd", text).encode()
