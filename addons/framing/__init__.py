"""Cuts streams into events (frames), by their content type; undoes their content
encoding.
"""

import re
from collections.abc import Callable
from typing import Literal

import msgspec

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
_EVENT = re.compile(rb"(?:data|event|id|retry)?:")
_NAMES = (b"data:", b"event:", b"id:", b"retry:")
# How bytes begin that are compressed, though no header says so: gzip, zstd.
PACKED = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")


def framing_by(begin: bytes) -> Framing | Literal[False] | None:
    """The framing of an answer by how it begins, where its type says nothing.

    False: it is no stream. None: that does not show yet.
    """
    begin = begin.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if _EVENT.match(begin):
        return ServerSentEvents()
    early = any(name.startswith(begin) for name in _NAMES)
    line, found, more = begin.partition(b"\n")
    if begin.startswith(b"{"):
        early = not more.strip() and len(begin) < SNIFFED
        if found and more.strip() and _is_document(line):
            return JsonLines()
    return None if early else False


def _is_document(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (ValueError, RecursionError):
        return False


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
