"""What rulebooks leave behind between calls: compiled patterns on disk, and texts that were found clean."""

import contextlib
import hashlib
import hmac
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

MAC = 32  # bytes at the start of a file
KEPT_FILES = 64
SHORTEST = 64  # characters; a shorter text is scanned as fast as it is remembered
GENERATION = 100_000  # texts; at most twice as many are remembered


class CompiledCache:
    """Compiled patterns by name. A file that does not bear our MAC is as good as none: what is loaded is trusted code."""

    def __init__(self, folder: Path, key: bytes):
        self._folder, self._key = folder, key

    def get(self, key: str) -> bytes | None:
        """What was put under this name, or None."""
        try:
            content = (self._folder / key).read_bytes()
        except OSError:
            return None
        return content[MAC:] if hmac.compare_digest(content[:MAC], self._mac(key, content[MAC:])) else None

    def put(self, key: str, data: bytes) -> None:
        """Keep it, if the disk lets us; the oldest go when there are too many."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(self._mac(key, data) + data)
            Path(file.name).replace(self._folder / key)
            files = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for old in files[:-KEPT_FILES]:
                old.unlink(missing_ok=True)

    def _mac(self, key: str, data: bytes) -> bytes:
        return hmac.digest(self._key, key.encode() + b"\0" + data, "sha256")


class Memory:
    """Texts in which there is nothing that a rule means, by tenant and rulebook: a conversation's history is not scanned every turn.

    Keeps hashes of 64 bits, made by SipHash behind a secret of 128: that a text is taken for another, and so not scanned, happens
    once in 2^46 texts, and nobody outside can tell for which. Two generations, the older of which is forgotten when the younger
    is full. No lock is needed: a text that is lost between two threads is scanned once more.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._young: set[int] = set()
        self._old: set[int] = set()

    def of(self, tenant: str, version: str) -> "Remembered":
        """What is remembered of one tenant under one version of its rules."""
        return Remembered(
            self, hashlib.blake2b(f"{tenant}\0{version}".encode(), digest_size=16, key=self._key).hexdigest()
        )

    def holds(self, name: int) -> bool:
        """Whether it is remembered; being asked for keeps it."""
        if name in self._young:
            return True
        if name in self._old:
            self.keep(name)
            return True
        return False

    def keep(self, name: int) -> None:
        """Remember it."""
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, set()
        self._young.add(name)


class Remembered:
    """One tenant's share of the memory, for one call."""

    __slots__ = ("_known", "_memory", "_secret")

    def __init__(self, memory: Memory, secret: str):
        self._memory, self._secret = memory, secret
        self._known: dict[object, bool] = {}

    def __contains__(self, text: object) -> bool:
        known = self._known.get(text)
        if known is None:
            known = (
                isinstance(text, str)
                and len(text) >= SHORTEST
                and self._memory.holds(hash(self._secret + text))
            )
            self._known[text] = known
        return known

    def fresh(self, texts: Iterable[str]) -> int:
        """How many characters there are in texts that are not remembered."""
        return sum(len(text) for text in texts if text not in self)

    def add(self, text: str) -> None:
        """There is nothing in this text."""
        if len(text) >= SHORTEST:
            self._memory.keep(hash(self._secret + text))
