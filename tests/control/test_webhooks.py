"""Webhooks against a real receiver, over TLS: signed, at least once, in time, and to nowhere that is not allowed."""

import asyncio
import json
import ssl
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from standardwebhooks import Webhook

from contract.decision import encode, new_id
from control import sender
from control.jobs import deliver, notice
from control.sender import Sender, complaint, shown
from control.state import State
from control.store import audit, deliveries, keys, webhooks
from control.store.audit import Arrival, Partitions
from control.store.database import alone
from tests.control.test_ingest import decision
from tests.support.house import PATIENCE

Answering = Callable[
    [web.Request], "web.StreamResponse | asyncio.Future[web.StreamResponse]"
]


class Receiver:
    """Takes webhooks on loopback; `answer` says how, `heard` what came, `most` how many were open at once."""

    def __init__(self, folder: Path):
        authority = trustme.CA()
        self.roots = folder / "roots.pem"
        authority.cert_pem.write_to_path(self.roots)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self.tls)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.open = self.most = 0
        self.status: int = 200
        self.stall = False

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.url = f"https://localhost:{self.port}/hook"

    async def _take(self, request: web.Request) -> web.Response:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            self.heard.append(
                (
                    {name.lower(): value for name, value in request.headers.items()},
                    await request.read(),
                )
            )
            if self.stall:
                await asyncio.sleep(PATIENCE)
            return web.Response(
                status=self.status,
                headers={"Location": f"{self.url}/elsewhere"}
                if self.status == 302
                else {},
            )
        finally:
            self.open -= 1

    def decisions(self) -> list[str]:
        return [
            one["id"]
            for _, body in self.heard
            for one in json.loads(body)["data"]["decisions"]
        ]


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    running = Receiver(tmp_path)
    await running.start()
    yield running
    await running.runner.cleanup()


@pytest.fixture
async def sending(state: State, receiver: Receiver) -> AsyncIterator[State]:
    """A state whose webhooks may go to this machine, delivering; an attempt takes half a second at most."""
    state.sender = Sender(
        0.5, frozenset({"localhost"}), receiver.roots, development=True
    )
    state.sender.start()
    task = asyncio.create_task(deliver.run(state))
    yield state
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await state.sender.close()


SECRET = bytes(range(32))


async def add(state: State, tenant: str, url: str, *statuses: str) -> str:
    async with state.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO tenant (id, name, preset, prompt_key) VALUES (%s, 'T', 'default', '') ON CONFLICT DO NOTHING",
            (tenant,),
        )
    values = {
        "id": f"wh-{tenant}",
        "url": url,
        "statuses": list(statuses or ("BLOCK",)),
        "secret": state.vault.wrap(SECRET),
    }
    made = await webhooks.create(state.pool, tenant, values)
    assert made is not None
    return made.id


async def decide(
    state: State, tenant: str, count: int = 1, action: str = "BLOCK"
) -> list[str]:
    """As ingest stores them."""
    made = [
        decision(number, tenant=tenant, action=action, id=new_id())
        for number in range(count)
    ]
    async with await alone(state.settings.database) as connection:
        await audit.store(
            connection,
            Partitions(),
            [Arrival(str(one.id), encode(one), one) for one in made],
            [],
        )
    return [one.id for one in made]


async def until(condition: Callable[[], Any], what: str = "") -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def forward(state: State, time: timedelta) -> None:
    """Let so much time pass: what is due in it is due now, and everything is as much older."""
    async with state.pool.connection() as connection:
        await connection.execute(
            "UPDATE delivery SET due = due - %s, created = created - %s", (time, time)
        )
        await connection.execute(
            "UPDATE webhook SET not_before = not_before - %s", (time,)
        )
        await connection.execute("UPDATE webhook_event SET at = at - %s", (time,))


