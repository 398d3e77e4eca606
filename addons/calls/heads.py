"""Reads the head of a call: its proxy key, its path, and whether all names of its host agree. Strings in, strings out."""

import base64
import posixpath
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

# Headers between client and proxy, and those that only Earthflow may set.
PRIVATE_PREFIXES = (b"proxy-", b"x-earthflow-")
# Characters of a path whose canonical form is kept: each call is asked for it four times, and
# most are to a few paths.
LONGEST_KEPT = 200


def proxy_key(header: str) -> str:
    """The key in a Proxy-Authorization header: Basic with the key as password (or as user), or Bearer. Empty where there is none."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = (
            base64.b64decode(value.strip(), validate=True).decode().partition(":")
        )
    except ValueError:
        return ""
    return password or user


def private_names(fields: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The header names that must not be sent on."""
    return [
        name.decode("utf-8", "surrogateescape")
        for name, _ in fields
        if name[:1] in b"PpXx" and name.lower().startswith(PRIVATE_PREFIXES)
    ]


def canonical(path: str) -> str:
    """The path as a lenient server would read it: unescaped, lower case, without dot segments, empty segments and parameters."""
    return _kept(path) if len(path) <= LONGEST_KEPT else _kept.__wrapped__(path)


@lru_cache(maxsize=512)
def _kept(path: str) -> str:
    plain = unquote(unquote(path)).replace("\\", "/")
    segments = [segment.partition(";")[0] for segment in plain.split("/")]
    return posixpath.normpath("/" + "/".join(filter(None, segments))).lower()


def names_agree(wanted: str, hosts: list[str], others: Iterable[str | None]) -> bool:
    """Whether at most one Host header and the other given names all mean the host `wanted`."""
    named = [_without_port(name) for name in (*hosts, *others) if name]
    return len(hosts) <= 1 and all(_plain(name) == _plain(wanted) for name in named)


def _plain(host: str) -> str:
    return host.lower().rstrip(".").strip("[]")


def _without_port(authority: str) -> str:
    host, colon, port = authority.rpartition(":")
    return (
        host
        if colon and port.isdigit() and (":" not in host or host.endswith("]"))
        else authority
    )
