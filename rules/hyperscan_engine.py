"""Stage 1 by hyperscan: one pass, whatever the number of expressions, with the end of
each match.

Pinned to 0.7.21: later wheels carry an engine with false negatives
(VectorCamp/vectorscan #317, #368, #382). `sound` asks the installed engine about those
very cases; where it fails, or is missing, RE2 does all of the work. Expressions that
hyperscan cannot take go to RE2 one by one.
"""

import hashlib
import platform
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from rules.prefilter import prefilters
from rules.re2_engine import Portable

hyperscan: Any
try:
    import hyperscan
except ImportError:  # there is no wheel for this machine
    hyperscan = None

# Matches whose ends are noted: this many, and one more for a number of bytes. Beyond them
# only which expressions occur.
BUDGET = 1_500
# Bytes of text for each match more.
PER_BYTES = 128
# What the wheel for this kind of machine brings (precompile.py); a checkout has none.
SHIPPED = Path(__file__).with_name("compiled")


class Store(Protocol):
    """Keeps compiled databases.

    It must give back only what it kept: loading a database runs it as code.
    """

    def get(self, key: str) -> bytes | None:
        """The database of this name, unchanged, or None."""

    def put(self, key: str, data: bytes) -> None:
        """Keep a database, if that is possible."""

    def __hash__(self) -> int: ...


class Hyper:
    """Finds expressions and the ends of their matches. Thread-safe."""

    name = "hyperscan"

    def __init__(
        self,
        expressions: Sequence[str],
        store: Store | None = None,
        without: frozenset[int] = frozenset(),
    ):
        """Expressions in `without` are left to RE2."""
        strange = {
            number
            for number, expression in enumerate(expressions)
            if not prefilters(expression)
        }
        self.refused: tuple[int, ...] = tuple(sorted(without | strange))
        self._every: Any = None
        self._once: Any = None
        self._compiling = threading.Lock()
        self._store = store
        try:
            self._build(expressions, store)
        except hyperscan.error:
            large = {
                number
                for number, expression in enumerate(expressions)
                if number not in self.refused and not _takes(expression)
            }
            self.refused = tuple(sorted(large.union(self.refused)))
            self._build(expressions, store)
        self._portable = Portable([expressions[number] for number in self.refused])
        self._scratch = threading.local()

    def _build(self, expressions: Sequence[str], store: Store | None) -> None:
        taken = [
            number for number in range(len(expressions)) if number not in self.refused
        ]
        if not taken:
            return
        self._expressions = [
            (number, expression)
            for number in taken
            for expression in prefilters(expressions[number])
        ]
        self._every = _database(self._expressions, hyperscan.HS_FLAG_MULTILINE, store)

    @property
    def _calm(self) -> Any:
        """Each expression once, for texts in which some match too often.

        Compiled on first use.
        """
        with self._compiling:
            if self._once is None:
                self._once = _database(
                    self._expressions,
                    hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_SINGLEMATCH,
                    self._store,
                )
        return self._once

    def warm(self) -> None:
        """Compile what only hostile texts need."""
        if self._every is not None:
            _ = self._calm

    def ends(self, data: bytes) -> Mapping[int, Sequence[int] | None]:
        """Which expressions occur, with the byte behind each match; None: anywhere."""
        ends: dict[int, Any] = defaultdict(list)
        if self._every is not None:
            found = self._run(
                "every", self._every, data, BUDGET + len(data) // PER_BYTES
            )
            if found is not None:
                for number, end in found:
                    ends[number].append(end)
            else:
                for number, _ in self._run("calm", self._calm, data, 1 << 60) or ():
                    ends[number] = None
        for index in self._portable.ends(data):
            ends[self.refused[index]] = None
        return ends

    def occurring(self, data: bytes) -> set[int]:
        """Which expressions occur."""
        found = (
            {number for number, _ in self._run("calm", self._calm, data, 1 << 60) or ()}
            if self._every is not None
            else set()
        )
        return found | {self.refused[index] for index in self._portable.ends(data)}

    def _run(
        self, which: str, database: Any, data: bytes, budget: int
    ) -> list[tuple[int, int]] | None:
        """All (expression, end); None where there are more than the budget."""
        found: list[tuple[int, int]] = []

        def note(
            number: int, _start: int, end: int, _flags: int, _context: object
        ) -> bool | None:
            found.append((number, end))
            return len(found) > budget or None

        scratch = getattr(self._scratch, which, None)
        if scratch is None:
            scratch = hyperscan.Scratch(database)
            setattr(self._scratch, which, scratch)
        try:
            database.scan(data, match_event_handler=note, scratch=scratch)
        except hyperscan.ScanTerminated:
            return None
        return found


@cache
def sound() -> bool:
    """Whether the installed engine finds what engines with known faults miss.

    Each case is tried at the start of a text, inside and at its end.
    """
    if hyperscan is None:
        return False
    flags = hyperscan.HS_FLAG_MULTILINE
    cases = (
        (r"(?s)curl.*\|\s*python", "curl http://vader:8080/ 2>&1 | python", flags),
        (
            r"(?:a|bc|def)[^\n]*=\s+",
            "x def y=  ",
            flags | hyperscan.HS_FLAG_SINGLEMATCH,
        ),
        (r"(?:a|bc|def)[^\n]*=\s+", "bcq= ", flags | hyperscan.HS_FLAG_SINGLEMATCH),
        (r"\|\s+", "a |  ", flags),
        (r"(?i)kennwort", "KennWort", flags),
        (r"^ab$", "x\nab\ny", flags),
    )
    try:
        return all(
            _finds(expression, before + text, flag)
            for expression, text, flag in cases
            for before in ("", "x" * 63, "é " * 40 + "\n")
        )
    except hyperscan.error:
        return False


def _finds(expression: str, text: str, flags: int) -> bool:
    found: list[int] = []
    database = _compiled([expression.encode()], [0], [flags])
    database.scan(
        text.encode(), match_event_handler=lambda *place: found.append(place[2])
    )
    return bool(found)


@cache
def _takes(expression: str) -> bool:
    try:
        spelt = prefilters(expression)
        _compiled(spelt, range(len(spelt)), [hyperscan.HS_FLAG_MULTILINE] * len(spelt))
    except hyperscan.error:
        return False
    return True


def _compiled(
    expressions: Sequence[bytes], ids: Sequence[int], flags: Sequence[int]
) -> Any:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=expressions, ids=ids, elements=len(expressions), flags=flags
    )
    return database


def _database(
    expressions: Sequence[tuple[int, bytes]], flags: int, store: Store | None
) -> Any:
    """A compiled database, from where the same engine on the same kind of machine put it."""
    content = hashlib.sha256(
        f"{hyperscan.__version__} {platform.machine()} {flags}".encode()
    )
    for number, expression in expressions:
        content.update(b"\0%d " % number + expression)
    key = content.hexdigest()
    for kept in _kept(key, store):
        # It may be of an engine that was built for another CPU.
        with suppress(hyperscan.error):
            return hyperscan.loadb(kept, hyperscan.HS_MODE_BLOCK)
    database = _compiled(
        [expression for _, expression in expressions],
        [number for number, _ in expressions],
        [flags] * len(expressions),
    )
    if store is not None:
        store.put(key, hyperscan.dumpb(database))
    return database


def _kept(key: str, store: Store | None) -> Iterator[bytes]:
    """The database of this name: of the package, whose files are trusted as its code is, and of the store."""
    with suppress(OSError):
        yield (SHIPPED / key).read_bytes()
    if store is not None and (kept := store.get(key)) is not None:
        yield kept
