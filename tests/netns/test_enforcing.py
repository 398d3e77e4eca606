"""docs/enforcing.md, in networks of our own: a program that leaves the proxy aside reaches no AI host, and one that uses it works."""

import json
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.netns.networks import Networks, running

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "enforcing"
# The proxy's address is the one in gateway.nft; the world's stands for a provider's.
HOSTS = {"desk": "10.9.1.2", "edge": "10.9.2.2", "world": "93.184.216.34"}
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "enforcing.md").read_text(), re.DOTALL)  # fmt: skip
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
(ASIDE,) = [line for line in COMMANDS if line.startswith("curl ")]
CHECKS = [line for line in COMMANDS if line.startswith("nft ")]
PATIENCE = 60.0


@dataclass
class Site:
    """A desk, a proxy at the edge, a provider in the world, and a router between."""

    networks: Networks
    proxy: dict[str, Any]
    heard: "queue.Queue[str]"

    def aside(self) -> "subprocess.CompletedProcess[str]":
        """The document's own command, on the desk: whether there is a way around the proxy."""
        told = f"--resolve api.openai.com:443:{HOSTS['world']} -k "
        line = ASIDE.replace("curl ", f"curl {told}")
        return self.networks.run("desk", "bash", "-c", line, check=False)

    def by_the_proxy(self) -> "subprocess.CompletedProcess[str]":
        url = f"http://any:{self.proxy['key']}@{HOSTS['edge']}:{self.proxy['port']}"
        return self.networks.run("desk", "curl", "-sS", "-x", url, "--cacert", self.proxy["bundle"], "https://api.openai.com/v1/models", check=False)  # fmt: skip

    def send(self) -> None:
        """A datagram to the provider, as QUIC begins with; UDP says nothing of what became of it."""
        source = f"import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'quic', ('{HOSTS['world']}', 443))"
        self.networks.run("desk", sys.executable, "-c", source)

    def came(self) -> list[str]:
        """Who came until now: what was sent before is here, since a call by the proxy came after it."""
        assert self.by_the_proxy().returncode == 0
        came: list[str] = []
        while not came or came[-1] != f"tcp {HOSTS['edge']}":
            came.append(self.heard.get(timeout=PATIENCE))
        return came[:-1]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    module = [sys.executable, "-m"]
    with Networks(HOSTS) as networks:
        edge = networks.within("edge", *module, "tests.netns.edge", HOSTS["world"])
        with running(edge, ROOT) as proxy:
            assert proxy.stdout is not None
            told = json.loads(proxy.stdout.readline())
            command = networks.within("world", *module, "tests.netns.world", told["pair"])  # fmt: skip
            with running(command, ROOT) as world:
                assert world.stdout is not None
                assert world.stdout.readline() == "ready\n"
                heard: queue.Queue[str] = queue.Queue()
                threading.Thread(target=lambda: [heard.put(line.strip()) for line in world.stdout], daemon=True).start()  # type: ignore[union-attr]  # fmt: skip
                yield Site(networks, told, heard)
                world.kill()


def test_the_documents_commands_are_these() -> None:
    assert sorted(COMMANDS) == sorted([ASIDE, *CHECKS])
    assert len(CHECKS) == 2


@pytest.mark.parametrize("line", CHECKS)
def test_nft_takes_the_samples(site: Site, line: str) -> None:
    site.networks.run("router", "bash", "-c", f"cd {ROOT} && {line}")


def test_without_the_rules_a_program_goes_around_the_proxy(site: Site) -> None:
    """The control, without which silence would prove nothing."""
    assert site.aside().stdout == '{"data":[]}'
    site.send()
    assert sorted(site.came()) == [f"tcp {HOSTS['desk']}", f"udp {HOSTS['desk']}"]


def test_at_the_gateway_443_is_the_proxys_alone(site: Site) -> None:
    site.networks.run("router", "nft", "-f", RULES / "gateway.nft")
    try:
        around = site.aside()
        assert around.returncode == 7, around  # refused at once
        site.send()
        assert site.came() == []  # and the proxy's own call came
        counted = site.networks.run("router", "nft", "list", "table", "inet", "earthflow").stdout  # fmt: skip
        tcp, udp = map(int, re.findall(r"counter packets (\d+)", counted))
        assert tcp >= 1
        assert udp == 1
    finally:
        site.networks.run("router", "nft", "delete", "table", "inet", "earthflow")


def test_rules_that_are_loaded_again_replace_themselves(site: Site) -> None:
    for _ in range(2):
        site.networks.run("router", "nft", "-f", RULES / "gateway.nft")
    listed = site.networks.run("router", "nft", "list", "table", "inet", "earthflow").stdout  # fmt: skip
    site.networks.run("router", "nft", "delete", "table", "inet", "earthflow")
    assert listed.count("tcp dport 443") == 1


def test_on_a_machine_443_is_the_proxys_user_alone(site: Site) -> None:
    site.networks.run("desk", "nft", "-f", RULES / "host.nft")
    try:
        assert site.aside().returncode == 7
        user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
        line = ASIDE.replace("curl ", f"curl --resolve api.openai.com:443:{HOSTS['world']} -k ")  # fmt: skip
        allowed = site.networks.run("desk", *user, "bash", "-c", line)
        assert allowed.stdout == '{"data":[]}'
        assert site.by_the_proxy().returncode == 0
    finally:
        site.networks.run("desk", "nft", "delete", "table", "inet", "earthflow_host")
