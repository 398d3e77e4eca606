"""What the gate knows of a flow on its way."""

from dataclasses import dataclass

from addons.providers.provider import Format, Provider
from addons.record import Ongoing
from addons.snapshot import Identity
from rules.exchange import Exchange
from rules.rulebook import Rulebook

PASSAGE = "earthflow"  # where a flow's Passage hangs in flow.metadata


@dataclass(frozen=True, slots=True)
class Asked:
    """What a judged call leaves for its answer: by which rules, in which context, whose placeholders, and what stood there."""

    book: Rulebook
    context: Exchange
    key: bytes
    restore: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Passage:
    """Who sends it, to which provider, in which format, its record once it is decided, and what its answer is judged by."""

    identity: Identity
    provider: Provider | None = None
    format: Format | None = None
    ongoing: Ongoing | None = None
    asked: Asked | None = None
    whole: bool = False  # the answer is held to be judged in one piece
