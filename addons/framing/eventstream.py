"""Amazon's binary event stream (application/vnd.amazon.eventstream): length, headers, payload, checksums.

Source: smithy.io, "Amazon Event Stream specification". Bedrock's invoke wraps the model's own JSON into base64; that is the data then.
"""

import base64
import binascii
import struct
from collections.abc import Iterator

import msgspec

from addons.framing.frame import MAX_FRAME, Frame

PRELUDE = struct.Struct(">III")  # length of all, length of the headers, checksum of both
AROUND = PRELUDE.size + 4  # bytes of a message that are neither header nor payload
SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of a header's value, by its type
STRINGS = (6, 7)


class EventStream:
    """One stream's frames. A message that is none ends the reading; the rest goes out unread, and says so."""

    idle = b""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._broken = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """The messages that `chunk` completes."""
        self._rest += chunk
        frames: list[Frame] = []
        while len(self._rest) >= PRELUDE.size and not self._broken:
            length, headers, checksum = PRELUDE.unpack_from(self._rest)
            sound = checksum == binascii.crc32(self._rest[:8]) and AROUND + headers <= length <= MAX_FRAME
            if sound and len(self._rest) < length:
                break
            raw = bytes(self._rest[:length])
            if not sound or int.from_bytes(raw[-4:]) != binascii.crc32(raw[:-4]):
                self._broken = True
                break
            frames.append(_frame(raw, headers))
            del self._rest[:length]
        if self._broken and self._rest:
            frames.append(Frame(bytes(self._rest), unreadable="opaque"))
            self._rest.clear()
        return frames

    def end(self) -> list[Frame]:
        """A message that was cut off."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [Frame(rest, unreadable="opaque")] if rest else []

    def rewritten(self, frame: Frame, data: bytes) -> bytes:
        """The message with its own headers, another payload, and checksums that fit."""
        _, headers, _ = PRELUDE.unpack_from(frame.raw)
        payload = frame.raw[PRELUDE.size + headers : -4]
        wrapped = _wrapped(payload)
        if wrapped is not None:
            data = payload.replace(wrapped.encode(), base64.b64encode(data), 1)
        return _message(frame.raw[PRELUDE.size : PRELUDE.size + headers], data)

    def made(self, name: str, data: bytes) -> bytes:
        """An exception, as Bedrock tells one."""
        headers = {":message-type": "exception", ":exception-type": name, ":content-type": "application/json"}
        return _message(b"".join(_header(*item) for item in headers.items()), data)


def _frame(raw: bytes, headers: int) -> Frame:
    payload = raw[PRELUDE.size + headers : -4]
    told = dict(_headers(raw[PRELUDE.size : PRELUDE.size + headers]))
    wrapped = _wrapped(payload)
    beside = "\n".join(text for name, text in told.items() if not name.startswith(":"))
    name = told.get(":event-type", "")
    if wrapped is None:
        return Frame(raw, payload or None, name, beside)
    try:
        return Frame(raw, base64.b64decode(wrapped, validate=True), name, beside)
    except ValueError:
        return Frame(raw, payload, name, beside)


def _wrapped(payload: bytes) -> str | None:
    """The model's own JSON in base64, where the payload is nothing but that and padding."""
    try:
        document = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not {"bytes"} <= document.keys() <= {"bytes", "p"}:
        return None
    return document["bytes"] if isinstance(document["bytes"], str) else None


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    """Names and texts; values of other types are passed over, and so is what does not fit."""
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name, kind = data[at + 1 : end].decode("utf-8", "replace"), data[end] if end < len(data) else -1
        at = end + 1
        if kind in STRINGS:
            size = int.from_bytes(data[at : at + 2])
            yield name, data[at + 2 : at + 2 + size].decode("utf-8", "replace")
            at += 2 + size
        elif kind in SIZES:
            at += SIZES[kind]
        else:
            return


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + len(value.encode()).to_bytes(2) + value.encode()


def _message(headers: bytes, payload: bytes) -> bytes:
    start = struct.pack(">II", AROUND + len(headers) + len(payload), len(headers))
    message = start + binascii.crc32(start).to_bytes(4) + headers + payload
    return message + binascii.crc32(message).to_bytes(4)
