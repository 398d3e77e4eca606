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

from tests.netns.networks import Networks, ip, running

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "enforcing"
# The proxy's address is the one in gateway.nft; the world's stands for a provider's.
HOSTS = {"desk": "10.9.1.2", "edge": "10.9.2.2", "world": "93.184.216.34"}
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "enforcing.md").read_text(), re.DOTALL)  # fmt: skip
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
(ASIDE,) = [line for line in COMMANDS if line.startswith("curl ")]
CHECKS = [line for line in COMMANDS if line.startswith("nft ")]
PATIENCE, USER = 60.0, 997


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


@pytest.fixture(scope="module", autouse=True)
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The machine's users, and the proxy's, as a system's own."""
    file = tmp_path_factory.mktemp("etc") / "passwd"
    system = f"earthflow:x:{USER}:{USER}::/var/lib/earthflow:/usr/sbin/nologin\n"
    file.write_text(Path("/etc/passwd").read_text() + system)
    return file


def with_users(users: Path, line: str) -> list[str]:
    """A command on a machine where these are the users."""
    return ["unshare", "--mount", "bash", "-c", f"mount --bind {users} /etc/passwd && {line}"]  # fmt: skip


@pytest.mark.parametrize("line", CHECKS)
def test_nft_takes_the_samples(site: Site, users: Path, line: str) -> None:
    site.networks.run("router", *with_users(users, f"cd {ROOT} && {line}"))


def test_without_the_proxys_user_the_machines_rules_are_not_loaded(site: Site) -> None:
    refused = site.networks.run("router", "nft", "-f", RULES / "host.nft", check=False)
    assert refused.returncode != 0
    assert "user does not exist" in refused.stderr.lower(), refused.stderr


def load(site: Site, users: Path, where: str, name: str, device: str) -> None:
    """Load a sample in which this interface leads out."""
    text = (RULES / name).read_text()
    assert '"eth0"' in text
    file = users.parent / name
    file.write_text(text.replace('"eth0"', f'"{device}"'))
    site.networks.run(where, *with_users(users, f"nft -f {file}"))


def test_without_the_rules_a_program_goes_around_the_proxy(site: Site) -> None:
    """The control, without which silence would prove nothing."""
    assert site.aside().stdout == '{"data":[]}'
    site.send()
    assert sorted(site.came()) == [f"tcp {HOSTS['desk']}", f"udp {HOSTS['desk']}"]


def test_at_the_gateway_443_is_the_proxys_alone(site: Site, users: Path) -> None:
    world = site.networks.device("world", outer=True)
    load(site, users, "router", "gateway.nft", world)
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


LINE = ASIDE.replace("curl ", f"curl --resolve api.openai.com:443:{HOSTS['world']} -k ")  # fmt: skip


def test_on_a_machine_443_is_the_proxys_user_alone(site: Site, users: Path) -> None:
    load(site, users, "desk", "host.nft", site.networks.device("desk"))

    def by(user: int) -> "subprocess.CompletedProcess[str]":
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        return site.networks.run("desk", *words, "bash", "-c", LINE, check=False)

    try:
        assert [by(user).returncode for user in (0, 1000, 1001)] == [7, 7, 7]
        assert by(USER).stdout == '{"data":[]}'
        assert site.by_the_proxy().returncode == 0
    finally:
        site.networks.run("desk", "nft", "delete", "table", "inet", "earthflow_host")


@pytest.fixture
def container(site: Site) -> Iterator[list[str]]:
    """A command that runs in a container of the desk: a namespace behind a bridge, which the desk forwards."""
    networks, name, device = site.networks, f"{site.networks.space('desk')}-c", "efc"
    ip("netns", "add", name)
    try:
        ip("link", "add", device, "netns", networks.space("desk"), "type", "veth", "peer", "name", "eth0", "netns", name)  # fmt: skip
        for space, own, end in ((networks.space("desk"), device, "10.9.9.1"), (name, "eth0", "10.9.9.2")):  # fmt: skip
            ip("-n", space, "address", "add", f"{end}/24", "dev", own)
            ip("-n", space, "link", "set", own, "up")
        ip("-n", name, "route", "add", "default", "via", "10.9.9.1")
        ip("-n", networks.space("router"), "route", "add", "10.9.9.0/24", "via", HOSTS["desk"])  # fmt: skip
        networks.run("desk", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield ["ip", "netns", "exec", name, "bash", "-c", LINE]
    finally:
        ip("netns", "delete", name)
        ip("-n", networks.space("router"), "route", "delete", "10.9.9.0/24")


def test_a_container_on_the_machine_does_not_go_around_either(
    site: Site, users: Path, container: list[str]
) -> None:
    def status() -> int:
        return subprocess.run(container, capture_output=True, timeout=120).returncode

    assert status() == 0  # the control
    load(site, users, "desk", "host.nft", site.networks.device("desk"))
    try:
        assert status() == 7
        # Where it is the proxy's own container, it may.
        site.networks.run("desk", "nft", "add", "element", "inet", "earthflow_host", "proxies", "{ 10.9.9.2 }")  # fmt: skip
        assert status() == 0
    finally:
        site.networks.run("desk", "nft", "delete", "table", "inet", "earthflow_host")
