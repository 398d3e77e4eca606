"""A WebSocket of the bench: each message of the client is answered by one of the upstream. RFC 6455, as far as that needs."""

import asyncio
import hashlib
import json
from base64 import b64encode

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 0x81, 0x88  # the first byte of a frame that is a whole message
NO_MASK = b"\0\0\0\0"
OPEN = (
    "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: api.openai.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\nAuthorization: Bearer sk-bench\r\n\r\n"
).encode()
# A whole item: of a text in pieces a proxy that judges it may hold the last one back.
SAID = {"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": "The river rises in the hills."}]}  # fmt: skip
REPLY = json.dumps({"type": "conversation.item.created", "event_id": "e", "item": SAID}).encode()  # fmt: skip


def message(text: str) -> bytes:
    """What a user says."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return json.dumps({"type": "conversation.item.create", "item": item}).encode()


def frame(payload: bytes, mask: bytes = b"") -> bytes:
    """A message of up to 64 KB; a client's has a mask."""
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        return bytes((TEXT, bit | len(payload))) + mask + payload
    return bytes((TEXT, bit | 126)) + len(payload).to_bytes(2) + mask + payload


async def read(reader: asyncio.StreamReader) -> int:
    """Read a frame; its first byte."""
    first, length = await reader.readexactly(2)
    masked, length = length & 0x80, length & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    await reader.readexactly(length + (4 if masked else 0))
    return first


async def serve(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Accept the WebSocket of this head, and answer its messages until it is closed."""
    name = b"\nsec-websocket-key:"
    key = head[head.lower().index(name) + len(name) :].split(b"\r\n", 1)[0].strip()
    accept = b64encode(hashlib.sha1(key + GUID.encode()).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")  # fmt: skip
    while await read(reader) != CLOSE:
        writer.write(frame(REPLY))


async def talk(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    messages: list[bytes],
) -> None:
    """Send each message when the one before it was answered."""
    for one in messages:
        writer.write(frame(one, NO_MASK))
        await read(reader)
