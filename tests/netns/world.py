"""Run in a network namespace by test_enforcing.py: port 443 of the world, by TCP with TLS and by UDP; prints who came, a line each."""

import re
import socket
import socketserver
import ssl
import sys
import threading

MODELS = b'{"data":[]}'
COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt-5.2","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"4"}}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
)


def whole_request(client: ssl.SSLSocket) -> bytes:
    """A request with its body: who closes with something unread resets the connection."""
    read = b""
    while True:
        head, ended, body = read.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if ended and len(body) >= int(length[1] if length else 0):
            return read
        if not (more := client.recv(65536)):
            return read
        read += more


def serve_udp() -> None:
    """Print who sends datagrams."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 443))
    while True:
        _, (address, _) = server.recvfrom(2048)
        print(f"udp {address}", flush=True)


def main(pair: str) -> None:
    """Serve until killed, with the certificate of the pretend providers."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            print(f"tcp {self.client_address[0]}", flush=True)
            with context.wrap_socket(self.request, server_side=True) as client:
                asked = whole_request(client)
                body = MODELS if asked.startswith(b"GET") else COMPLETION
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))  # fmt: skip

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128  # who is kept waiting longer is refused

        def handle_error(self, *_: object) -> None:
            """Whoever does not trust us hangs up."""

    with Server(("0.0.0.0", 443), Answer) as server:
        threading.Thread(target=serve_udp, daemon=True).start()
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
