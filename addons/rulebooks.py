"""What rulebooks leave behind between calls: compiled patterns on disk, and texts that were found clean."""

import contextlib
import hashlib
import hmac
import os
import tempfile
from pathlib import Path

MAC = 32  # bytes at the start of a file
KEPT_FILES = 64
SHORTEST = 64  # characters; a shorter text is scanned as fast as it is remembered
GENERATION = 100_000  # texts; at most twice as many are remembered, 16 bytes each


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
    """Texts in which nothing was found, by tenant and rulebook: a conversation's history is not scanned at every turn.

    Keeps keyed hashes only, in two generations, the older of which is forgotten when the younger is full. No lock is needed: a
    text that is lost between two threads is scanned once more.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def of(self, tenant: str, version: str) -> "Remembered":
        """What is remembered of one tenant under one version of its rules."""
        salt = hashlib.blake2b(f"{tenant}\0{version}".encode(), digest_size=16).digest()
        return Remembered(self, salt)

    def digest(self, text: str, salt: bytes) -> bytes:
        """A text's name."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key, salt=salt).digest()

    def holds(self, name: bytes) -> bool:
        """Whether it is remembered; being asked for keeps it."""
        if name in self._young:
            return True
        if name in self._old:
            self.keep(name)
            return True
        return False

    def keep(self, name: bytes) -> None:
        """Remember it."""
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, set()
        self._young.add(name)


class Remembered:
    """One tenant's share of the memory, as the scanner asks for it."""

    __slots__ = ("_memory", "_salt", "_seen")

    def __init__(self, memory: Memory, salt: bytes):
        self._memory, self._salt = memory, salt
        self._seen: dict[str, bytes] = {}

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str) or len(text) < SHORTEST:
            return False
        name = self._seen[text] = self._memory.digest(text, self._salt)
        return self._memory.holds(name)

    def add(self, text: str) -> None:
        """Nothing was found in this text."""
        if len(text) >= SHORTEST:
            self._memory.keep(self._seen.get(text) or self._memory.digest(text, self._salt))
