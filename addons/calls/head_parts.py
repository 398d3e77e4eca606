"""Reads the head of a call as parts, so that rules see what leaves with it.

    POST /v1/chat/completions                     one part: method, path as written, query
    openai-organization: org-1, user-agent: …     one part: all other headers
    authorization: Bearer sk-…                    a part of kind `credential`: the provider's own
    ?key=AIza…                                    the same, where the provider takes its key so

Nothing can be replaced in a head, so a rule may refuse the call or flag it (`head` in
docs/rules.md). What a provider takes as its own credential is data of the provider
(contract/providers.yaml).
"""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, unquote_plus

from addons.providers.provider import CredentialPlaces
from rules.exchange import NOWHERE, Kind, Part

Field = tuple[bytes, bytes]
# Compared with the tunnel, or computed from the body, before the call is sent.
CHECKED = ("host", "content-length")


def head_parts(
    method: str,
    path: str,
    query: str,
    fields: Sequence[Field],
    places: CredentialPlaces,
) -> tuple[Part, ...]:
    """The parts of a head. Any strings and bytes in, never an exception out."""
    open_query: list[str] = []
    own: list[str] = []
    for pair in filter(None, query.split("&")):
        name = unquote_plus(pair.partition("=")[0]).lower()
        (own if name in places.queries else open_query).append(_plain(pair))
    headers: list[str] = []
    for raw_name, raw_value in fields:
        written = raw_name.decode("utf-8", "replace")
        name, text = (
            written.lower(),
            f"{written}: {raw_value.decode('utf-8', 'replace')}",
        )
        if name in CHECKED:
            continue
        if name in places.headers:
            own.append(text)
        elif name == "cookie":
            for cookie in _cookies(raw_value):
                mine = cookie.partition("=")[0].lower() in places.cookies
                (own if mine else headers).append(f"cookie: {cookie}")
        else:
            headers.append(text)
    line = f"{method} {_plain(path)}" + ("?" if open_query else "")
    return tuple(_parts("head", [line + "&".join(open_query), "\n".join(headers)], own))


def _parts(
    kind: Kind, texts: Iterable[str], credentials: Iterable[str]
) -> Iterator[Part]:
    for text in filter(None, texts):
        yield Part(text, "other", kind, NOWHERE)
    for text in credentials:
        yield Part(text, "other", "credential", NOWHERE)


def _plain(text: str) -> str:
    """Unescaped as often as a lenient server would; `+` stands for a blank in a query."""
    return unquote(unquote(text, errors="replace"), errors="replace")


def _cookies(value: bytes) -> Iterator[str]:
    for cookie in value.decode("utf-8", "replace").split(";"):
        yield cookie.strip()
