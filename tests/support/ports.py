"""Ports of loopback that nobody has, for servers that cannot choose one themselves."""

import socket
from contextlib import ExitStack


def free_ports(count: int, most: int = 65_535) -> list[int]:
    """Ports up to `most`, all different; somebody may take one before it is used."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            server = held.enter_context(socket.socket())
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
            if port <= most:
                found.append(port)
    return found