async def settled(state: State) -> None:
    """Wait until nothing is left to be tried now."""
    left = (
        "SELECT count(*) AS left FROM webhook w WHERE w.not_before <= now() AND w.disabled IS NULL AND "
        "(EXISTS (SELECT FROM delivery d WHERE d.webhook = w.id AND d.state = 'waiting' AND d.due <= now()) "
        "OR EXISTS (SELECT FROM webhook_event e WHERE e.webhook = w.id AND e.delivery IS NULL))"
    )
    async with asyncio.timeout(PATIENCE), state.pool.connection() as connection:
        while (
            row := await (await connection.execute(left.encode())).fetchone()
        ) is None or row["left"]:
            await connection.commit()
            await asyncio.sleep(0.05)


async def states(state: State, webhook: str) -> list[str]:
    return [one.state for one in await deliveries.log(state.pool, webhook, 100, None)]


async def test_a_decision_is_told_and_the_signature_stands_before_an_independent_verifier(
    sending: State, receiver: Receiver
) -> None:
    await add(sending, "a", receiver.url)
    (id,) = await decide(sending, "a")
    await decide(sending, "a", action="ALLOW")
    await decide(sending, "b")
    await until(lambda: receiver.heard)
    headers, body = receiver.heard[0]
    told = Webhook(shown(SECRET)).verify(body, headers)
    assert [one["id"] for one in told["data"]["decisions"]] == [id]
    assert told["data"]["decisions"][0]["status"] == "BLOCK"
    with pytest.raises(Exception, match="signature"):
        Webhook(shown(bytes(32))).verify(body, headers)
    with pytest.raises(Exception, match="signature"):
        Webhook(shown(SECRET)).verify(body.replace(b"BLOCK", b"ALLOW"), headers)
    assert receiver.decisions() == [id]


@pytest.mark.parametrize("trouble", ["500", "302", "stall", "closed"])
async def test_what_is_not_taken_is_tried_again_until_it_is_and_only_once_after(
    sending: State, receiver: Receiver, trouble: str
) -> None:
    webhook = await add(sending, "a", receiver.url)
    receiver.status, receiver.stall = (
        int(trouble) if trouble.isdigit() else 200,
        trouble == "stall",
    )
    if trouble == "closed":
        await receiver.runner.cleanup()
    (id,) = await decide(sending, "a")

    async def failures() -> int:
        found = await webhooks.one(sending.pool, webhook)
        assert found is not None
        return found.failures

    async with asyncio.timeout(PATIENCE):
        while await failures() < 2:
            await asyncio.sleep(0.05)
    if trouble == "closed":
        port = receiver.port
        receiver.runner = web.AppRunner(receiver_app(receiver), shutdown_timeout=0.1)
        await receiver.runner.setup()
        await web.TCPSite(
            receiver.runner, "127.0.0.1", port, ssl_context=receiver.tls
        ).start()
    receiver.status, receiver.stall = 200, False
    async with asyncio.timeout(PATIENCE):
        while await states(sending, webhook) != ["delivered"]:
            await asyncio.sleep(0.05)
            await forward(sending, timedelta(minutes=1))
    assert set(receiver.decisions()) == {id}
    ids = {headers["webhook-id"] for headers, _ in receiver.heard}
    assert len(ids) == 1  # by which a receiver knows that it had it already
    assert not [
        headers
        for headers, _ in receiver.heard
        if "elsewhere" in headers.get("path", "")
    ]


def receiver_app(receiver: Receiver) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver._take)
    return app


async def test_away_for_an_hour_all_is_delivered_once_it_is_back_and_together(
    sending: State, receiver: Receiver
) -> None:
    webhook = await add(sending, "a", receiver.url)
    receiver.status = 503
    made: list[str] = []
    for _ in range(12):
        made += await decide(sending, "a", 25)
        await forward(sending, timedelta(minutes=5))
        await settled(sending)
    tried = len(receiver.heard)
    assert tried < 40  # it rests, whatever waits
    receiver.status, receiver.heard[:] = 200, []
    await forward(sending, timedelta(hours=1))
    await until(lambda: set(receiver.decisions()) == set(made))
    assert len(receiver.decisions()) == len(made)
    # those that had been tried, and the rest by the hundred
    assert len(receiver.heard) <= 4 + 3
    assert receiver.most <= deliveries.MAX_WAITING
    found = await webhooks.one(sending.pool, webhook)
    assert found is not None
    assert (found.failures, found.disabled) == (0, None)


