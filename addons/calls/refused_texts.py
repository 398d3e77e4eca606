"""What was refused once is history afterwards: a conversation continues after a refusal.

    call 1    [the text]                     refused, and the text remembered
    call 1    the same again                 refused
    call 2    [the text, another message]    the text is old: taken out; the rest is judged

Clients put their next message beside the old one, behind it in one string, or with
reminders of their own between. A reminder is no new text. A text that counts as old is taken
out whole, with what a client joined to it: nobody can tell a next message from the rest of a
document whose first line was refused.
"""

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from rules.exchange import TURNS, Exchange, Part

# Texts that clients add by themselves: Claude Code, Codex.
REMINDERS = {
    "<system-reminder>": "</system-reminder>",
    "<environment_context>": "</environment_context>",
    "<environment_details>": "</environment_details>",
    "<turn_context>": "</turn_context>",
}
OPENING = re.compile("|".join(REMINDERS))
MAX_REMINDERS = 200  # of one text; each costs a search through the rest of it
SPACE = re.compile(r"(?<!\s)\s+")
# Where a text may have been continued: at ends of lines. A text that would be refused is
# hashed up to each of them, some 5 ms in all; an older text that ends later is not recognised.
MAX_ENDS = 1_000
MAX_TEXTS = 1_000  # texts of a call for which it would be refused, the first ones
# The newest texts of a refused call by which another call is seen to have a new one, and the
# bytes of each hash: one in 10^12 new texts is taken for an old one.
BESIDE, SHORT = 64, 6


class Start(NamedTuple):
    """The start of a text, up to a character, and its keyed hash."""

    end: int
    hash: bytes


class Candidates:
    """The texts of a call that would be refused, as the memory of its tenant knows them."""

    def __init__(self, exchange: Exchange, refusing: Sequence[int], key: bytes):
        """`refusing` are the parts for which it would be; `key` is the tenant's own."""
        self._exchange = exchange
        self._key = hmac.digest(key, b"refused texts", "sha256")
        self._ends = MAX_ENDS
        # The first of each is the whole text.
        self._starts = {
            number: list(self._starts_of(exchange.parts[number].text))
            for number in refusing[:MAX_TEXTS]
            if _may_be_history(exchange.parts[number])
        }
        essences = (
            _essence(part.text)
            for part in reversed(exchange.parts)
            if part.role in ("user", "tool")
        )
        newest = islice(filter(None, essences), BESIDE)
        self._beside = [self._hash(essence)[:SHORT] for essence in newest]

    @property
    def hashes(self) -> list[bytes]:
        """What is asked for."""
        return [start.hash for starts in self._starts.values() for start in starts]

    @property
    def entries(self) -> dict[bytes, bytes]:
        """What is remembered of the call: its refused texts, and the texts beside them."""
        beside = b"".join(self._beside)
        return {starts[0].hash: beside for starts in self._starts.values()}

    def old(self, known: Mapping[bytes, bytes]) -> dict[int, int]:
        """Which parts are old, and up to which character, by what is remembered."""
        old = {}
        for number, starts in self._starts.items():
            # The whole text, then the longest of its starts.
            for start in (starts[0], *reversed(starts[1:])):
                if start.hash in known and self._has_new(
                    number, start, known[start.hash]
                ):
                    old[number] = start.end
                    break
        return old

    def _has_new(self, number: int, start: Start, beside: bytes) -> bool:
        """Whether the call has a text that the refused one had not."""
        before = {beside[at : at + SHORT] for at in range(0, len(beside), SHORT)}
        if not before.issuperset(self._beside):
            # The whole text may be new only by what follows its old start.
            return True
        rest = self._exchange.parts[number].text[start.end :]
        return bool(_essence(rest))

    def _starts_of(self, text: str) -> Iterator[Start]:
        """The whole text, then its starts, the longest last."""
        kept = list(_without_reminders(text))
        plain = "".join(text[start:end] for start, end in kept)
        if not plain.strip():
            yield Start(len(text), self._hash(text.strip()))
            return
        first = len(plain) - len(plain.lstrip())
        last = len(plain.rstrip())
        yield Start(len(text), self._hash(plain[first:last]))
        running, done = hmac.new(self._key, digestmod="sha256"), first
        for space in SPACE.finditer(plain, first, last):
            if "\n" in space[0] and self._ends:
                self._ends -= 1
                end = space.start()
                running.update(plain[done:end].encode("utf-8", "surrogatepass"))
                done = end
                yield Start(_original(kept, end), running.copy().digest())

    def _hash(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")


def _may_be_history(part: Part) -> bool:
    return part.role in TURNS and part.kind != "tool_definition"


def _essence(text: str) -> str:
    """A text without what its client added by itself."""
    return "".join(text[start:end] for start, end in _without_reminders(text)).strip()


def _without_reminders(text: str) -> Iterator[tuple[int, int]]:
    """The stretches of a text outside of reminders. One that does not end is text."""
    done = 0
    for _ in range(MAX_REMINDERS):
        opening = OPENING.search(text, done)
        closing = REMINDERS[opening[0]] if opening else ""
        end = text.find(closing, opening.end()) if opening else -1
        if opening is None or end < 0:
            break
        yield done, opening.start()
        done = end + len(closing)
    yield done, len(text)


def _original(kept: Sequence[tuple[int, int]], position: int) -> int:
    """The place in a text of the end of a start without reminders."""
    for start, end in kept:
        if position <= end - start:
            return start + position
        position -= end - start
    return kept[-1][1]
