"""Run inside a network namespace by test_ssrf.py: an Earthflow, listeners on every address that must not be reached, and who tries to."""

import ipaddress
import json
import socket
import struct
import subprocess
import threading
from typing import NamedTuple

from tests.support.house import House, connect_status

# stand for the internet; they are ours in here
PUBLIC, PUBLIC6 = (
    "93.184.216.34",
    "2606:2800:220:1::1",
)
ADDRESSES = (
    "10.0.0.1", "10.255.255.254", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1.1", "169.254.169.254", "169.254.170.2",
    "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.192", "192.0.2.1", "203.0.113.1", "168.63.129.16", "240.0.0.1", PUBLIC,
    "fd00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "2001:db8::1", "3fff::1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
    "2002:a00:1::", "2001:0:7f00:1::", PUBLIC6,
)  # fmt: skip
PORTS = (80, 443, 5432, 6379, 8080)
TARGETS = (
    "127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "0.0.0.0", "0", "10.0.0.1", "10.1", "10.255.255.254", "172.16.0.1", "172.31.255.254",
    "192.168.0.1", "192.168.257", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.192",
    "192.0.2.1", "203.0.113.1", "168.63.129.16", "224.0.0.1", "240.0.0.1", "255.255.255.255", "0x7f000001", "0x7f.1", "2130706433",
    "017700000001", "0177.0.0.1", "127.000.000.001", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518", "127.0.0.1.",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a00:1]", "[2002:7f00:1::]", "[2002:a00:1::]", "[2001:0:7f00:1::]", "[fd00::1]",
    "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]",
    "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "inner.example", "meta.example", "metadata.google.internal",
    "six.example", "mapped.example", "zero.example", "mixed.example", "alias.example", "rebind.example", "meta-llm.example",
)  # fmt: skip
NAMES: dict[str, tuple[str, ...]] = {
    "public.example": (PUBLIC,),
    "inner.example": ("10.0.0.1",),
    "meta.example": ("169.254.169.254",),
    "metadata.google.internal": ("169.254.169.254",),
    "six.example": ("fd00::1",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "zero.example": ("0.0.0.0",),
    "mixed.example": (PUBLIC, "10.0.0.1"),
    "alias.example": ("192.168.0.1",),
    "llm.example": ("10.0.0.1",),  # named by the operator
    "meta-llm.example": ("169.254.169.254",),  # likewise, but that is nobody's model
    "evil.openai.azure.com": ("10.0.0.1",),  # an AI host that leads inside
}
REBINDING = "rebind.example"  # public when it is asked first, and never again


class Heard(NamedTuple):
    """A connection that somebody made."""

    address: str
    port: int


class Listeners:
    """On every address of the namespace."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        for family, everywhere in (
            (socket.AF_INET, "0.0.0.0"),
            (socket.AF_INET6, "::"),
        ):
            for port in PORTS:
                server = socket.socket(family)
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                server.bind((everywhere, port))
                server.listen(100)
                threading.Thread(
                    target=self._listen, args=(server,), daemon=True
                ).start()

    def _listen(self, server: socket.socket) -> None:
        while True:
            client, _ = server.accept()
            address, port = client.getsockname()[:2]
            self.heard.append(Heard(address, port))
            client.sendall(
                b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            client.close()


class Names:
    """A name server on 127.0.0.1."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def _serve(self, server: socket.socket) -> None:
        while True:
            query, client = server.recvfrom(4096)
            server.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name, (kind,) = (
            ".".join(labels).lower(),
            struct.unpack(">H", query[at + 1 : at + 3]),
        )
        found = [ipaddress.ip_address(one) for one in self._addresses(name, kind)]
        records = [one.packed for one in found if (one.version == 4) == (kind == 1)]
        head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
        answers = [
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(one)) + one
            for one in records
        ]
        return head + query[12 : at + 5] + b"".join(answers)

    def _addresses(self, name: str, kind: int) -> tuple[str, ...]:
        if name != REBINDING:
            return NAMES.get(name, ())
        if kind != 1:
            return ()
        self.asked[name] = self.asked.get(name, 0) + 1
        return (PUBLIC,) if self.asked[name] == 1 else ("10.0.0.1",)


def main() -> None:
    """Try everything; print what was heard."""
    run = ["ip", "link", "set", "lo", "up"]
    subprocess.run(run, check=True)
    for address in ADDRESSES:
        extra = ("nodad",) if ":" in address else ()
        subprocess.run(
            ["ip", "address", "add", address, "dev", "lo", *extra], check=True
        )
    listeners, _ = Listeners(), Names()
    with House({"EARTHFLOW_INTERNAL_HOSTS": "llm.example,meta-llm.example"}) as house:
        tenant = house.tenant()
        listeners.heard.clear()
        answers: dict[str, list[str]] = {}
        for target in TARGETS:
            statuses = [
                str(connect_status(house.stack.port, f"{target}:{port}", tenant.key))
                for port in (443, 6379)
            ]
            plain = tenant.curl(
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-m",
                "10",
                "-g",
                "--noproxy",
                "",
                f"http://{target}/",
            )
            answers[target] = [*statuses, plain.stdout]
        opened = tenant.curl(
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-m",
            "10",
            "https://evil.openai.azure.com/openai/v1/models",
        )
        answers["evil.openai.azure.com"] = [opened.stdout]
        reached = [
            one for one in listeners.heard if one.address not in (PUBLIC, PUBLIC6)
        ]
        rebound = [one for one in listeners.heard if one.address == PUBLIC]
        listeners.heard.clear()
        control = tenant.curl(
            "-L",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_redirects}",
            "-m",
            "10",
            "http://public.example/",
        )
        control_heard = list(listeners.heard)
        listeners.heard.clear()
        tenant.curl("-o", "/dev/null", "-m", "10", "http://llm.example/")
        print(
            json.dumps(
                {
                    "tried": len(answers),
                    "reached": reached,
                    "rebound": len(rebound),
                    "control": control.stdout,
                    "control_heard": control_heard,
                    "named_heard": listeners.heard,
                    "answers": answers,
                }
            )
        )


if __name__ == "__main__":
    main()
