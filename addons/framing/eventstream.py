"""Amazon's binary event stream (application/vnd.amazon.eventstream): length, headers,
payload, checksums.

Source: smithy.io, "Amazon Event Stream specification". Bedrock's invoke wraps the
model's own JSON in base64; that JSON is then the data of a frame.
"""

import base64
import binascii
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from addons.framing.frame import MAX_FRAME, Frame, Unfinished

# length of all, length of the headers, checksum of both
PRELUDE = struct.Struct(">III")
AROUND = PRELUDE.size + 4  # bytes of a message that are neither header nor payload
# of a header's value, by its type
SIZES = {
    0: 0,
    1: 0,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    8: 8,
    9: 16,
}
# Types of header values that are texts: bytes and string.
STRINGS = (6, 7)
# Names of headers that Amazon's own streams have.
KNOWN_NAMES = frozenset(
    (":event-type", ":content-type", ":message-type", ":exception-type")
)
MALFORMED = ":malformed"
# What Bedrock fills its documents up with (`p`), so that their length tells nothing.
PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class EventStream(Unfinished):
    """The frames of one stream.

    An invalid message ends the reading; the rest is one unreadable frame.
    """

    keepalive = b""

    def feed(self, chunk: bytes) -> list[Frame]:
        """The messages that `chunk` completes."""
        self._rest += chunk
        frames: list[Frame] = []
        while len(self._rest) >= PRELUDE.size and not self._passing:
            length, headers, checksum = PRELUDE.unpack_from(self._rest)
            sound = (
                checksum == binascii.crc32(self._rest[:8])
                and AROUND + headers <= length <= MAX_FRAME
            )
            if sound and len(self._rest) < length:
                break
            raw = bytes(self._rest[:length])
            if not sound or int.from_bytes(raw[-4:]) != binascii.crc32(raw[:-4]):
                self._passing = True
                break
            frames.append(_frame(raw, headers))
            del self._rest[:length]
        if self._passing and self._rest:
            frames.append(Frame(bytes(self._rest), unreadable="bad_json"))
            self._rest.clear()
        return frames

    def end(self) -> list[Frame]:
        """A message that was cut off."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [Frame(rest, unreadable="opaque")] if rest else []

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The message with its own headers, another payload, and new checksums."""
        _, headers, _ = PRELUDE.unpack_from(frame.raw)
        document = _wrapping(frame.raw[PRELUDE.size + headers : -4])
        if document is not None:
            data = msgspec.json.encode(
                {**document, "bytes": base64.b64encode(data).decode()}
            )
        return _message(frame.raw[PRELUDE.size : PRELUDE.size + headers], data)

    def own_frame(self, name: str, data: bytes, *, first: bool) -> bytes:
        """An exception, as Bedrock sends one."""
        headers = {
            ":message-type": "exception",
            ":exception-type": name,
            ":content-type": "application/json",
        }
        return _message(b"".join(_header(*item) for item in headers.items()), data)


def _frame(raw: bytes, headers: int) -> Frame:
    payload = raw[PRELUDE.size + headers : -4]
    told = list(_headers(raw[PRELUDE.size : PRELUDE.size + headers]))
    beside = "\n".join(
        text for one in told for text in one if text and text not in KNOWN_NAMES
    )
    if (MALFORMED, "") in told:
        return Frame(raw, payload or None, "", beside, unreadable="bad_json")
    name = dict(told).get(":event-type", "")
    document = _wrapping(payload)
    if document is None:
        return Frame(raw, payload or None, name, beside)
    if payload.count(b'"bytes"') > 1:
        return Frame(raw, payload, name, beside, unreadable="duplicate_key")
    others = {key: value for key, value in document.items() if key != "bytes"}
    if PADDING.startswith(str(others.get("p", "-"))):
        del others["p"]
    if others:
        beside += "\n" + msgspec.json.encode(others).decode()
    try:
        return Frame(raw, base64.b64decode(document["bytes"]), name, beside)
    except ValueError:
        return Frame(raw, payload, name, beside, unreadable="opaque")


def _wrapping(payload: bytes) -> dict[str, Any] | None:
    """The document that wraps the model's own JSON in base64; None where there is none."""
    try:
        document = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return None
    return (
        document
        if isinstance(document, dict) and isinstance(document.get("bytes"), str)
        else None
    )


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """Names and texts; values of other types are no text. MALFORMED ends them where no more can be read."""
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name = data[at + 1 : end].decode("utf-8", "replace")
        kind = data[end] if end < len(data) else -1
        at = end + 1
        if kind in STRINGS:
            size = int.from_bytes(data[at : at + 2])
            yield name, data[at + 2 : at + 2 + size].decode("utf-8", "replace")
            at += 2 + size
        elif kind in SIZES:
            at += SIZES[kind]
        else:
            yield MALFORMED, ""
            return


def _header(name: str, value: str) -> bytes:
    return (
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + len(value.encode()).to_bytes(2)
        + value.encode()
    )


def _message(headers: bytes, payload: bytes) -> bytes:
    start = struct.pack(">II", AROUND + len(headers) + len(payload), len(headers))
    message = start + binascii.crc32(start).to_bytes(4) + headers + payload
    return message + binascii.crc32(message).to_bytes(4)
