"""Things end, fail and come back: no call goes by unjudged, no record is lost."""

import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from cli.engines import Engines
from cli.errors import CommandError
from cli.pretend import Given
from cli.processes import wait_until
from tests.support.house import (
    AWS_KEY,
    PATIENCE,
    RESTRICTED,
    House,
    Tenant,
    curl,
    message,
    python,
)
from tests.support.streams import SHAPES

CHAT = SHAPES["openai-chat"]

# The proxy, with an engine that raises at one word: what a bug in a step would do; and with
# bugs around the steps, where the header `x-fault` names them.
RAISING = python(
    """
import addons.answers.answer, addons.calls.reading, addons.gate, addons.mitm.hooks as hooks
from addons.calls.refusal import PASS
from addons.run import main
from rules.stream import Stream
judge, feed = addons.calls.reading.evaluate, Stream.feed
def look(parts):
    if any("explode" in part.text for part in parts):
        raise RuntimeError("a secret that must not be logged: hunter2")
def evaluate(book, exchange, **more):
    look(exchange.parts)
    return judge(book, exchange, **more)
def feeding(stream, event, pieces, **more):
    look(pieces)
    return feed(stream, event, pieces, **more)
addons.calls.reading.evaluate = addons.answers.answer.evaluate = evaluate
Stream.feed = feeding
def fault(name, old, request_of):
    def new(*given):
        if request_of(*given).headers.get("x-fault") == name:
            raise RuntimeError("hunter2")
        return old(*given)
    return new
hooks.send_body = fault("body", hooks.send_body, lambda request, body: request)
hooks._carry_out = fault("reply", hooks._carry_out, lambda flow, step: flow.request)
hooks.Hooks._is_api = fault("first", hooks.Hooks._is_api, lambda self, flow: flow.request)
judge_head = addons.gate.Gate.head
async def head(gate, flow):
    if flow.request.headers.get("x-fault") == "unseen":
        return PASS
    return await judge_head(gate, flow)
addons.gate.Gate.head = head
main()
"""
)


@pytest.fixture(scope="module")
def shaky() -> Iterator[House]:
    """A house whose proxy raises on command, and which these tests may damage as long as they mend it."""
    with House(programs={"proxy": RAISING}) as running:
        yield running


@pytest.fixture
def caller(shaky: House) -> Tenant:
    return shaky.tenant()


def health_status(house: House, port: int, query: str) -> str:
    return curl(
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        house.url(f"/health/ready{query}", port),
    ).stdout


def engines(house: House) -> Engines:
    assert house.stack.engines is not None
    return house.stack.engines


def test_a_hook_that_raises_yields_a_refused_recorded_call(
    shaky: House, caller: Tenant
) -> None:
    before = len(shaky.providers.heard)
    status, answer = caller.post(message("explode"))
    (row,) = caller.audit(1)
    assert (row["status"], row["reason"], row["coverage"]) == (
        "BLOCK",
        "engine_error",
        "none",
    )
    assert (status, row["id"] in answer["error"]["message"]) == (400, True)
    assert len(shaky.providers.heard) == before
    assert shaky.ready()["checks"]["engine"]["failures"] >= 1
    assert "RuntimeError" in shaky.log
    assert "hunter2" not in shaky.log
    assert caller.post(message("fine"))[0] == 200


# `x-fault`, and how many records a refused call then has.
FAULTS = {"first": 0, "unseen": 0, "reply": 1, "body": 1}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bug_around_a_step_sends_nothing(
    shaky: House, caller: Tenant, fault: str
) -> None:
    before, failures = len(shaky.providers.heard), shaky.ready()["checks"]["engine"]
    status, answer = caller.post(message(AWS_KEY), "-H", f"x-fault: {fault}")
    assert len(shaky.providers.heard) == before
    assert (status, "Earthflow" in str(answer)) == (
        400 if fault == "body" else 503,
        True,
    )
    if fault != "unseen":
        now = shaky.ready()["checks"]["engine"]["failures"]
        assert now > failures["failures"]
    rows = caller.audit(FAULTS[fault])
    assert len(rows) == FAULTS[fault]
    assert "hunter2" not in shaky.log
    assert caller.post(message("fine"))[0] == 200


