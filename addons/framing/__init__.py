"""Cuts streams into events (frames), by their content type; undoes their content
encoding.
"""

from collections.abc import Callable

from addons.framing.eventstream import EventStream
from addons.framing.frame import Framing
from addons.framing.json_array import JsonArray
from addons.framing.json_lines import JsonLines
from addons.framing.sse import ServerSentEvents

FRAMINGS: dict[str, Callable[[], Framing]] = {
    "text/event-stream": ServerSentEvents,
    "application/x-ndjson": JsonLines,
    "application/jsonl": JsonLines,
    "application/x-jsonlines": JsonLines,
    "application/stream+json": JsonLines,
    "application/vnd.amazon.eventstream": EventStream,
}


def framing_of(
    content_type: str, *, grows: bool, sought: bool = False
) -> Framing | None:
    """The framing of an answer of this type; None for an answer that is one document.

    `grows`: plain JSON is an array that grows. `sought`: the call asked for a stream;
    an answer that claims to be neither text nor JSON is read as the events for which
    its client looks.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in FRAMINGS:
        return FRAMINGS[kind]()
    if grows and kind == "application/json":
        return JsonArray()
    return (
        ServerSentEvents()
        if sought and kind.partition("/")[0] != "text" and "json" not in kind
        else None
    )
