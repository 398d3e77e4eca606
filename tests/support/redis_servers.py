"""Valkey as people run several of them: a primary with replicas and Sentinels, and a Cluster, on ports of loopback."""

import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import redis

from cli.engines.valkey import _binary
from cli.processes import wait_until
from cli.settings import UpSettings
from tests.support.house import PATIENCE
from tests.support.ports import free_ports

NAME = "records"  # of the primary, among Sentinels
FAST_MS = 1500  # after which Sentinels and shards hold a server for lost


class Server:
    """One Valkey, which ends with the block it was entered in."""

    def __init__(self, folder: Path, port: int, *options: str):
        folder.mkdir()
        self.port, self._folder = port, folder
        self._command = [str(_binary(UpSettings())), *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> "redis.Redis":
        """A client of this server alone."""
        return redis.Redis(port=self.port)

    def start(self) -> None:
        """Start it, or start it again with what it had kept; returns once it answers."""
        self.process = subprocess.Popen(self._command, cwd=self._folder, stdout=subprocess.DEVNULL)  # fmt: skip

        def answers() -> bool:
            try:
                return bool(self.client.ping())
            except redis.exceptions.RedisError:
                return False

        assert wait_until(answers, PATIENCE)

    def kill(self) -> None:
        """End it as a machine that loses power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def hang(self) -> None:
        """Have it answer nobody any more, with its connections open, until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def _options(port: int) -> list[str]:
    return ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--protected-mode", "no", "--repl-diskless-sync-delay", "0"]  # fmt: skip


class _Servers(ABC):
    """Several servers, in a folder that goes with them."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def _add(self, name: str, port: int, *options: str) -> Server:
        server = Server(self._folder / name, port, *options)
        server.start()
        self._exit.callback(server.kill)
        self.servers.append(server)
        return server

    def __enter__(self) -> Self:
        with ExitStack() as self._exit:
            self._folder = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="ef-redis-")))  # fmt: skip
            self._start()
            self._exit = self._exit.pop_all()
        return self

    @abstractmethod
    def _start(self) -> None:
        """Start them, and set `url`."""

    def __exit__(self, *_: object) -> None:
        self._exit.close()


class WithSentinels(_Servers):
    """A primary, a replica, three Sentinels. `url` is what Earthflow connects to."""

    def _start(self) -> None:
        first, second, *ports = free_ports(5)
        self.primary = self._add("first", first, *_options(first))
        self.replica = self._add("second", second, *_options(second), "--replicaof", "127.0.0.1", str(first))  # fmt: skip
        for number, port in enumerate(ports):
            config = self._folder / f"sentinel-{number}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\nprotected-mode no\nsentinel monitor {NAME} 127.0.0.1 {first} 2\n"
                f"sentinel down-after-milliseconds {NAME} {FAST_MS}\nsentinel failover-timeout {NAME} 5000\n"
            )
            self._add(f"sentinel-{number}", port, str(config), "--sentinel")
        self.url = (
            f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/{NAME}"
        )
        assert wait_until(
            lambda: (
                self.replica.client.info("replication")["master_link_status"] == "up"
            ),
            PATIENCE,
        )

        def known() -> bool:
            found = [_state(server) for server in self.servers[2:]]
            return all(one["num-other-sentinels"] == 2 and one["num-slaves"] == 1 for one in found)  # fmt: skip

        assert wait_until(known, PATIENCE)

    def wait_for_failover(self) -> None:
        """Until the replica is the primary, and all Sentinels say so."""
        assert wait_until(
            lambda: all(_state(server)["port"] == self.replica.port for server in self.servers[2:])
            and self.replica.client.role()[0] == b"master",
            PATIENCE,
        )  # fmt: skip


def _state(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.client.sentinel_master(NAME)
    return found


class Cluster(_Servers):
    """Three shards without replicas. `url` is what Earthflow connects to."""

    SHARDS = 3

    def _start(self) -> None:
        # a shard's bus is at its port and 10,000
        ports = free_ports(self.SHARDS, most=55_000)
        for number, port in enumerate(ports):
            self._add(f"shard-{number}", port, *_options(port), "--cluster-enabled", "yes", "--cluster-node-timeout", str(FAST_MS), "--cluster-require-full-coverage", "no")  # fmt: skip
        share = 16384 // self.SHARDS
        for number, server in enumerate(self.servers):
            last = 16383 if number == self.SHARDS - 1 else (number + 1) * share - 1
            server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)  # fmt: skip
            server.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            server.client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in ports)}"
        assert wait_until(lambda: all(self._whole(server) for server in self.servers), PATIENCE)  # fmt: skip

    def _whole(self, server: Server) -> bool:
        lines = server.client.execute_command("CLUSTER", "INFO").decode().split()
        return {"cluster_state:ok", f"cluster_known_nodes:{self.SHARDS}"} <= set(lines)

    def move(self, slot: int, source: Server, target: Server) -> None:
        """Move a slot and its keys, as `redis-cli --cluster reshard` does."""
        names = {server.port: server.client.execute_command("CLUSTER", "MYID").decode() for server in self.servers}  # fmt: skip
        ask = "CLUSTER", "SETSLOT", slot
        target.client.execute_command(*ask, "IMPORTING", names[source.port])
        source.client.execute_command(*ask, "MIGRATING", names[target.port])
        while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):  # fmt: skip
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)  # fmt: skip
        for server in (target, source, *self.servers):
            server.client.execute_command(*ask, "NODE", names[target.port])