async def test_too_old_is_given_up_and_can_be_sent_after_all(
    sending: State, receiver: Receiver
) -> None:
    webhook = await add(sending, "a", receiver.url)
    receiver.status = 500
    (id,) = await decide(sending, "a")
    await until(lambda: receiver.heard)
    async with asyncio.timeout(PATIENCE):
        while await states(sending, webhook) != ["dead"]:
            await forward(sending, timedelta(hours=10))
            await asyncio.sleep(0.05)
    receiver.status, receiver.heard[:] = 200, []
    assert await deliveries.replay(sending.pool, webhook, None) == 1
    async with asyncio.timeout(PATIENCE):
        while await states(sending, webhook) != ["delivered"]:
            await forward(sending, timedelta(hours=1))
            await asyncio.sleep(0.05)
    assert receiver.decisions() == [id]


async def test_410_ends_it_and_a_change_begins_it_again(
    sending: State, receiver: Receiver
) -> None:
    webhook = await add(sending, "a", receiver.url)
    receiver.status = 410
    await decide(sending, "a")

    async def disabled() -> bool:
        found = await webhooks.one(sending.pool, webhook)
        return found is not None and found.disabled is not None

    async with asyncio.timeout(PATIENCE):
        while not await disabled():
            await asyncio.sleep(0.05)
    await decide(sending, "a")
    assert (await states(sending, webhook), len(receiver.heard)) == (["dead"], 1)
    receiver.status = 200
    await webhooks.change(sending.pool, webhook, None, None)
    assert await deliveries.replay(sending.pool, webhook, None) == 1
    await until(lambda: len(receiver.heard) == 2)


