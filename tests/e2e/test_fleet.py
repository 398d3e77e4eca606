"""Three proxies, one control: what is changed reaches each of them, at once where it is told and soon where it is not."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cli.processes import wait_until
from tests.support.fleet import Fleet
from tests.support.house import PATIENCE, RESTRICTED, House
from tests.support.shared import scaled, slack

HOST = "api.openai.com:443"
# seconds in which a change is everywhere: told, and where nobody could tell
AT_ONCE, SOON = (
    1.0,
    6.0,
)


@pytest.fixture(scope="module")
def fleet(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as exit:
        yield Fleet(house, tmp_path_factory.mktemp("fleet"), exit)


def test_a_revoked_key_ends_on_every_proxy_within_a_second(fleet: Fleet) -> None:
    control = fleet.house.stack.control
    took = []
    for _ in range(5):
        made = control.post("/v1/tenants/default/keys", {})
        fleet.agree(made["api_key"], True)
        control.delete(f"/v1/tenants/default/keys/{made['id']}")
        took.append(fleet.agree(made["api_key"], False))
    # who else is at work on this machine may hold up some
    assert min(took) < min(AT_ONCE * slack(), SOON / 2), took


def test_a_change_that_nobody_told_is_seen_all_the_same(fleet: Fleet) -> None:
    """As another control process makes it, whose word does not reach this one."""
    made = fleet.house.stack.control.post("/v1/tenants/default/keys", {})
    fleet.agree(made["api_key"], True)
    engines = fleet.house.stack.engines
    assert engines is not None
    with psycopg.connect(engines.database_url) as connection:
        connection.execute(
            "UPDATE api_key SET not_after = now() WHERE id = %s", (made["id"],)
        )
        connection.execute("UPDATE snapshot SET version = version + 1")
    assert fleet.agree(made["api_key"], False) < SOON * slack()


def test_what_one_proxy_refused_is_history_on_another_and_after_a_restart(
    fleet: Fleet,
) -> None:
    tenant, heard = fleet.house.tenant(), fleet.house.providers.heard
    one, other = fleet.ports[:2]
    fleet.agree(tenant.key, True)

    def say(port: int, *texts: str) -> int:
        said = [{"role": "user", "content": text} for text in texts]
        body = json.dumps({"model": "gpt-5.2", "messages": said}).encode()
        proxy = ("-x", f"http://key:{tenant.key}@localhost:{port}")
        return tenant.post(body, *proxy)[0]

    before = len(heard)
    assert [say(one, RESTRICTED), say(other, RESTRICTED)] == [400, 400]
    assert len(heard) == before
    assert say(other, RESTRICTED, "what is 2 + 2?") == 200
    assert say(fleet.another(), f"{RESTRICTED}\n\nwhat is 3 + 3?") == 200
    for call in heard[before:]:
        assert RESTRICTED.encode() not in call.body
        assert b"[REDACTED:confidential_tlp_red_" in call.body
    assert b"what is 2 + 2?" in heard[-2].body
    # what a client joined to the refused text is taken out with it
    assert b"what is 3 + 3?" not in heard[-1].body
    statuses = [row["status"] for row in tenant.audit(4)]
    assert statuses == ["REDACT", "REDACT", "BLOCK", "BLOCK"]


class Rotations(RuleBasedStateMachine):
    """Keys of one tenant, made, rotated with a grace and revoked: at each moment every proxy takes exactly those that should work."""

    fleet: Fleet

    @initialize()
    def begin(self) -> None:
        made = self.fleet.house.stack.control.post("/v1/tenants", {"name": "Rotating"})
        self.tenant = made["id"]
        # of each key: when it ends, by our clock
        self.ends: dict[str, float | None] = {made["api_key"]: None}
        self.ids = {made["keys"][0]: made["api_key"]}

    @rule()
    def another(self) -> None:
        made = self.fleet.house.stack.control.post(
            f"/v1/tenants/{self.tenant}/keys", {}
        )
        self.ends[made["api_key"]] = None
        self.ids[made["id"]] = made["api_key"]

    @rule(grace=st.sampled_from([0, 2, 3600]))
    def rotate(self, grace: int) -> None:
        (done,) = self.fleet.house.stack.control.post(
            "/v1/keys/rotate", {"tenant_id": self.tenant, "revoke_after": grace}
        )["rotated"]
        over = time.monotonic() + grace
        for key, ends in self.ends.items():
            self.ends[key] = over if ends is None else min(ends, over)
        self.ends[done["api_key"]] = None
        self.ids[done["new"]] = done["api_key"]

    @precondition(lambda self: len(self.ids) > 1)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        id = data.draw(
            st.sampled_from(sorted(self.ids, key=lambda one: list(self.ids).index(one)))
        )
        key = self.ids.pop(id)
        ended = self.ends[key]
        if ended is None or ended > time.monotonic() + AT_ONCE:
            self.fleet.house.stack.control.delete(
                f"/v1/tenants/{self.tenant}/keys/{id}"
            )
            self.ends[key] = time.monotonic()

    @invariant()
    def every_proxy_agrees(self) -> None:
        for key, ends in getattr(self, "ends", {}).items():
            now = time.monotonic()
            if ends is not None and now - AT_ONCE < ends < now + PATIENCE:
                continue  # it is ending just now, or may while we look
            self.fleet.agree(key, ends is None or ends > now)

    def teardown(self) -> None:
        if hasattr(self, "tenant"):
            self.fleet.house.stack.control.delete(f"/v1/tenants/{self.tenant}")


def test_rotations_in_any_order_are_seen_alike_by_three_proxies(fleet: Fleet) -> None:
    Rotations.fleet = fleet
    case = Rotations.TestCase
    case.settings = settings(max_examples=scaled(4), stateful_step_count=6)
    case().runTest()


def test_in_its_grace_both_keys_work_until_the_second_and_then_only_the_new_one(
    fleet: Fleet,
) -> None:
    made = fleet.house.stack.control.post("/v1/tenants", {"name": "Grace"})
    fleet.agree(made["api_key"], True)
    grace = 4
    (done,) = fleet.house.stack.control.post(
        "/v1/keys/rotate", {"tenant_id": made["id"], "revoke_after": grace}
    )["rotated"]
    over = time.monotonic() + grace
    fleet.agree(done["api_key"], True)

    def old_one_is_refused() -> bool:
        assert fleet.let_in(done["api_key"]) == [True] * 3
        return False in fleet.let_in(made["api_key"])

    assert wait_until(old_one_is_refused, PATIENCE)
    assert time.monotonic() > over - 0.5
    fleet.agree(made["api_key"], False)
    assert fleet.let_in(done["api_key"]) == [True] * 3
    fleet.house.stack.control.delete(f"/v1/tenants/{made['id']}")
