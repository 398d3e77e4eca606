"""Layers and files, changed by two controls in any order, while three proxies follow: no call is judged by a mixture, and what was
in force before has the very same rules when it is in force again.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from addons.tenants.snapshot import SnapshotHolder
from cli.engines import Engines
from contract.decision import new_id
from contract.redis_client import connect
from control import rule_files
from control.__main__ import first_rules
from control.app import application
from control.jobs import reload
from control.keyring import Keyring
from control.rule_files import hash_of, read_sources, signature
from control.settings import ControlSettings
from control.state import State
from control.store import database, master_keys, snapshots
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from tests.control.conftest import url_of
from tests.support.shared import MASTER_KEY, STORE, scaled

SHIPPED = {f"earthflow/{name}": "earthflow: 1\n" for name in ("default", "strict", "monitor")}  # fmt: skip
PLACES = {
    "all": "/v1/rules/layers/all",
    "operators": "/v1/tenants/t/rules/layer",
    "own": "/v1/tenants/t/rules/own",
}
Config = Mapping[str, int]  # which number each source has; 0: it says nothing


def text_of(source: str, number: int) -> str:
    """Two rules that name the number: whoever has one of them from elsewhere has a mixture."""
    if not number:
        return ""
    rules = "".join(
        f"  - {{id: {source}.{half}{number}, message: x, action: flag, match: {{keywords: word}}}}\n"
        for half in "ab"
    )
    return f"earthflow: 1\nrules:\n{rules}"


def written(number: int) -> str:
    """The operator's file."""
    return text_of("file", number) or "earthflow: 1\n"


