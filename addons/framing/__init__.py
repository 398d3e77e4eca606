"""Cuts streams into events (frames), by their content type; undoes their content
encoding.
"""

import json
import re
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


SNIFFED = 64 * 1024  # bytes of an answer within which it shows whether it is a stream
_EVENT = re.compile(rb"(?:\A(?:\xef\xbb\xbf)*|[\r\n])(?:data|event|id|retry)?:")
# How bytes begin that are compressed, though no header says so: gzip, zstd.
PACKED = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")


def framing_by(begin: bytes) -> Framing | None:
    """The framing of an answer by how it begins, where its type says nothing; None where that does
    not show, or not yet.

    Readers pass over lines that they do not know, so any line may be the first of an event.
    """
    if _EVENT.search(begin):
        return ServerSentEvents()
    lines = [line for line in begin.split(b"\n")[:-1] if line.strip()]
    return JsonLines() if len(lines) > 1 and all(map(_is_json, lines[:2])) else None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.strip(b"\x1e"))
    except (ValueError, RecursionError):
        return False
    return True


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
