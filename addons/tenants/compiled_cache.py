"""Compiled rulebooks on disk, between starts of the proxy."""

import contextlib
import hmac
import tempfile
from pathlib import Path

MAC = 32  # bytes at the start of a file
# A rulebook has some six files of up to 10 MB; two versions of five are kept.
KEPT_FILES = 64


class CompiledCache:
    """Compiled patterns by name.

    Loading a compiled pattern runs it as code. So a file without our MAC counts as missing.
    """

    def __init__(self, folder: Path, key: bytes):
        self._folder, self._key = folder, key

    def get(self, name: str) -> bytes | None:
        """The pattern of this name, or None."""
        try:
            content = (self._folder / name).read_bytes()
        except OSError:
            return None
        mac, data = content[:MAC], content[MAC:]
        return data if hmac.compare_digest(mac, self._mac(name, data)) else None

    def put(self, name: str, data: bytes) -> None:
        """Keep a pattern, if the disk allows; the oldest files are deleted."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(self._mac(name, data) + data)
            Path(file.name).replace(self._folder / name)
            files = sorted(
                self._folder.iterdir(), key=lambda path: path.stat().st_mtime
            )
            for old in files[:-KEPT_FILES]:
                old.unlink(missing_ok=True)

    def _mac(self, name: str, data: bytes) -> bytes:
        return hmac.digest(self._key, name.encode() + b"\0" + data, "sha256")
