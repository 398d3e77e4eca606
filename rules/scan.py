"""Scans all texts of an exchange for all patterns at once.

  stage 1   one pass of hyperscan over all texts, joined by newlines: which patterns may
            occur, and near which byte. It may find too much, never too little.
  stage 2   the patterns that stage 1 named, by RE2, in windows around those bytes, over each
            text by itself (`locate.py`).

A pattern with `near` is looked for around those keywords only, so stage 1 looks for the
keywords. Text that hides text trips a wire in the same pass, and its views are scanned
again (`normalise.py`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import NamedTuple, Protocol

from rules.hyperscan_engine import Hyper, Store, sound
from rules.joints import joints
from rules.labelled import labelled
from rules.locate import Buffer, Locator, Pattern, Span, encoded
from rules.normalise import (
    MIXED,
    TRIPWIRES,
    WIRES_BEYOND_ASCII,
    Unhidden,
    escapes,
)
from rules.patterns import compile_regex
from rules.re2_engine import Portable
from rules.views import Place, View, plain

# (pattern, text) pairs of one exchange that stage 2 looks at. Beyond them, a text in
# which a pattern occurs is a finding as a whole.
MAX_PAIRS = 10_000
KEPT_LAYERS = 512  # sets of patterns kept for tenants with rules of their own


class Finding(NamedTuple):
    """A match of a pattern: its places in the texts, and the view in which it stands,
    `start` to `end`.

    It has several places where texts meet. `value` is the matched text; None where a
    text has too many findings to look at each: then no check can clear it.
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


class Apart(NamedTuple):
    """A text that is remembered as one of its kind: it is clean as that, not as the text of a
    call, which may be spelt the same.
    """

    kind: str
    text: str


class Clean(Protocol):
    """Remembers texts without findings."""

    def __contains__(self, text: object) -> bool: ...

    def add(self, text: str | Apart) -> None:
        """There is nothing in this text."""


class Stage1(Protocol):
    """Finds expressions in bytes: which occur, and the byte behind each match (None:
    anywhere).
    """

    name: str

    def ends(self, data: bytes) -> Mapping[int, Sequence[int] | None]: ...

    def occurring(self, data: bytes) -> set[int]: ...


@dataclass(slots=True)
class Scanned:
    """All findings. `hidden`: more text was encoded than is decoded."""

    findings: list[Finding] = field(default_factory=list)
    hidden: bool = False


class Layer:
    """Patterns that are compiled together, once, and shared by all rulebooks that have
    them.
    """

    def __init__(
        self,
        patterns: tuple[Pattern, ...],
        *,
        wired: bool,
        portable: bool,
        store: Store | None,
        without: frozenset[str],
    ):
        wires = tuple(TRIPWIRES.values()) if wired else ()
        self.wires = tuple(TRIPWIRES) if wired else ()
        self.patterns = patterns
        self.locators = [Locator(pattern) for pattern in patterns]
        # Wires come first: the number of a trigger tells whether it is one.
        triggers = list(
            dict.fromkeys((*wires, *(pattern.trigger for pattern in patterns)))
        )
        number_of = {trigger: number for number, trigger in enumerate(triggers)}
        # trigger -> the patterns that it stands for
        self.asking: list[list[int]] = [[] for _ in triggers]
        for number, pattern in enumerate(patterns):
            self.asking[number_of[pattern.trigger]].append(number)
        left = frozenset(
            number for number, trigger in enumerate(triggers) if trigger in without
        )
        self.stage1: Stage1 = (
            Portable(triggers) if portable else Hyper(triggers, store, left)
        )
        self.refused = (
            tuple(triggers[number] for number in self.stage1.refused)
            if isinstance(self.stage1, Hyper)
            else ()
        )


@lru_cache(maxsize=KEPT_LAYERS)
def _layer(
    patterns: tuple[Pattern, ...],
    wired: bool,
    portable: bool,
    store: Store | None,
    without: frozenset[str],
) -> Layer:
    return Layer(patterns, wired=wired, portable=portable, store=store, without=without)


@cache
def _wires(expressions: tuple[str, ...]) -> Hyper:
    """The tripwires that are not part of the pass over all texts."""
    return Hyper(expressions)


