"""Network namespaces of a test's own: hosts with a router between them, as far as a test needs them."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def ip(*words: str) -> None:
    """Run `ip`; raises CalledProcessError."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Networks:
    """Hosts by their names, each in a namespace, with one address, behind one router."""

    def __init__(self, hosts: Mapping[str, str]):
        """`hosts`: name -> address; each is alone in its /24, whose .1 is the router."""
        self.hosts, self._mark = dict(hosts), f"ef{os.getpid() % 100_000}"

    def space(self, name: str) -> str:
        """The namespace of a host, or of `router`."""
        return f"{self._mark}-{name}"

    def within(self, name: str, *command: str | Path) -> list[str]:
        """A command, to be run on a host."""
        return ["ip", "netns", "exec", self.space(name), *map(str, command)]

    def run(
        self, name: str, *command: str | Path, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on a host to its end."""
        return subprocess.run(self.within(name, *command), capture_output=True, text=True, check=check, timeout=120)  # fmt: skip

    def __enter__(self) -> "Networks":
        try:
            ip("netns", "add", self.space("router"))
            self.run("router", "sysctl", "-qw", "net.ipv4.ip_forward=1")
            for number, (name, address) in enumerate(self.hosts.items()):
                self._add(number, name, address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _add(self, number: int, name: str, address: str) -> None:
        gate = address.rpartition(".")[0] + ".1"
        space, outer, inner = self.space(name), f"{self._mark}r{number}", f"{self._mark}h{number}"  # fmt: skip
        ip("netns", "add", space)
        ip("link", "add", outer, "netns", self.space("router"), "type", "veth", "peer", "name", inner, "netns", space)  # fmt: skip
        for where, device, own in ((self.space("router"), outer, gate), (space, inner, address)):  # fmt: skip
            ip("-n", where, "address", "add", f"{own}/24", "dev", device)
            ip("-n", where, "link", "set", device, "up")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "route", "add", "default", "via", gate)

    def device(self, name: str, *, outer: bool = False) -> str:
        """The interface of a host, or, `outer`, the router's that leads to it."""
        return f"{self._mark}{'r' if outer else 'h'}{list(self.hosts).index(name)}"

    def cut(self, name: str) -> None:
        """Take a host off the network."""
        self._switch(name, "down")

    def join(self, name: str) -> None:
        """Bring a host back."""
        self._switch(name, "up")

    def _switch(self, name: str, state: str) -> None:
        number = list(self.hosts).index(name)
        ip("-n", self.space("router"), "link", "set", f"{self._mark}r{number}", state)

    def __exit__(self, *_: object) -> None:
        for name in ("router", *self.hosts):
            with suppress(subprocess.CalledProcessError):
                ip("netns", "delete", self.space(name))


@contextmanager
def running(
    command: Sequence[str], cwd: Path, **more: Any
) -> Iterator["subprocess.Popen[str]"]:
    """A process with its pipes, which ends with the block."""
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)  # fmt: skip
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
