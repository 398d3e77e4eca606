"""The AI providers as data: their hosts, and the wire format of each path."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec
import yaml

HOST = re.compile(r"(?:[a-z0-9*.-]*[.-])?[a-z0-9-]+\.[a-z0-9-]+|localhost")
PATH = re.compile(r"(?:/(?:[a-z0-9._:-]|\{model\}|\{\})+)*")
ANY = "*"  # of paths: all that no list names

PLACES = ("headers", "queries", "cookies")
# Where a provider takes its credential, unless its entry says something else; and the rules
# that find tokens of AI providers, and those that anybody may issue.
CREDENTIALS = {
    "headers": ["authorization", "x-api-key", "api-key", "x-goog-api-key"],
}
TOKENS = ("credentials.ai*", "credentials.jwt*", "credentials.header.*")


class BadProviders(ValueError):
    """A list of providers that cannot be used, and why."""


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    hosts: list[str]
    refusal: str = "openai"
    paths: dict[str, str] = {}
    sockets: bool = True
    credentials: dict[str, list[str]] = {}
    tokens: list[str] = []
    unread: list[str] = []


class _File(msgspec.Struct, forbid_unknown_fields=True):
    sets: dict[str, dict[str, str]] = {}
    sockets: dict[str, dict[str, str]] = {}
    providers: dict[str, _Written] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """One provider.

    `paths` are patterns of canonical paths with their wire format; `refusal` names an
    error format.

    `sockets` are the paths where a WebSocket may be opened. `unread` are those of which
    nobody can read what is said there, and which are opened all the same, and flagged; ANY
    stands for all that no list names. Under all other paths it is refused.

    `credentials` are the names of the places in a head where the provider takes a client's
    own credential, by kind of place (PLACES); `tokens` name the rules that find them.
    """

    name: str
    hosts: tuple[str, ...]
    refusal: str
    paths: tuple[tuple[str, str], ...]
    sockets: tuple[tuple[str, str], ...] = ()
    credentials: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tokens: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def providers(more: Path | None = None) -> tuple[Entry, ...]:
    """The providers of a file, then the shipped ones.

    One of the same name replaces the shipped one.

    Raises BadProviders.
    """
    if more is None:
        return _shipped()
    try:
        own = _read(more.read_text(encoding="utf-8"), str(more), _shipped_file())
    except (OSError, UnicodeDecodeError) as error:
        raise BadProviders(f"{more} cannot be read: {error}") from None
    names = {entry.name for entry in own}
    return (*own, *(entry for entry in _shipped() if entry.name not in names))


def ai_hosts(entries: Iterable[Entry] | None = None) -> tuple[str, ...]:
    """All hosts as written; a `*` stands for letters, digits, `-` and `.`."""
    return tuple(
        dict.fromkeys(
            host
            for entry in (_shipped() if entries is None else entries)
            for host in entry.hosts
        )
    )


def _text() -> str:
    return (
        resources.files("contract")
        .joinpath("providers.yaml")
        .read_text(encoding="utf-8")
    )


@cache
def _shipped_file() -> _File:
    return msgspec.convert(yaml.load(_text(), yaml.CSafeLoader), _File)


@cache
def _shipped() -> tuple[Entry, ...]:
    return _read(_text(), "contract/providers.yaml", _File())


def _read(text: str, name: str, shipped: _File) -> tuple[Entry, ...]:
    try:
        file = msgspec.convert(yaml.load(text, yaml.CSafeLoader), _File)
    except yaml.YAMLError as error:
        raise BadProviders(f"{name} is not YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise BadProviders(f"{name}: {error}") from None
    known = _File({**shipped.sets, **file.sets}, {**shipped.sockets, **file.sockets})
    return tuple(
        _entry(provider, written, known, name)
        for provider, written in file.providers.items()
    )


def _entry(provider: str, written: _Written, known: _File, name: str) -> Entry:
    for host in written.hosts:
        if not HOST.fullmatch(host):
            raise BadProviders(
                f"{name}: provider `{provider}`: `{host}` is not a host; write it in lower case, such as `*.example.com`"
            )
    paths: list[tuple[str, str]] = []
    sockets: list[tuple[str, str]] = []
    for prefix, which in written.paths.items():
        if which not in known.sets and which not in known.sockets:
            sets = dict.fromkeys((*known.sets, *known.sockets))
            raise BadProviders(
                f"{name}: provider `{provider}`: there is no set `{which}`; there are {', '.join(sets)}"
            )
        paths += [
            (prefix + path, format)
            for path, format in known.sets.get(which, {}).items()
        ]
        sockets += [
            (prefix + path, format)
            for path, format in known.sockets.get(which, {}).items()
            if written.sockets
        ]
    for path in (*dict((*paths, *sockets)), *({*written.unread} - {ANY})):
        if not PATH.fullmatch(path):
            raise BadProviders(
                f"{name}: provider `{provider}`: `{path}` is not a path; lower case, `{{model}}` or `{{}}`"
            )
    for where in written.credentials:
        if where not in PLACES:
            raise BadProviders(
                f"{name}: provider `{provider}`: credentials are in {', '.join(PLACES)}, not in `{where}`"
            )
    places = {**CREDENTIALS, **written.credentials}
    return Entry(
        provider,
        tuple(written.hosts),
        written.refusal,
        tuple(paths),
        tuple(sockets),
        tuple(
            (where, tuple(one.lower() for one in names))
            for where, names in places.items()
        ),
        (*TOKENS, *written.tokens),
        tuple(written.unread),
    )
