"""What an answer may get back of its call, and where: by where the values came from.

Held as long as the call, or its WebSocket; never stored.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from rules.exchange import Exchange
from rules.restore.original import Original
from rules.verdict import Restorable, Verdict

# Characters of a text that is kept with an original: of a user who names a file, and of a
# file whose URLs may return. Longer ones say nothing, since a socket keeps very many.
MAX_KEPT = 64 * 1024
MAX_TEXTS = 10  # texts of a kind that are kept with an original, the newest ones


def originals_of(
    exchange: Exchange,
    verdict: Verdict,
    sources: Callable[[Collection[int]], Mapping[int, str]],
) -> tuple[Original, ...]:
    """The originals of a call that was redacted. `sources`: as in `Reading`."""
    edited = {edit.literal for edit in verdict.edits}
    parts = [
        (number, part)
        for number, part in enumerate(exchange.parts)
        if part.literal in edited
    ]
    files = sources([number for number, part in parts if part.kind == "tool_result"])
    shown = [(files[number], part.text) for number, part in parts if number in files]
    said = [
        part.text
        for number, part in parts
        if part.role == "user" and part.kind == "text" and len(part.text) <= MAX_KEPT
    ]
    by_name: dict[str, Restorable] = {}
    for one in verdict.restore:
        by_name.setdefault(one.placeholder, one)
    return tuple(_original(one, shown, said) for one in by_name.values())


def joined(before: Sequence[Original], now: Sequence[Original]) -> list[Original]:
    """Originals of earlier messages and of a new one, the newest last."""
    known = {one.placeholder: one for one in before}
    for one in now:
        old = known.pop(one.placeholder, one)
        known[one.placeholder] = Original(
            one.placeholder,
            one.value,
            one.where,
            old.paths | one.paths,
            _newest(*old.contents, *one.contents),
            _newest(*old.said, *one.said),
        )
    return list(known.values())


def _original(
    one: Restorable, shown: Sequence[tuple[str, str]], said: Sequence[str]
) -> Original:
    having = [(path, text) for path, text in shown if one.value in text]
    return Original(
        one.placeholder,
        one.value,
        one.where,
        frozenset(path for path, _ in having),
        _newest(*(one for one in having if len(one[1]) <= MAX_KEPT)),
        _newest(*(text for text in said if one.value in text)),
    )


def _newest[Text](*texts: Text) -> tuple[Text, ...]:
    """The last of them, each once."""
    return tuple(dict.fromkeys(texts))[-MAX_TEXTS:]
