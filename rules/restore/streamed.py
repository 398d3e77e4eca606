"""Originals in a stream: a text with a placeholder waits until it is decided, by its end.

    piece 1   "Your key is [REDA"       "Your key is " is sent; a placeholder may begin
    piece 2   "CTED:aws_bcdfghjk]."     waits: what follows may make it part of a URL
    128 characters later, or its end    decided, and sent with the original or as it is

Only in a text's first channel. The arguments of a call wait for the end of their JSON, since
the file that they name may come last; text that is no JSON waits for the end of the answer. A
text that others overtook by 32 events keeps its placeholders, since what follows may join it.
"""

from collections.abc import Callable, Collection, Iterable
from sys import maxsize

from rules.channels import MAX_CHANNELS, Channel, Name, Piece, insert_edit
from rules.exchange import NOWHERE
from rules.redact import Edit
from rules.restore.places import MAX_BACK
from rules.restore.restorer import Restorer
from rules.restore.spans import LOOKAHEAD

# Characters of one channel that wait for a decision. Longer texts keep their placeholders.
MAX_WAITING_TEXT = 256 * 1024
# Keys of texts of the model, and of a call's arguments as one text. Elsewhere clients have
# bytes, names and addresses.
TEXTS = frozenset(
    """
    text content delta refusal reasoning reasoning_content generated_text response output_text transcript message summary thinking
    """.split()  # noqa: SIM905
)
GIVEN = frozenset(("arguments", "input", "partial_json", "delta", "args", "parameters"))


class StreamedRestore:
    """The originals of one streamed answer. `text_of` gives a growing text so far."""

    def __init__(self, restorer: Restorer, text_of: Callable[[Name], str]):
        self.restorer = restorer
        self._text_of = text_of
        self._pieces: dict[Name, Piece] = {}  # the first of each first channel
        self._shown: list[Name] = []  # those of the model's text, in their order
        # Where placeholders began whose originals were sent.
        self._sent: dict[Name, set[int]] = {}

    def may_begin(self, text: str) -> bool:
        """Whether a placeholder may begin in a text."""
        return not self.restorer.firsts.isdisjoint(text)

    def take(
        self, piece: Piece, channels: Iterable[Channel], starts: Iterable[int]
    ) -> None:
        """A piece was added to its channels; it starts there."""
        if piece.literal == NOWHERE:
            return
        name = piece.channels[0]
        if piece.signature:
            return
        if piece.arguments is None:
            known = TEXTS if piece.kind == "text" else GIVEN
            if piece.argument in known and len(self._pieces) < MAX_CHANNELS:
                if name not in self._pieces and piece.kind == "text":
                    self._shown.append(name)
                self._pieces.setdefault(name, piece._replace(text=""))
            return
        for channel, start in zip(channels, starts, strict=True):
            if name in channel.names:
                edits = self.restorer.leaf(
                    piece.tool, piece.arguments, piece.text, piece.argument
                )
                _insert(channel, edits, start)

    def held(self, channel: Channel, first: int) -> int | None:
        """From which character of its window a channel has to wait; None: from none.

        `first` is the first that is not settled.
        """
        name = self._name(channel)
        if name is None:
            return None
        if channel.waits and self._pieces[name].kind == "text":
            self._decide_early(channel, name)
        if channel.waits:
            if len(channel.window) - first <= MAX_WAITING_TEXT:
                return first
            self.leave(channel)
        first = max(first, channel.decided - channel.base)
        place = self.restorer.first(channel.window, first)
        if place >= 0:
            channel.waits, channel.waits_at = True, channel.base + place
            return place
        begins = self.restorer.begins(channel.window, first)
        return begins if begins < len(channel.window) else None

    def _decide_early(self, channel: Channel, name: Name) -> None:
        """Decide what has enough text behind it, so that a stream stays one."""
        last = channel.length - LOOKAHEAD
        if channel.waits_at + self.restorer.longest > last:
            return
        text = self._text_of(name)
        if len(text) == channel.length:
            before = self._before(name)
            sent = self._sent.setdefault(name, set())
            edits = self.restorer.text(
                text, before, channel.waits_at, sent=sent, more=True
            )
            sent.update(edit.start for edit in edits)
            _insert(channel, edits, 0)
            channel.waits = False
            channel.decided = self.restorer.undecided(text, channel.waits_at, last)

    def end(
        self, channels: Iterable[Channel], only: Collection[Name] | None = None
    ) -> None:
        """Decide as if these texts ended here; `only` those of these channels."""
        for channel in channels:
            if only is None or not channel.names.isdisjoint(only):
                self._end(channel)

    def _end(self, channel: Channel) -> None:
        name = self._name(channel)
        if name is None or channel.decided >= channel.length:
            return
        text, piece = self._text_of(name), self._pieces[name]
        edits: list[Edit] = []
        if len(text) == channel.length:
            edits = (
                self.restorer.arguments(piece.tool or channel.part.tool, text)
                if piece.kind == "tool_call"
                else self.restorer.text(
                    text,
                    self._before(name),
                    channel.decided,
                    sent=self._sent.get(name, ()),
                )
            )
            self._sent.setdefault(name, set()).update(edit.start for edit in edits)
        _insert(channel, edits, 0)
        self.leave(channel)

    def _before(self, name: Name) -> str:
        """The end of the texts before this one, as a client shows them."""
        texts: list[str] = []
        length = 0
        for other in reversed(self._shown[: self._shown.index(name)]):
            if length >= MAX_BACK:
                break
            text = self._text_of(other)
            texts.append(self.restorer.shown(text, self._sent.get(other, ())))
            length += len(texts[-1])
        return "".join(reversed(texts))[-MAX_BACK:]

    def leave(self, channel: Channel) -> None:
        """Let the placeholders stay that a channel has, and will have."""
        channel.waits, channel.decided = False, maxsize

    def leave_all(self, channels: Iterable[Channel]) -> list[Channel]:
        """The same for all that wait; which did."""
        waiting = [channel for channel in channels if channel.waits]
        for channel in waiting:
            self.leave(channel)
        return waiting

    def _name(self, channel: Channel) -> Name | None:
        """The name by which a channel is the first of its text; None where it is not."""
        return next((name for name in channel.names if name in self._pieces), None)


def _insert(channel: Channel, edits: Iterable[Edit], start: int) -> None:
    for edit in edits:
        moved = Edit(0, edit.start + start, edit.end + start, edit.text)
        insert_edit(channel.edits, moved)