# Answers in which the engine raises: whole, and in the middle of a stream.
EXPLODING = {
    "whole": Given(
        "application/json",
        [b'{"choices": [{"message": {"content": "it will explode"}}]}'],
    ),
    "streamed": Given(CHAT.content_type, CHAT.made(["it will explode ", "now. "], [])),
}


def asked(caller: Tenant, how: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a client gets of an exploding answer."""
    monkeypatch.setattr(caller.house.providers, "answer", lambda *_: EXPLODING[how])
    body = message("hello", stream=how == "streamed").decode()
    return caller.curl(
        "-N", "-H", "content-type: application/json", "-d", body, CHAT.url
    ).stdout


@pytest.mark.parametrize("how", EXPLODING)
def test_an_answer_that_cannot_be_judged_does_not_reach_the_client(
    shaky: House, caller: Tenant, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    said = asked(caller, how, monkeypatch)
    assert "could not judge" in said
    assert "explode" not in said
    (row,) = caller.audit(1)
    assert row["id"] in said
    assert row["completion"]["error"]
    assert "hunter2" not in shaky.log


def test_kill_9_of_the_proxy_between_answer_and_publish_loses_no_record(
    shaky: House, caller: Tenant
) -> None:
    engines(shaky).valkey.stop()
    for number in range(5):
        assert caller.post(message(f"call {number}"))[0] == 200
    proxy = shaky.stack.services["proxy"].process
    proxy.send_signal(signal.SIGKILL)
    proxy.wait()
    engines(shaky).valkey.start(own=True)
    assert shaky.stack.control.get(f"/v1/audit?tenant={caller.id}")["audit"] == []
    shaky.stack.start_proxy()
    assert {row["status"] for row in caller.audit(5)} == {"ALLOW"}


def test_kill_9_of_control_loses_no_record_and_stores_none_twice(
    shaky: House, caller: Tenant
) -> None:
    control = shaky.stack.services["control"].process
    control.send_signal(signal.SIGKILL)
    control.wait()
    for number in range(5):
        assert caller.post(message(f"call {number}"))[0] == 200
    shaky.stack.start_control()
    caller.audit(5)


def test_redis_may_be_away_while_calls_go_on_and_are_recorded_afterwards(
    shaky: House, caller: Tenant
) -> None:
    engines(shaky).valkey.stop()
    assert caller.post(message("hello"))[0] == 200
    assert wait_until(
        lambda: shaky.ready()["checks"]["redis"]["status"] == "DEGRADED", PATIENCE
    )
    for port in (shaky.stack.port, shaky.stack.services["control"].port):
        assert [
            health_status(shaky, port, query)
            for query in ("", "?strict=1", "?strict=0")
        ] == [
            "200",
            "503",
            "200",
        ]
    (row,) = backlog_that(shaky, lambda one: one["redis"])
    assert row["redis"] == "does not answer"
    assert (row["unsent_records"] >= 2, row["oldest_unsent"] > 0) == (True, True)
    engines(shaky).valkey.start(own=True)
    assert caller.audit(1)[0]["status"] == "ALLOW"
    assert wait_until(
        lambda: shaky.ready()["checks"]["redis"]["status"] == "OK", PATIENCE
    )
    (row,) = backlog_that(shaky, lambda one: not one["redis"] and not one["unsent_records"])  # fmt: skip
    assert (row["oldest_unsent"], row["unrecorded"], row["away"]) == (None, 0, False)


def backlog_that(house: House, holds: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:  # fmt: skip
    """The proxies of which this holds, once there is one."""
    found: list[dict[str, Any]] = []

    def asked() -> bool:
        rows = house.stack.control.get("/v1/proxies")["proxies"]
        found[:] = [one for one in rows if not one["away"] and holds(one)]
        return bool(found)

    assert wait_until(asked, PATIENCE)
    return found


def test_a_redis_that_lost_everything_is_given_it_again(
    shaky: House, caller: Tenant
) -> None:
    """Control is away, so the records wait in Redis alone when Redis loses them."""
    control = shaky.stack.services["control"].process
    control.terminate()
    control.wait()
    assert caller.post(message("hello"))[0] == 200
    assert wait_until(lambda: b"records" in _valkey(shaky, b"KEYS *\r\n"), PATIENCE)
    _valkey(shaky, b"FLUSHALL\r\n")
    shaky.stack.start_control()
    assert caller.audit(1)[0]["status"] == "ALLOW"


def test_postgresql_may_be_away_while_calls_go_on_and_are_recorded_afterwards(
    shaky: House, caller: Tenant
) -> None:
    engines(shaky).postgres.stop()
    assert caller.post(message("hello"))[0] == 200
    with pytest.raises(CommandError, match="PostgreSQL does not answer"):
        shaky.stack.control.post("/v1/tenants", {"name": "x"})
    engines(shaky).postgres.start(own=True)
    assert caller.audit(1)[0]["status"] == "ALLOW"


def test_an_idle_system_heals_without_a_call(shaky: House) -> None:
    def ingest() -> str:
        checks = shaky.stack.control.look("/health/ready")["checks"]
        return str(checks["ingest"]["status"])

    assert wait_until(lambda: ingest() == "OK", PATIENCE)
    engines(shaky).postgres.stop()
    assert wait_until(lambda: ingest() == "DEGRADED", PATIENCE)
    engines(shaky).postgres.start(own=True)
    assert wait_until(lambda: ingest() == "OK", PATIENCE)


def test_a_database_that_only_reads_says_so_and_heals_by_itself(
    shaky: House, caller: Tenant
) -> None:
    """As a replica does after a failover, until it is the primary."""
    url = shaky.stack.environment()["EARTHFLOW_DATABASE_URL"]
    control = shaky.stack.services["control"].port

    def only_reads(on: bool) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            row = connection.execute("SELECT current_database()").fetchone()
            assert row is not None
            how = "SET default_transaction_read_only = on" if on else "RESET default_transaction_read_only"  # fmt: skip
            connection.execute(f'ALTER DATABASE "{row[0]}" {how}'.encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def of_postgres() -> dict[str, Any]:
        body = curl("-s", shaky.url("/health/ready", control)).stdout
        found: dict[str, Any] = json.loads(body)["checks"]["postgres"]
        return found

    only_reads(True)
    try:
        assert wait_until(lambda: of_postgres()["status"] == "DOWN", PATIENCE)
        assert "only reads" in of_postgres()["detail"]
        assert health_status(shaky, control, "") == "503"
        with pytest.raises(CommandError, match="only reads"):
            shaky.stack.control.post("/v1/tenants", {"name": "x"})
        assert caller.post(message("hello"))[0] == 200
    finally:
        only_reads(False)
    assert wait_until(lambda: of_postgres()["status"] == "OK", PATIENCE)
    assert caller.audit(1)[0]["status"] == "ALLOW"
    assert shaky.stack.control.post("/v1/tenants", {"name": "x"})["id"]


def test_with_control_away_the_proxy_starts_and_judges_from_its_sealed_snapshot(
    shaky: House, caller: Tenant
) -> None:
    for name in ("control", "proxy"):
        shaky.stack.services[name].process.terminate()
        shaky.stack.services[name].process.wait()
    shaky.stack.start_proxy()
    assert caller.post(message(RESTRICTED))[0] == 400
    shaky.stack.start_control()
    assert caller.audit(1)[0]["status"] == "BLOCK"


def test_an_upstream_with_an_invalid_certificate_is_answered_502_with_the_reason() -> (
    None
):
    with House(extra={"EARTHFLOW_UPSTREAM_CA": ""}) as house:
        caller = house.tenant()
        status, answer = caller.post(message("hello"))
        assert status == 502
        assert "ertificate verify failed" in answer["error"]["message"]
        (row,) = caller.audit(1)
        assert (
            row["status"],
            row["completion"]["outcome"],
            row["completion"]["status"],
        ) == (
            "ALLOW",
            "upstream_error",
            502,
        )
        assert house.providers.heard == []


def _valkey(house: House, command: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(engines(house)._sockets / "valkey.sock"))
        client.sendall(command)
        return client.recv(65536)