async def test_a_receiver_that_stalls_holds_up_nobody_elses(
    sending: State, receiver: Receiver, tmp_path: Path
) -> None:
    stalled = Receiver(tmp_path)
    stalled.tls = receiver.tls
    await stalled.start()
    stalled.stall = True
    await add(sending, "slow", stalled.url)
    await add(sending, "quick", receiver.url)
    await decide(sending, "slow", 1000)
    await until(lambda: stalled.open)
    for _ in range(5):
        already = len(receiver.heard)
        await decide(sending, "quick")
        # while the other one has answered nothing
        await until(lambda already=already: len(receiver.heard) > already)
        assert not [
            one for one in await states(sending, "wh-slow") if one == "delivered"
        ]
    assert stalled.most <= deliveries.MAX_WAITING
    await stalled.runner.cleanup()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_not_public(
    receiver: Receiver, host: str
) -> None:
    sender = Sender(2, frozenset(), receiver.roots, development=True)
    sender.start()
    connections = []
    server = await asyncio.start_server(
        lambda *streams: connections.append(streams), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    got = await sender.send(f"https://{host}:{port}/", "id", b"{}", [SECRET])
    server.close()
    await sender.close()
    assert (got.status, connections) == (None, [])
    assert "not a public address" in got.error or "reached" in got.error


@pytest.mark.parametrize("url", ["http://example.com/", "https://", "ftp://x", "https://user:key@example.com/", "https://example.com/ a", "x" * 3000, "https://[::1", "https://exämple.com/", "https://example.com/#part"])  # fmt: skip
def test_what_is_no_url_for_a_webhook_is_said(url: str) -> None:
    assert complaint(url)


async def test_a_new_secret_signs_beside_the_old_one_for_a_day(
    sending: State, receiver: Receiver
) -> None:
    webhook = await add(sending, "a", receiver.url)
    other = bytes(32)
    await webhooks.new_secret(sending.pool, webhook, sending.vault.wrap(other))
    await decide(sending, "a")
    await until(lambda: receiver.heard)
    headers, body = receiver.heard[0]
    for secret in (SECRET, other):
        Webhook(shown(secret)).verify(body, headers)
    assert b64decode(shown(other).removeprefix("whsec_")) == other


async def test_a_test_that_was_cut_off_holds_up_nothing(
    sending: State, receiver: Receiver
) -> None:
    webhook = await add(sending, "a", receiver.url)
    for _ in range(deliveries.MAX_WAITING):
        assert await deliveries.add_test(sending.pool, webhook)
    (id,) = await decide(sending, "a")
    await until(lambda: receiver.decisions() == [id])


async def test_what_waited_too_long_unsent_is_given_up_and_can_be_sent_after_all(
    sending: State, receiver: Receiver
) -> None:
    webhook = await add(sending, "a", receiver.url)
    async with sending.pool.connection() as connection:
        await connection.execute(
            "UPDATE webhook SET not_before = now() + interval '100 days'"
        )
    made = await decide(sending, "a", 250)
    async with await alone(sending.settings.database) as connection:
        assert await deliveries.give_up_old(connection, timedelta(hours=72)) == 0
        await connection.execute(
            "UPDATE webhook_event SET at = at - interval '73 hours'"
        )
        assert await deliveries.give_up_old(connection, timedelta(hours=72)) == 3
    assert await states(sending, webhook) == ["dead"] * 3
    await webhooks.change(sending.pool, webhook, None, None)
    assert await deliveries.replay(sending.pool, webhook, None) == 3
    await until(lambda: set(receiver.decisions()) == set(made))


async def test_several_that_fail_at_once_are_one_failure(
    sending: State, receiver: Receiver
) -> None:
    webhook = await add(sending, "a", receiver.url)
    receiver.stall = True
    for number in range(1, 5):
        await decide(sending, "a")
        # each a delivery of its own, and none is answered
        await until(lambda number=number: receiver.open == number)
    found = None
    async with asyncio.timeout(PATIENCE):
        while found is None or not found.failures:
            await asyncio.sleep(0.05)
            found = await webhooks.one(sending.pool, webhook)
    assert found.failures <= 2


async def test_a_name_server_that_is_silent_stops_nobody_elses_names(
    sending: State, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    through, silent = sender.socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: str, *more: Any, **named: Any) -> Any:
        if host.startswith("dead"):
            silent.wait(PATIENCE)
        return through(host, *more, **named)

    monkeypatch.setattr(sender.socket, "getaddrinfo", getaddrinfo)
    for number in range(8):
        await add(sending, f"dead{number}", f"https://dead{number}.invalid/")
        await decide(sending, f"dead{number}")
    await add(sending, "quick", receiver.url)
    (id,) = await decide(sending, "quick")
    await until(lambda: id in receiver.decisions())
    silent.set()


# -- keys that end ----------------------------------------------------------------------------------------------------


async def test_a_key_that_ends_while_it_is_used_is_told_of_once(
    sending: State, receiver: Receiver
) -> None:
    tenant = "t"
    await add(sending, tenant, receiver.url)
    async with sending.pool.connection() as connection:
        for name, ends, used, replaced in (
            ("soon-and-used", "1 hour", "1 minute", None), ("soon-and-idle", "1 hour", "3 days", None), ("later", "30 days", "1 minute", None),
            ("over", "-1 hour", "1 minute", None), ("left-behind", "1 hour", "1 minute", "new"), ("followed", "1 hour", "2 hours", "new"), ("new", None, "1 minute", None),
        )[::-1]:  # fmt: skip
            await connection.execute(
                "INSERT INTO api_key (id, tenant, digest, name, not_after, last_used, replaced_by, created) "
                "VALUES (%s, %s, 'x', %s, now() + %s::interval, now() - %s::interval, %s, now() - interval '1 hour')",
                (name, tenant, name, ends, used, replaced),
            )
    assert await notice.tell(sending) == 2
    assert await notice.tell(sending) == 0
    found = await keys.ending(sending.pool)
    assert (found.soon, found.used, 3000 < (found.first or 0) <= 3600) == (4, 3, True)
    await until(lambda: receiver.heard)
    ((_, body),) = receiver.heard
    message = json.loads(body)
    assert message["type"] == "keys.ending"
    assert sorted(one["name"] for one in message["data"]["keys"]) == ["left-behind", "soon-and-used"]  # fmt: skip
