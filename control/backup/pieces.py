"""What a backup holds, piece by piece. Small ones come first, the database last.

settings/earthflow.env     every setting, secrets included, as an .env file
ca/…                       the files of the interception CA
rules/…, providers.yaml    the operator's own files
tenants.json               names and limits, to read
database/contents.json     what follows, and by what it is known again
database/TABLE/N           the rows of a table, a few MB each
end                        nothing was left out
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from control.store import dump
from control.store.dump import Content, Contents

MEMBER = 8 * 1024 * 1024  # bytes of rows that are held at once
LARGEST_FILES = 64 * 1024 * 1024  # bytes of all that is no row, which are held together
ENV, CA, RULES, PROVIDERS = "settings/earthflow.env", "ca/", "rules/", "providers.yaml"
CONTENTS, ROWS, END = "database/contents.json", "database/{}/{}", "end"

Say = Callable[[str], None]
Member = tuple[str, bytes]


class Deployment(NamedTuple):
    """What is backed up, or restored into: its settings (secrets included), folders, and
    database.
    """

    settings: Mapping[str, str]
    ca: Path
    rules: Path | None
    providers: Path | None
    conninfo: str


class Piece(NamedTuple):
    """A named piece: what it consists of, and where its members go when it is restored."""

    name: str
    collect: Callable[[Deployment], Iterable[Member]]


def members(deployment: Deployment, say: Say) -> Iterator[Member]:
    """All members, in their order. Raises what reading them raises."""
    for piece in PIECES:
        count = 0
        for member in piece.collect(deployment):
            count += 1
            yield member
        say(f"{piece.name}: {count} files")
    yield from _database(deployment, say)
    yield END, b""


def _settings(deployment: Deployment) -> Iterator[Member]:
    lines = (f"{name}={value}\n" for name, value in sorted(deployment.settings.items()))
    yield ENV, "".join(lines).encode()


def _ca(deployment: Deployment) -> Iterator[Member]:
    yield from _files(deployment.ca, CA)


def _rules(deployment: Deployment) -> Iterator[Member]:
    if deployment.rules is not None:
        yield from _files(deployment.rules, RULES)
    if deployment.providers is not None and deployment.providers.is_file():
        yield PROVIDERS, deployment.providers.read_bytes()


def _tenants(deployment: Deployment) -> Iterator[Member]:
    with dump.reading(deployment.conninfo) as connection:
        yield "tenants.json", msgspec.json.encode(dump.tenants(connection))


PIECES = (
    Piece("settings", _settings),
    Piece("ca", _ca),
    Piece("rules", _rules),
    Piece("tenants", _tenants),
)


def _files(folder: Path, under: str) -> Iterator[Member]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            yield under + path.relative_to(folder).as_posix(), path.read_bytes()


def _database(deployment: Deployment, say: Say) -> Iterator[Member]:
    with dump.reading(deployment.conninfo) as connection:
        contents = dump.contents(connection)
        yield CONTENTS, msgspec.json.encode(contents)
        for content in contents.tables:
            for number, rows in enumerate(_in_pieces(dump.rows(connection, content))):
                yield ROWS.format(content.table, number), rows
            say(f"database: {content.table}, {content.rows:,} rows")


def _in_pieces(rows: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in rows:
        held += piece
        if len(held) >= MEMBER:
            yield bytes(held)
            held.clear()
    yield bytes(held)


class Incomplete(Exception):
    """A backup without its end, or with members in another order."""


def _contents(text: bytes) -> Contents:
    try:
        return msgspec.json.decode(text, type=Contents)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Incomplete("what it says of its database cannot be read") from None


class Opened:
    """A backup that is read: its small members, then its database, once."""

    def __init__(self, members: Iterator[Member]):
        """Raises Incomplete."""
        self.files: dict[str, bytes] = {}
        self._members = members
        held = 0
        for name, content in members:
            if name == CONTENTS:
                self.contents = _contents(content)
                break
            self.files[name] = content
            held += len(content)
            if held > LARGEST_FILES:
                raise Incomplete("its files are too large")
        else:
            raise Incomplete("it has no database")
        self._next = next(members, None)

    @property
    def rows(self) -> int:
        """How many there are, in all tables."""
        return sum(content.rows for content in self.contents.tables)

    def rows_of(self, content: Content) -> Iterator[bytes]:
        """The rows of the next table. Raises Incomplete."""
        number = 0
        while self._next and self._next[0] == ROWS.format(content.table, number):
            yield self._next[1]
            self._next = next(self._members, None)
            number += 1
        if not number:
            raise Incomplete(f"it has no rows of the table {content.table}")

    def finish(self) -> None:
        """Read to the end. Raises Incomplete."""
        if self._next is None or self._next[0] != END:
            raise Incomplete("it has no end")
        for _ in self._members:
            raise Incomplete("something follows its end")

    def verify(self) -> None:
        """Read all of it, and keep nothing. Raises Incomplete."""
        for content in self.contents.tables:
            for _ in self.rows_of(content):
                """Read."""
        self.finish()
