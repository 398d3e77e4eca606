"""What an answer may get back of its call, and where: by where the values came from.

Held as long as the call, or its WebSocket; never stored.
"""

from collections.abc import Mapping, Sequence

from rules.exchange import Exchange
from rules.restore.restorer import Original
from rules.verdict import Restorable, Verdict


def originals_of(
    exchange: Exchange, verdict: Verdict, sources: Mapping[int, str]
) -> tuple[Original, ...]:
    """The originals of a call that was redacted. `sources`: as in `Reading`."""
    edited = {edit.literal for edit in verdict.edits}
    # Texts that show the content of a file, or that a user wrote, and that have a value.
    texts = [
        (number, part.text)
        for number, part in enumerate(exchange.parts)
        if part.literal in edited and (number in sources or _is_said(exchange, number))
    ]
    by_name: dict[str, Restorable] = {}
    for one in verdict.restore:
        by_name.setdefault(one.placeholder, one)
    return tuple(_original(one, texts, sources) for one in by_name.values())


def _original(
    one: Restorable, texts: Sequence[tuple[int, str]], sources: Mapping[int, str]
) -> Original:
    having = [(number, text) for number, text in texts if one.value in text]
    contents = [(sources[n], text) for n, text in having if n in sources]
    return Original(
        one.placeholder,
        one.value,
        one.where,
        frozenset(path for path, _ in contents),
        tuple(text for _, text in contents),
        tuple(text for number, text in having if number not in sources),
    )


def _is_said(exchange: Exchange, number: int) -> bool:
    part = exchange.parts[number]
    return part.role == "user" and part.kind == "text"
