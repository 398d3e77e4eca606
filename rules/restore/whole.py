"""Originals in texts that are whole: they are put back at once, where nothing is redacted."""

from collections.abc import Iterable, Iterator

from rules.channels import Piece
from rules.exchange import NOWHERE
from rules.redact import Edit, merged
from rules.restore.places import MAX_BACK
from rules.restore.restorer import Restorer
from rules.restore.streamed import GIVEN, TEXTS

REDACTING, RESTORING = 1, 0  # priority where both would edit the same text


def with_originals(
    redacting: Iterable[Edit], pieces: Iterable[Piece], restorer: Restorer | None
) -> tuple[Edit, ...]:
    """The edits of a document, with those that put originals back into its whole texts."""
    if restorer is None:
        return tuple(redacting)
    return tuple(
        merged(
            [
                *((REDACTING, edit) for edit in redacting),
                *((RESTORING, edit) for edit in _originals(pieces, restorer)),
            ]
        )
    )


def _originals(pieces: Iterable[Piece], restorer: Restorer) -> Iterator[Edit]:
    """The edits that put originals back in place of their placeholders."""
    before = ""
    for piece in pieces:
        if piece.literal == NOWHERE or piece.signature:
            continue
        if piece.kind == "text" and piece.argument in TEXTS:
            edits = restorer.text(piece.text, before)
            shown = restorer.shown(piece.text, {edit.start for edit in edits})
            before = (before + shown)[-MAX_BACK:]
        elif piece.kind == "tool_call" and piece.arguments is not None:
            edits = restorer.leaf(
                piece.tool, piece.arguments, piece.text, piece.argument
            )
        elif piece.kind == "tool_call" and piece.argument in GIVEN:
            edits = restorer.arguments(piece.tool, piece.text)
        else:
            continue
        for edit in edits:
            yield edit._replace(literal=piece.literal)
