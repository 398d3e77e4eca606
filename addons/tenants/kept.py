"""What the audit keeps of a call, where it keeps prompts. Total: whatever a client sends, keeping never fails."""

import re

from contract.kept import FORMAT, KeptCall, KeptText
from rules.exchange import HEAD, NOWHERE, Exchange

# Characters of a prompt, and as many of the names and numbers around it, which must not take its room.
MOST_KEPT = 64 * 1024
EACH = 32  # that a text counts for besides its letters: there may be thousands
# Halves of characters, which JSON may hold and UTF-8 may not; rules see them so, too (rules/locate.py).
HALVES, UNKNOWN = re.compile("[\ud800-\udfff]"), "\N{REPLACEMENT CHARACTER}"


def kept(exchange: Exchange) -> KeptCall:
    """The texts of a call up to MOST_KEPT. Of its head there are blanks, so that the others keep their numbers, and all their size."""
    texts: list[KeptText] = []
    left, cut = {True: MOST_KEPT, False: MOST_KEPT}, False
    for part in exchange.parts:
        if part.kind in HEAD:
            blank = " " * len(part.text)
            texts.append(KeptText(part.role, blank, kind=part.kind, fixed=True))
            continue
        around = part.role == "other"
        room = left[around]
        cut = cut or len(part.text) > room or not room
        if not room:
            continue
        taken = len(part.text) + len(part.tool) + len(part.argument) + EACH
        left[around] -= min(room, taken)
        texts.append(
            KeptText(
                part.role,
                _writable(part.text[:room]),
                len(part.text) > room,
                part.kind,
                _writable(part.tool),
                _writable(part.argument),
                part.literal == NOWHERE,
                bool(part.signature),
            )
        )
    return KeptCall(
        texts,
        FORMAT,
        _writable(exchange.path),
        _writable(exchange.model),
        _writable(exchange.user),
        exchange.time,
        cut,
    )


def _writable(text: str) -> str:
    return HALVES.sub(UNKNOWN, text)
