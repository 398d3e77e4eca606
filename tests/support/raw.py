"""Raw connections to and through a house's proxy, for what no client sends."""

import socket
import ssl
from base64 import b64encode

from tests.support.house import PATIENCE, House, Tenant

# Words for curl: the head by which a client asks for a WebSocket.
UPGRADE = [
    word
    for header in (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAA",
    )
    for word in ("-H", header)
]


def knock(house: House) -> socket.socket:
    """A connection to the proxy's port."""
    return socket.create_connection(("127.0.0.1", house.stack.port), timeout=PATIENCE)


def tunnel(house: House, tenant: Tenant, target: str) -> socket.socket:
    """A tunnel to a host and port."""
    client = knock(house)
    auth = b64encode(f"key:{tenant.key}".encode()).decode()
    client.sendall(
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {auth}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert b" 200 " in head, head
    return client


def tls_tunnel(
    house: House,
    tenant: Tenant,
    host: str,
    sni: str | None = None,
    alpn: str | None = None,
) -> ssl.SSLSocket:
    """TLS inside of a tunnel to a host's port 443."""
    context = ssl.create_default_context(cafile=str(house.bundle))
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    return context.wrap_socket(
        tunnel(house, tenant, f"{host}:443"), server_hostname=sni or host
    )
