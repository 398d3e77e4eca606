"""Remembers texts in which no rule finds anything, so that a conversation's history is scanned once, not every turn."""

import hashlib
import os
from collections.abc import Iterable

from rules.scan import Apart

SHORTEST = 64  # characters; a shorter text is scanned as fast as it is looked up
GENERATION = 100_000  # texts; at most twice as many are remembered, some 20 MB


class CleanTexts:
    """Hashes of clean texts, by tenant and version of its rules.

    A hash has 64 bits, by SipHash under a secret of 128 bits: one in 2^46 texts is taken for
    another and not scanned, and nobody outside can tell which. There are two generations; the
    older one is forgotten when the younger is full. Threads need no lock: a text that is lost
    between two of them is scanned again.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._young: set[int] = set()
        self._old: set[int] = set()

    def of(self, tenant: str, version: str) -> "TenantCleanTexts":
        """The clean texts of one tenant under one version of its rules."""
        name = f"{tenant}\0{version}".encode()
        secret = hashlib.blake2b(name, digest_size=16, key=self._key).hexdigest()
        return TenantCleanTexts(self, secret)

    def holds(self, name: int) -> bool:
        """Whether a hash is remembered; asking keeps it in the younger generation."""
        if name in self._young:
            return True
        if name in self._old:
            self.keep(name)
            return True
        return False

    def keep(self, name: int) -> None:
        """Remember a hash."""
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, set()
        self._young.add(name)


class TenantCleanTexts:
    """One tenant's clean texts, as one call looks them up."""

    __slots__ = ("_known", "_memory", "_secret")

    def __init__(self, memory: CleanTexts, secret: str):
        self._memory, self._secret = memory, secret
        self._known: dict[object, bool] = {}

    def __contains__(self, text: object) -> bool:
        known = self._known.get(text)
        if known is None:
            name = self._name(text)
            known = name is not None and self._memory.holds(name)
            self._known[text] = known
        return known

    def know(self, texts: Iterable[str], before: "TenantCleanTexts") -> None:
        """Know those of these texts that were clean `before`, for the same tenant under the
        same rules.
        """
        if before._secret == self._secret:
            known = before._known
            self._known = {text: True for text in texts if known.get(text)}

    def for_answers(self) -> "TenantCleanTexts":
        """Texts of answers, which other rules judge: apart from those of calls, and without those
        that were asked for.
        """
        return TenantCleanTexts(self._memory, f"answer {self._secret}")

    def fresh(self, texts: Iterable[str]) -> int:
        """The number of characters in texts that are not remembered."""
        return sum(len(text) for text in texts if text not in self)

    def add(self, text: str | Apart) -> None:
        """Remember that nothing was found in a text."""
        if (name := self._name(text)) is not None:
            self._memory.keep(name)

    def _name(self, text: object) -> int | None:
        """The hash of a text; None where it is not worth one. What stands before the secret no
        text can pretend to have.
        """
        if isinstance(text, str):
            return hash(self._secret + text) if len(text) >= SHORTEST else None
        if isinstance(text, Apart):
            return hash(f"{text.kind} {self._secret}{text.text}")
        return None
