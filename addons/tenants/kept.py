"""What the audit keeps of a call, where it keeps prompts."""

from contract.kept import FORMAT, KeptCall, KeptText
from rules.exchange import HEAD, NOWHERE, Exchange

# Characters of a prompt, and as many of the names and numbers around it, which must not take its room.
MOST_KEPT = 64 * 1024
EACH = (
    32  # that one name or number counts for besides its letters: there may be thousands
)


def kept(exchange: Exchange) -> KeptCall:
    """The texts of a call up to MOST_KEPT; nothing of its head."""
    texts: list[KeptText] = []
    left, cut = {True: MOST_KEPT, False: MOST_KEPT}, False
    for part in exchange.parts:
        if part.kind in HEAD:  # its place alone, so that the others keep their numbers
            texts.append(KeptText(part.role, "", kind=part.kind, fixed=True))
            continue
        around = part.role == "other"
        room = left[around]
        cut = cut or len(part.text) > room or not room
        if not room:
            continue
        left[around] -= min(room, len(part.text) + EACH * around)
        texts.append(
            KeptText(
                part.role,
                part.text[:room],
                len(part.text) > room,
                part.kind,
                part.tool,
                part.argument,
                part.literal == NOWHERE,
                bool(part.signature),
            )
        )
    return KeptCall(
        texts,
        FORMAT,
        exchange.path,
        exchange.model,
        exchange.user,
        exchange.time,
        cut,
    )
