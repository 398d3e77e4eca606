"""A backup as a file. Whoever has it and the passphrase can open it, without Earthflow, too:

    earthflow-backup 1
    {"made": "2026-11-29T02:30:00+00:00", "earthflow": "2.0.0"}
    YWdlLWVuY3J5cHRpb24ub3JnL3Yx…      base64 of an age file: a key, under the passphrase
    age-encryption.org/v1 …            an age file for that key: a tar, compressed with zstd

age files are authenticated to their last byte, so a backup that was cut short or changed does not
open. See https://age-encryption.org; the third line is there since a stream has no passphrase.
"""

import base64
import io
import os
import tarfile
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import IO, Any

import msgspec
import pyrage
import zstandard

MAGIC, FORMAT = b"earthflow-backup", 1
LONGEST_LINE = 64 * 1024
# Bytes of a member: rows come in pieces of 8 MB, and one more row. How many: a terabyte of rows.
LARGEST_MEMBER, MOST_MEMBERS = 64 * 1024 * 1024, 200_000
LARGEST_END = 64 * 1024
DAMAGED = "it is damaged, or cut short"
LEVEL = 3  # of zstd: records shrink to a tenth, as fast as they are read


class BadBackup(Exception):
    """What cannot be opened, and why."""


def write(
    file: IO[bytes],
    passphrase: str,
    head: Mapping[str, str],
    members: Iterable[tuple[str, bytes]],
) -> None:
    """Write a backup of these members as they come. Raises what making them raises."""
    identity = pyrage.x25519.Identity.generate()
    key = pyrage.passphrase.encrypt(str(identity).encode(), passphrase)
    for line in (MAGIC + b" %d" % FORMAT, msgspec.json.encode(head), base64.b64encode(key)):  # fmt: skip
        file.write(line + b"\n")

    def pack(pipe: IO[bytes]) -> None:
        compressor = zstandard.ZstdCompressor(level=LEVEL)
        with (
            compressor.stream_writer(pipe, closefd=False) as packed,
            tarfile.open(mode="w|", fileobj=packed) as tar,
        ):
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

    with _Pipe(pack) as pipe:
        pyrage.encrypt_io(pipe, file, [identity.to_public()])


def read_head(file: IO[bytes]) -> tuple[dict[str, str], bytes]:
    """What a backup says of itself, and its closed key. Raises BadBackup."""
    magic = file.readline(LONGEST_LINE).split()
    if (
        len(magic) != 2
        or magic[0] != MAGIC
        or not magic[1].isdigit()
        or len(magic[1]) > 9
    ):
        raise BadBackup("this is no backup of Earthflow")
    if int(magic[1]) > FORMAT:
        raise BadBackup("this was made by a newer Earthflow; install that version")
    try:
        head = msgspec.json.decode(file.readline(LONGEST_LINE), type=dict[str, str])
        closed = file.readline(LONGEST_LINE).rstrip(b"\n")
        return head, base64.b64decode(closed, validate=True)
    except ValueError:
        raise BadBackup(DAMAGED) from None


def unlock(key: bytes, passphrase: str) -> Any:
    """The key of a backup. Takes a second, so that nobody can try many. Raises BadBackup."""
    try:
        text = pyrage.passphrase.decrypt(key, passphrase).decode()
        return pyrage.x25519.Identity.from_str(text)
    except (pyrage.DecryptError, pyrage.IdentityError, ValueError):
        raise BadBackup("the passphrase is wrong, or the backup is damaged") from None


def read(file: IO[bytes], identity: Any) -> Generator[tuple[str, bytes]]:
    """The members of a backup, in their order. Raises BadBackup."""

    def decrypt(pipe: IO[bytes]) -> None:
        try:
            pyrage.decrypt_io(file, pipe, [identity])
        except OSError as error:
            if error.errno is not None:
                raise
            raise BadBackup(DAMAGED) from None  # as it says of what is not authentic

    try:
        with (
            _Pipe(decrypt) as pipe,
            zstandard.ZstdDecompressor().stream_reader(pipe, closefd=False) as packed,
            tarfile.open(mode="r|", fileobj=packed) as tar,
        ):
            for number, info in enumerate(tar):
                if (
                    number >= MOST_MEMBERS
                    or info.size > LARGEST_MEMBER
                    or info.type != tarfile.REGTYPE
                ):
                    raise BadBackup("it has what no backup has")
                content = tar.extractfile(info)
                yield info.name, content.read() if content else b""
            # To the end, whose authenticity counts, too; a tar ends with some empty blocks.
            if len(packed.read(LARGEST_END + 1)) > LARGEST_END:
                raise BadBackup("something follows its end")
    except (
        pyrage.DecryptError,
        tarfile.TarError,
        zstandard.ZstdError,
        EOFError,
        RecursionError,
        ValueError,
        OverflowError,
        MemoryError,
    ):
        raise BadBackup(DAMAGED) from None


class _Pipe:
    """Lets a thread write into a pipe that is read here, and gives its error here."""

    def __init__(self, work: Callable[[IO[bytes]], Any]):
        self._work = work
        self._error: BaseException | None = None

    def __enter__(self) -> IO[bytes]:
        reading, writing = os.pipe()
        self._reading = os.fdopen(reading, "rb")
        self._thread = threading.Thread(target=self._run, args=(writing,))
        self._thread.start()
        return self._reading

    def _run(self, descriptor: int) -> None:
        try:
            with os.fdopen(descriptor, "wb") as pipe:
                self._work(pipe)
        except BaseException as error:
            self._error = error

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._reading.close()  # ends a thread that still writes
        self._thread.join()
        if self._error is not None and (
            error is None or not isinstance(self._error, BrokenPipeError)
        ):
            raise self._error
