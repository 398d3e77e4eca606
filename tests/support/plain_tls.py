"""A TLS server that is no AI provider: it answers each request with one word, under a CA of its own."""

import socketserver
import ssl
import threading
from pathlib import Path
from typing import Any

from contract.authority import issue, make_root


class PlainTLS:
    """Use as a context manager; `port` is where it listens on loopback."""

    def __init__(self, folder: Path, host: str, ca_name: str):
        authority = make_root("Other", days=2)
        (folder / ca_name).write_bytes(authority.pem)
        chain, key = issue(authority, [host], days=2)
        pair = folder / f"{host}.pem"
        pair.write_bytes(key + chain)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair)

        class Answer(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with context.wrap_socket(self.request, server_side=True) as client:
                    client.recv(65536)
                    client.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntunnelled"
                    )

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that does not like us is no error of ours."""

        self._server = Server(("127.0.0.1", 0), Answer)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> "PlainTLS":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