class Everywhere(RuleBasedStateMachine):
    """Two controls over one database and one folder of files, and three proxies."""

    engines: Engines
    template: str
    folder: Path

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.name = f"test_{new_id().replace('-', '')}"
        self._sql(f"CREATE DATABASE {self.name} TEMPLATE {self.template}")
        self.place = self.folder / self.name
        (self.place / "rules").mkdir(parents=True)
        self.files = 0
        self.config: Config = dict.fromkeys(("file", *PLACES), 0)
        self.versions: dict[str, list[int]] = {name: [] for name in PLACES}
        self.seen: dict[str, str] = {}
        self.was: list[Config] = [self.config]
        self._do(self._start())

    async def _start(self) -> None:
        self.controls = [await self._control() for _ in range(2)]
        self.clients = [TestClient(TestServer(application(one))) for one in self.controls]  # fmt: skip
        for client in self.clients:
            client.app.cleanup_ctx.clear()  # its jobs run when the test says so
            await client.start_server()
        await self._ask(0, "/v1/tenants", {"name": "T", "id": "t"})
        self.proxies = [self._proxy(number) for number in range(3)]
        for proxy in self.proxies:
            await proxy._poll(wait=0)

    async def _control(self) -> State:
        told = ControlSettings().model_copy(update={"rules_dir": self.place / "rules"})
        url = url_of(self.engines, self.name)
        pool = await database.connect(url, "the tests' engines", 5)
        vault = await master_keys.open_vault(pool, MASTER_KEY)
        keyring = Keyring(vault.open(await snapshots.pepper(pool, vault.new_secret())))
        files = read_sources(told.rules_dir)
        unfit, complaint = await first_rules(pool, files)
        assert (unfit, complaint) == (None, "")
        redis = connect(told.redis, 2.0)
        return State(told, pool, pool, redis, vault, files, hash_of(files), keyring, told.sender(), signature(told.rules_dir))  # fmt: skip

    def _proxy(self, number: int) -> SnapshotHolder:
        path = self.place / f"proxy{number}" / "snapshot.sealed"
        path.parent.mkdir()
        url = str(self.clients[number % 2].make_url("/")).rstrip("/")
        return SnapshotHolder(path, url, MASTER_KEY, 3600, STORE)

    @rule(which=st.sampled_from(sorted(PLACES)), number=st.integers(0, 4), control=st.integers(0, 1))  # fmt: skip
    def put(self, which: str, number: int, control: int) -> None:
        self._changes(control, which, number, {"text": text_of(which, number)})

    @precondition(lambda self: any(self.versions.values()))
    @rule(data=st.data(), control=st.integers(0, 1))
    def revert(self, data: st.DataObject, control: int) -> None:
        which = data.draw(st.sampled_from(sorted(name for name, had in self.versions.items() if had)))  # fmt: skip
        version = data.draw(st.integers(1, len(self.versions[which])))
        number = self.versions[which][version - 1]
        self._changes(control, which, number, {"version": version})

    @rule(number=st.integers(0, 4), looking=st.sampled_from([(0,), (1,), (0, 1), (1, 0), ()]))  # fmt: skip
    def save(self, number: int, looking: tuple[int, ...]) -> None:
        """A file is written, and some control takes what it finds; the others serve what they have."""
        (self.place / "rules" / "file.yaml").write_text(written(number))
        self.files = number
        for control in looking:
            state = self.controls[control]
            seen = signature(state.settings.rules_dir)
            assert self._do(reload.take(state, seen))
            state.rules_signature = seen
            self._now("file", number)

    @rule(proxies=st.sets(st.integers(0, 2), min_size=1))
    def poll(self, proxies: set[int]) -> None:
        """Proxies follow; where one's control has other files than are served, it keeps what it has."""
        for number in proxies:
            proxy, files = self.proxies[number], self._files(number % 2)
            try:
                self._do(proxy._poll(wait=0))
            except OSError:
                assert files != written(self.config["file"])
            else:
                if files == written(self.config["file"]):
                    assert self._judged(proxy)[0] == self.config

    @invariant()
    def judges_by_what_was_once_in_force(self) -> None:
        for proxy in getattr(self, "proxies", ()):
            judged, version = self._judged(proxy)
            assert judged in self.was
            assert self.seen.setdefault(json.dumps(judged), version) == version
        assert len(set(self.seen.values())) == len(self.seen)

    def _judged(self, proxy: SnapshotHolder) -> tuple[Config, str]:
        """By which numbers a proxy judges, and the version of its rules."""
        current = proxy.current
        book = current.rulebook(current._tenants["t"])
        exchange = Exchange(parts=(Part("a word", "user", "text", 0),))
        fired = {one.rule.id for one in evaluate(book, exchange).fired}
        judged = dict.fromkeys(("file", *PLACES), 0)
        for id in fired:
            source, _, half = id.partition(".")
            judged[source] = int(half[1:])
        both = {f"{source}.{half}{number}" for source, number in judged.items() for half in "ab" if number}  # fmt: skip
        assert fired == both
        return judged, book.version

    def _files(self, control: int) -> str:
        return self.controls[control].rules.get("file.yaml", "earthflow: 1\n")

    def _now(self, source: str, number: int) -> None:
        self.config = {**self.config, source: number}
        self.was.append(self.config)

    def _changes(self, control: int, which: str, number: int, body: Mapping[str, Any]) -> None:  # fmt: skip
        status = self._do(self._ask(control, PLACES[which], {"reason": "a test", **body}))  # fmt: skip
        if self._files(control) != written(self.config["file"]):
            assert status == 503, "it has other files than are served"
            return
        assert status == 200
        self.versions[which].append(number)
        self._now(which, number)

    async def _ask(self, control: int, path: str, body: Mapping[str, Any]) -> int:
        key = {"X-API-Key": "a" * 40}
        async with self.clients[control].post(path, json=body, headers=key) as answered:
            await answered.read()
            return answered.status

    def _do[Result](self, what: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(what)

    def _sql(self, statement: str) -> None:
        with psycopg.connect(self.engines.database_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def teardown(self) -> None:
        self._do(self._end())
        self.runner.close()
        self._sql(f"DROP DATABASE {self.name} WITH (FORCE)")

    async def _end(self) -> None:
        for proxy in self.proxies:
            await proxy.close()
        for client, state in zip(self.clients, self.controls, strict=True):
            await client.close()
            await state.redis.aclose()
            await state.pool.close()


@pytest.fixture
def machine(
    engines: Engines, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[Everywhere]]:
    for variable, value in {
        "EARTHFLOW_MASTER_KEY": MASTER_KEY,
        "EARTHFLOW_ADMIN_API_KEY": "a" * 40,
        "EARTHFLOW_DATABASE_URL": engines.database_url,
        "EARTHFLOW_REDIS_URL": engines.redis_url,
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(rule_files, "shipped", lambda: SHIPPED)
    yield type("Machine", (Everywhere,), {"engines": engines, "template": template, "folder": tmp_path})  # fmt: skip


def test_no_proxy_ever_judges_by_a_mixture(machine: type[Everywhere]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=scaled(25),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
