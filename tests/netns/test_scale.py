"""Earthflow on many hosts, each in a network of its own: three proxies, two controls, PgBouncer before PostgreSQL, Redis by Sentinels
or as a Cluster. A Redis primary, the leading control and a proxy are cut off and come back: nothing is lost, nothing is doubled.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis.crc import key_slot

from cli.ca_folder import write_local
from cli.engines.valkey import _binary
from cli.processes import wait_until
from cli.settings import UpSettings, environment
from contract.authority import issue, make_root
from contract.streams import LANES
from tests.netns.networks import Networks, running
from tests.support import shared
from tests.support.house import PATIENCE, RESTRICTED
from tests.support.pooler import configuration

ROOT = Path(__file__).resolve().parents[2]
REDIS = ("redis1", "redis2", "redis3")
CONTROLS, PROXIES = ("control1", "control2"), ("proxy1", "proxy2", "proxy3")
NAMES = ("desk", "balancer", *CONTROLS, *PROXIES, *REDIS, "pooler", "postgres")
HOSTS = {name: f"10.8.{number}.2" for number, name in enumerate(NAMES)} | {"world": "93.184.216.34"}  # fmt: skip
ADMIN_KEY = "an-admin-key-of-forty-letters-and-no-less"
EARTHFLOW = Path(sys.executable).with_name("earthflow")
SHARE = 16384 // 3
BALANCER = f"""
defaults
  mode http
  timeout connect 2s
  timeout client 70s
  timeout server 70s
frontend control
  bind 0.0.0.0:8080
  default_backend controls
backend controls
  option httpchk GET /health/ready
  default-server check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
  server one {HOSTS["control1"]}:8080
  server two {HOSTS["control2"]}:8080
