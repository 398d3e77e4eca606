"""Calls over HTTP/2: the client of the bench, and its upstream."""

import asyncio
from collections.abc import Callable, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

READ = 64 * 1024
ALPN = "h2"


class _End:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool):  # fmt: skip
        self._reader, self._writer = reader, writer
        self.connection = H2Connection(H2Configuration(client_side=client, header_encoding="utf-8"))  # fmt: skip
        self.connection.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Send what is to be sent."""
        self._writer.write(self.connection.data_to_send())

    async def events(self) -> Sequence[object]:
        """What arrives next. Raises ConnectionError at the end."""
        data = await self._reader.read(READ)
        if not data:
            raise ConnectionError("the connection has ended")
        events = self.connection.receive_data(data)
        for event in events:
            if isinstance(event, DataReceived):
                length = event.flow_controlled_length or 0
                self.connection.acknowledge_received_data(length, event.stream_id)
        return events


async def calls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, path: str, bodies: Sequence[bytes]) -> None:  # fmt: skip
    """One call after the other, each a stream of its own; bodies of up to 16 KB."""
    end = _End(reader, writer, client=True)
    head = [(":method", "POST"), (":scheme", "https"), (":authority", host), (":path", path), ("content-type", "application/json"), ("authorization", "Bearer sk-bench")]  # fmt: skip
    for body in bodies:
        stream = end.connection.get_next_available_stream_id()
        end.connection.send_headers(stream, [*head, ("content-length", str(len(body)))])
        end.connection.send_data(stream, body, end_stream=True)
        end.flush()
        while not any(isinstance(one, StreamEnded) for one in await end.events()):
            end.flush()
        end.flush()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[], bytes]) -> None:  # fmt: skip
    """Answer every call, until the connection ends. `answer` gives a response as HTTP/1.1 writes it."""
    end = _End(reader, writer, client=False)
    asked: set[int] = set()
    while True:
        for event in await end.events():
            if isinstance(event, RequestReceived):
                asked.add(event.stream_id or 0)
            elif isinstance(event, StreamEnded) and event.stream_id in asked:
                head, body = answer().split(b"\r\n\r\n", 1)
                fields = [tuple(line.lower().split(": ", 1)) for line in head.decode().split("\r\n")[1:]]  # fmt: skip
                end.connection.send_headers(event.stream_id, [(":status", "200"), *fields])  # fmt: skip
                end.connection.send_data(event.stream_id, body, end_stream=True)
                asked.discard(event.stream_id)
        end.flush()