class Scanner:
    """The patterns of a rulebook, in layers: shipped, the operator's, a tenant's.

    Immutable, thread-safe.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[Pattern]],
        *,
        portable: bool | None = None,
        store: Store | None = None,
        without: frozenset[str] = frozenset(),
        only: Collection[int] | None = None,
    ):
        """`portable` takes that engine even where hyperscan is sound; `without` are triggers that hyperscan was seen to miss.

        Patterns are numbered through all layers; with `only`, no others are looked for.
        """
        choice = not sound() if portable is None else portable
        self.patterns = [pattern for layer in layers for pattern in layer]
        self._layers: list[Layer] = []
        self._numbers: list[list[int]] = []  # of each layer's patterns
        first = 0
        for layer in layers:
            numbers = [
                number
                for number in range(first, first + len(layer))
                if only is None or number in only
            ]
            first += len(layer)
            if numbers or not self._layers:
                wanted = tuple(self.patterns[number] for number in numbers)
                private = any(pattern.private for pattern in wanted)
                kept = None if private else store
                self._layers.append(
                    _layer(wanted, not self._layers, choice, kept, without)
                )
                self._numbers.append(numbers)
        self.engine = self._layers[0].stage1.name
        beyond = tuple(WIRES_BEYOND_ASCII.values())
        self._beyond_ascii, self._mixed = (
            Portable(each) if choice else _wires(each) for each in (beyond, (MIXED,))
        )

    def warm(self) -> None:
        """Compile what only hostile texts need; takes seconds the first time."""
        for layer in self._layers:
            if isinstance(layer.stage1, Hyper):
                layer.stage1.warm()

    def missed(self, text: str, patterns: Iterable[int]) -> list[str]:
        """The triggers of these patterns that occur in a text, and that stage 1 misses."""
        data = encoded(text + "\n")
        seen: set[int] = set()
        for layer, numbers in zip(self._layers, self._numbers, strict=True):
            seen |= {
                numbers[number]
                for trigger in layer.stage1.ends(data)
                for number in layer.asking[trigger]
            }
        triggers = {
            number: self.patterns[number].trigger
            for number in patterns
            if number not in seen and not self.patterns[number].private
        }
        return [
            trigger
            for trigger in triggers.values()
            if compile_regex("(?m)" + trigger).search(data) is not None
        ]

    @property
    def refused(self) -> tuple[str, ...]:
        """The triggers that hyperscan cannot take; RE2 looks for them."""
        return tuple(trigger for layer in self._layers for trigger in layer.refused)

    def scan(
        self,
        texts: Sequence[str],
        runs: Sequence[Sequence[int]] = (),
        clean: Clean | None = None,
        labels: Sequence[tuple[int, str]] = (),
    ) -> Scanned:
        """All findings in some texts.

        `runs` are texts that follow one another: what stands where they meet is
        scanned, too. `labels` are names of texts, which are read with them. `clean` texts are skipped.
        """
        result = Scanned()
        # A history is the same in every turn: its clean texts are not scanned again.
        numbers = [
            number
            for number, text in enumerate(texts)
            if text and (clean is None or text not in clean)
        ]
        if not numbers and not runs and not labels:
            return result
        level: Sequence[View] | _Plain = _Plain(texts, numbers)
        if runs or labels:
            level = [*level, *joints(texts, runs), *labelled(texts, labels)]
        pairs = _Pairs()
        unhidden = Unhidden()
        # Each level has the texts that the one before hid: percent-encoded base64 takes two.
        while level:
            tripped = self._look(level, result, pairs)
            level = unhidden.next(level, tripped) if tripped else []
        result.hidden = unhidden.over
        # What hides more than is decoded is never clean: nobody looked at the rest.
        if clean is not None and not result.hidden:
            dirty = {
                place[0] for finding in result.findings for place in finding.places
            }
            for number in numbers:
                if number not in dirty:
                    clean.add(texts[number])
        return result

    def _look(
        self, level: "Sequence[View] | _Plain", result: Scanned, pairs: "_Pairs"
    ) -> frozenset[str]:
        """Add the findings in these views, and the names of the wires that were
        tripped.
        """
        buffer = Buffer(
            level.texts if isinstance(level, _Plain) else [view.text for view in level]
        )
        tripped = set(self._wires(buffer))
        # A joint shows text that its part shows, too; one place is one finding.
        seen: set[tuple[int, tuple[Place, ...]]] = set()
        for layer, numbers in zip(self._layers, self._numbers, strict=True):
            for trigger, ends in layer.stage1.ends(buffer.data).items():
                if trigger < len(layer.wires):
                    tripped.add(layer.wires[trigger])
                for number in layer.asking[trigger]:
                    locator = layer.locators[number]
                    for index, local in buffer.touched(locator, ends):
                        pairs.count += 1
                        text = buffer.texts[index]
                        data = buffer.bytes_of(index)
                        # Texts that are made to match everything cost this much and no more: from here
                        # on the whole text is the finding, so nothing gets through.
                        if not pairs.many:
                            spans: Iterable[Span] = locator.spans(text, data, local)
                        else:
                            spans = (
                                [(0, len(text), False)] if locator.occurs(data) else ()
                            )
                        self._take(numbers[number], spans, level[index], result, seen)
        return frozenset(tripped)

    def _wires(self, buffer: Buffer) -> Iterator[str]:
        """The wires that are not part of the pass over everything."""
        yield from escapes(buffer.data)
        if buffer.folds:
            yield "lookalike"
        if not buffer.ascii:
            # Letters of one script say nothing; mixed with ASCII inside a word they may be
            # lookalikes. The expensive search for that runs only where there are such letters.
            names = {
                tuple(WIRES_BEYOND_ASCII)[number]
                for number in self._beyond_ascii.occurring(buffer.data)
            }
            yield from names - {"letter"}
            if "letter" in names and self._mixed.occurring(buffer.data):
                yield "lookalike"

    def _take(
        self,
        number: int,
        spans: Iterable[Span],
        view: View,
        result: Scanned,
        seen: set[tuple[int, tuple[Place, ...]]],
    ) -> None:
        for start, end, counted in spans:
            places = tuple(view.back(start, end))
            # No place: the finding touches an edge where the view's text was cut.
            if not places or (number, places) in seen:
                continue
            seen.add((number, places))
            result.findings.append(
                Finding(
                    number,
                    places,
                    view.text[start:end] if counted else None,
                    view,
                    start,
                    end,
                )
            )


class _Pairs:
    """Counts (pattern, text) pairs that were looked at; whether they are too many."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def many(self) -> bool:
        return self.count > MAX_PAIRS


class _Plain:
    """The texts as they are. The View of one is made when it is needed."""

    def __init__(self, texts: Sequence[str], numbers: Sequence[int]):
        self._numbers = numbers
        self.texts = [texts[number] for number in numbers]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> View:
        return plain(self._numbers[index], self.texts[index])

    def __iter__(self) -> Iterator[View]:
        return (self[index] for index in range(len(self.texts)))