"""


class Site:
    """All hosts, started in their order."""

    def __init__(self, kind: str, exit: ExitStack):
        self.kind, self._exit = kind, exit
        self.folder = Path(exit.enter_context(tempfile.TemporaryDirectory(prefix="ef-scale-")))  # fmt: skip
        self.folder.chmod(0o755)
        self.networks = exit.enter_context(Networks(HOSTS))
        self.made = 0  # calls that were answered, each of which has a row

    def _run(self, host: str, *command: str | Path, **told: str) -> "subprocess.Popen[str]":  # fmt: skip
        """Start a program on a host; what it says on standard error is in a file."""
        log = (self.folder / f"{host}.log").open("a")
        self._exit.callback(log.close)
        line = self.networks.within(host, *command)
        return self._exit.enter_context(running(line, ROOT, env=environment(told), stderr=log))  # fmt: skip

    def start(self) -> None:
        self._start_engines()
        url = {
            "sentinels": f"redis+sentinel://{','.join(f'{HOSTS[name]}:26379' for name in REDIS)}/records",
            "cluster": f"redis+cluster://{','.join(f'{HOSTS[name]}:6379' for name in REDIS)}",
        }[self.kind]
        core = {
            "EARTHFLOW_MASTER_KEY": shared.MASTER_KEY,
            "EARTHFLOW_REDIS_URL": url,
            "EARTHFLOW_CACHE_DIR": str(shared.COMPILED),
            "EARTHFLOW_DRAIN_SECONDS": "0",
            "EARTHFLOW_ENV": "development",  # which lets a host stand for a provider
        }
        for name in CONTROLS:
            self._start_control(name, core)
        (self.folder / "haproxy.cfg").write_text(BALANCER)
        self._run("balancer", "haproxy", "-q", "-f", self.folder / "haproxy.cfg")
        self._start_world(core)
        write_local(self.folder / "ca")
        for name in PROXIES:
            self._start_proxy(name, core)
        self.desk = self._run("desk", sys.executable, "-m", "tests.netns.desk", self.folder / "ca" / "earthflow-ca.pem")  # fmt: skip

    def _start_engines(self) -> None:
        (self.folder / "pg").mkdir()
        server = self._run("postgres", sys.executable, "-m", "tests.netns.postgres", self.folder / "pg", HOSTS["postgres"])  # fmt: skip
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        (self.folder / "pgbouncer.ini").write_text(configuration(HOSTS["postgres"], "0.0.0.0", 6432))  # fmt: skip
        self._run("pooler", "pgbouncer", "-q", self.folder / "pgbouncer.ini")
        self._redis = _binary(UpSettings())
        for number, name in enumerate(REDIS):
            self._start_redis(number, name)
        if self.kind == "cluster":
            self._join_cluster()

    def _start_redis(self, number: int, name: str) -> None:
        (self.folder / name).mkdir()
        options = ["--dir", str(self.folder / name), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0"]  # fmt: skip
        if self.kind == "cluster":
            more = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no"]  # fmt: skip
            self._run(name, self._redis, *options, *more)
            return
        follows = ["--replicaof", HOSTS[REDIS[0]], "6379"] if number else []
        self._run(name, self._redis, *options, *follows)
        config = self.folder / f"{name}.sentinel"
        config.write_text(
            f"port 26379\nbind 0.0.0.0\nprotected-mode no\nsentinel monitor records {HOSTS[REDIS[0]]} 6379 2\n"
            "sentinel down-after-milliseconds records 1500\nsentinel failover-timeout records 5000\n"
        )
        self._run(name, self._redis, config, "--sentinel")

    def redis(self, host: str, *words: str, port: int = 6379) -> str:
        """What a Redis says to a command, as plain text; asked on its own host, so also where that is cut off."""
        source = f"import redis, sys; print(redis.Redis(port={port}, decode_responses=True).execute_command(*sys.argv[1:]))"
        return self.networks.run(host, sys.executable, "-c", source, *words, check=False).stdout  # fmt: skip

    def _join_cluster(self) -> None:
        assert wait_until(lambda: all("True" in self.redis(name, "PING") for name in REDIS), PATIENCE)  # fmt: skip
        for number, name in enumerate(REDIS):
            last = 16383 if number == 2 else (number + 1) * SHARE - 1
            self.redis(name, "CLUSTER", "ADDSLOTSRANGE", str(number * SHARE), str(last))
            self.redis(name, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            self.redis(name, "CLUSTER", "MEET", HOSTS[REDIS[0]], "6379")
        assert wait_until(lambda: all("cluster_known_nodes:3" in (said := self.redis(name, "CLUSTER", "INFO")) and "cluster_state:ok" in said for name in REDIS), PATIENCE)  # fmt: skip

    def _start_control(self, name: str, core: dict[str, str]) -> None:
        process = self._run(
            name, EARTHFLOW, "control", **core,
            EARTHFLOW_ADMIN_API_KEY=ADMIN_KEY,
            EARTHFLOW_STATE_DIR=str(self.folder / name),
            EARTHFLOW_DASHBOARD_HOST="0.0.0.0",
            EARTHFLOW_DATABASE_URL=f"postgresql://earthflow@{HOSTS['pooler']}:6432/postgres",
            EARTHFLOW_DATABASE_DIRECT_URL=f"postgresql://earthflow@{HOSTS['postgres']}:5432/postgres",
        )  # fmt: skip
        assert process.stdout is not None
        assert "listening" in process.stdout.readline(), self.log(name)

    def _start_world(self, core: dict[str, str]) -> None:
        authority = make_root("World", days=2)
        chain, key = issue(authority, ["api.openai.com"], days=2)
        (self.folder / "world.pem").write_bytes(key + chain)
        (self.folder / "world-ca.pem").write_bytes(authority.pem)
        world = self._run("world", sys.executable, "-m", "tests.netns.world", self.folder / "world.pem")  # fmt: skip
        assert world.stdout is not None
        assert world.stdout.readline() == "ready\n"
        self.heard = 0

        def listen() -> None:
            for _ in world.stdout or ():
                self.heard += 1

        threading.Thread(target=listen, daemon=True).start()

    def _start_proxy(self, name: str, core: dict[str, str]) -> None:
        state = self.folder / name
        state.mkdir()
        (state / "ca").symlink_to(self.folder / "ca")
        process = self._run(
            name, EARTHFLOW, "proxy", **core,
            EARTHFLOW_STATE_DIR=str(state),
            EARTHFLOW_CONTROL_URL=f"http://{HOSTS['balancer']}:8080",
            EARTHFLOW_UPSTREAM_CA=str(self.folder / "world-ca.pem"),
            EARTHFLOW_UPSTREAM_MAP=f"api.openai.com={HOSTS['world']}:443",
        )  # fmt: skip
        assert process.stdout is not None
        assert "listening" in process.stdout.readline(), self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def api(self, method: str, path: str, body: object = None) -> Any:
        """A request to control, through the balancer, from the desk."""
        source = (
            "import json, sys, urllib.request as u; method, url, key, body = sys.argv[1:]; "
            "r = u.Request(url, body.encode() or None, {'X-API-Key': key, 'Content-Type': 'application/json'}, method=method); "
            "print(u.urlopen(r, timeout=20).read().decode())"
        )
        url = f"http://{HOSTS['balancer']}:8080{path}"
        said = self.networks.run("desk", sys.executable, "-c", source, method, url, ADMIN_KEY, json.dumps(body) if body is not None else "")  # fmt: skip
        return json.loads(said.stdout or "null")

    def begin(self, key: str, count: int, text: str = "what is 2 + 2?", proxies: tuple[str, ...] = PROXIES) -> None:  # fmt: skip
        """Make calls, spread over proxies; `end` has what became of them."""
        told = {"proxies": [f"{HOSTS[name]}:8443" for name in proxies], "key": key, "count": count, "text": text}  # fmt: skip
        assert self.desk.stdin is not None
        self.desk.stdin.write(json.dumps(told) + "\n")
        self.desk.stdin.flush()

    def end(self) -> dict[str, int]:
        """By status, how many calls."""
        assert self.desk.stdout is not None
        statuses: dict[str, int] = json.loads(self.desk.stdout.readline())
        self.made += sum(n for status, n in statuses.items() if status in ("200", "400", "429"))  # fmt: skip
        return statuses

    def calls(self, key: str, count: int, **more: Any) -> dict[str, int]:
        self.begin(key, count, **more)
        return self.end()

    def let_in(self, key: str) -> dict[str, int]:
        """Whom each proxy lets in: by status, how many. No call is made."""
        before, statuses = self.made, self.calls(key, len(PROXIES), text="")
        self.made = before
        return statuses

    def until_known(self, key: str) -> None:
        """Until all proxies know a new key."""
        assert wait_until(lambda: self.let_in(key) == {"200": len(PROXIES)}, PATIENCE)

    def database(self, query: str) -> list[Any]:
        """Ask PostgreSQL on its own host, by its socket."""
        [socket] = (self.folder / "pg").rglob(".s.PGSQL.5432")
        with psycopg.connect(host=str(socket.parent), user="earthflow", dbname="postgres") as connection:  # fmt: skip
            return connection.execute(query.encode()).fetchall()

    def stored(self) -> tuple[int, int, int]:
        """Decisions, their completions, and decisions by the metrics, which count each that is stored."""
        [found] = self.database(
            "SELECT (SELECT count(*) FROM decision), (SELECT count(*) FROM completion), "
            "(SELECT coalesce(sum(value), 0)::int FROM tally WHERE name = 'decisions')"
        )
        return found  # type: ignore[no-any-return]

    def settle(self) -> None:
        """Until each answered call is stored once: a decision, counted once."""
        assert wait_until(lambda: self.stored()[0] >= self.made, PATIENCE), (self.stored(), self.made)  # fmt: skip
        decisions, completions, counted = self.stored()
        assert (decisions, counted) == (self.made, self.made)
        assert completions <= decisions

    def leader(self) -> str:
        """The control that holds the lock of the audit."""
        found = self.database("SELECT host(a.client_addr) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND a.client_addr IS NOT NULL")  # fmt: skip
        return next((name for name in CONTROLS for (address,) in found if HOSTS[name] == address), "")  # fmt: skip

    def primary(self) -> str:
        """Of Sentinels: who is the primary, as a host that is not cut off says it."""
        said = self.redis(REDIS[2], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "records", port=26379)  # fmt: skip
        return next((name for name in REDIS if HOSTS[name] in said), "")


@pytest.fixture(params=["sentinels", "cluster"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    assert shutil.which("haproxy")
    with ExitStack() as exit:
        made = Site(request.param, exit)
        made.start()
        yield made


def test_what_is_cut_off_and_comes_back_loses_nothing(site: Site) -> None:
    tenant = site.api("POST", "/v1/tenants", {"name": "Scale", "max_requests_per_minute": 100_000})  # fmt: skip
    key = tenant["api_key"]
    # Keys, rules and limits are one on all proxies.
    site.until_known(key)
    assert site.calls(key, 6, text=RESTRICTED) == {"400": 6}
    limited = site.api("POST", "/v1/tenants", {"name": "Limited", "max_requests_per_minute": 20})  # fmt: skip
    site.until_known(limited["api_key"])
    spent = site.calls(limited["api_key"], 90)
    # A burst of 30 for all together, and what a few seconds add; each for itself would let all pass.
    assert spent.keys() == {"200", "429"}
    assert spent["429"] >= 50, spent
    site.settle()

    # The primary of Redis, with 100 calls under way.
    site.begin(key, 100)
    site.networks.cut(REDIS[0])
    assert site.end() == {"200": 100}, "".join(map(site.log, PROXIES))
    assert site.calls(key, 60) == {"200": 60}
    if site.kind == "sentinels":
        assert wait_until(lambda: site.primary() in REDIS[1:], PATIENCE)
        site.settle()
    site.networks.join(REDIS[0])
    site.settle()

    # The control that leads: the other one does, once PostgreSQL has noticed.
    leads = site.leader()
    assert leads in CONTROLS
    site.networks.cut(leads)
    assert site.calls(key, 30) == {"200": 30}
    assert wait_until(lambda: site.leader() not in ("", leads), PATIENCE)
    site.settle()
    made = site.api("POST", f"/v1/tenants/{tenant['id']}/keys", {})
    site.networks.join(leads)

    # A proxy: what it had recorded arrives when it is back, and a key that was revoked meanwhile is none.
    site.until_known(made["api_key"])
    site.networks.cut("proxy3")
    assert site.calls(key, 30, proxies=PROXIES[:2]) == {"200": 30}
    site.api("DELETE", f"/v1/tenants/{tenant['id']}/keys/{made['id']}")
    site.networks.join("proxy3")
    assert wait_until(lambda: site.let_in(made["api_key"]) == {"407": 3}, PATIENCE)
    assert site.calls(key, 30) == {"200": 30}
    site.settle()
    if site.kind == "cluster":
        shares = {name: sum(_added(site.redis(name, "XINFO", "STREAM", lane.records)) for lane in LANES if key_slot(lane.records.encode()) // SHARE == number) for number, name in enumerate(REDIS)}  # fmt: skip
        print(f"records by shard: {shares}")
        assert sum(shares.values()) >= site.made
        assert min(shares.values()) > 0


def _added(said: str) -> int:
    """Of XINFO: how many entries a stream has had; 0 where there is no such stream."""
    _, _, after = said.partition("'entries-added': ")
    return int(after.partition(",")[0] or 0)
