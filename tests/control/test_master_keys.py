"""The master key is rotated: whatever dies in between, either key opens all; a wrong one opens nothing and starts nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from cli.processes import wait_until
from contract.unwrap import WrongMasterKey, key_id
from control.state import State
from control.store import master_keys, snapshots
from control.store.database import Connection
from tests.control.test_api import admin, ask
from tests.support.house import EARTHFLOW, PATIENCE, House, command_environment, message

TENANTS = 3


async def fill(state: State) -> None:
    await snapshots.pepper(state.pool, state.vault.new_secret())
    async with state.pool.connection() as connection:
        for number in range(TENANTS):
            await connection.execute(
                "INSERT INTO tenant (id, name, preset, prompt_key) VALUES (%s, 'T', 'default', %s)",
                (f"t{number}", state.vault.new_secret()),
            )


class Killed(Exception):
    """The process ended here."""


@pytest.mark.parametrize("step", ["rotate", "finalize", "abort"])
async def test_a_step_that_dies_after_any_statement_leaves_every_secret_open_with_either_key(
    state: State, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await fill(state)
    new = Fernet.generate_key().decode()
    if step != "rotate":
        await master_keys.rotate(state.pool, state.vault, new)
    vault = (
        await master_keys.open_vault(state.pool, new)
        if step == "finalize"
        else state.vault
    )
    before = await master_keys.every(state.pool)
    through = psycopg.AsyncConnection.execute
    left = [0]

    async def dying(self: Connection, *args: Any, **kwargs: Any) -> Any:
        done = await through(self, *args, **kwargs)
        left[0] -= args[0] != ""  # by which the pool tries whether a connection lives
        if left[0] == 0:
            raise Killed
        return done

    async def run() -> None:
        await (
            master_keys.rotate(state.pool, vault, new)
            if step == "rotate"
            else getattr(master_keys, step)(state.pool, vault)
        )

    statements = 0
    while True:
        statements += 1
        left[0] = statements
        with monkeypatch.context() as patched:
            patched.setattr(psycopg.AsyncConnection, "execute", dying)
            try:
                await run()
                break
            except Killed:
                pass
        assert await master_keys.every(state.pool) == before
        for row in before.rows:
            key = new if row.id == key_id(new) else state.vault.master
            assert await master_keys.verify(state.pool, key) == TENANTS + 1
    assert statements > 4
    opens = {
        "rotate": [state.vault.master, new],
        "finalize": [new],
        "abort": [state.vault.master],
    }[step]
    assert [row.id for row in (await master_keys.every(state.pool)).rows] == [
        key_id(key) for key in opens
    ]
    for key in opens:
        assert await master_keys.verify(state.pool, key) == TENANTS + 1
        assert (await master_keys.open_vault(state.pool, key)).master == key


async def test_a_wrong_key_opens_nothing_and_is_told_which_one_would(
    state: State,
) -> None:
    await fill(state)
    with pytest.raises(WrongMasterKey, match=key_id(state.vault.master)):
        await master_keys.open_vault(state.pool, Fernet.generate_key().decode())


async def test_secrets_of_a_version_before_data_keys_are_taken_over(
    state: State,
) -> None:
    old = Fernet(state.vault.master)
    async with state.pool.connection() as connection:
        await connection.execute("DELETE FROM master_key")
        await connection.execute(
            "INSERT INTO pepper (wrapped) VALUES (%s)",
            (old.encrypt(b"pepper").decode(),),
        )
        await connection.execute(
            "INSERT INTO tenant VALUES ('t', 'T', 'default', %s)",
            (old.encrypt(b"prompt").decode(),),
        )
    with pytest.raises(WrongMasterKey):
        await master_keys.open_vault(state.pool, Fernet.generate_key().decode())
    vault = await master_keys.open_vault(state.pool, state.vault.master)
    async with state.pool.connection() as connection:
        row = await (
            await connection.execute("SELECT wrapped, prompt_key FROM pepper, tenant")
        ).fetchone()
    assert row is not None
    assert (vault.open(row["wrapped"]), vault.open(row["prompt_key"])) == (
        b"pepper",
        b"prompt",
    )


def earthflow(house: House, *words: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
    told = command_environment(
        house, EARTHFLOW_ADMIN_API_KEY=house.stack.secrets["EARTHFLOW_ADMIN_API_KEY"]
    )
    done = subprocess.run(
        [EARTHFLOW, *words, "-o", "json"],
        env=told,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {
        "said": done.stderr
    }


def test_a_rotation_by_the_command_through_restarts_in_any_order(
    state_folder: Path,
) -> None:
    """Old proxy with new control; then all with the new key; at no moment does a call fail that did not before."""
    with House() as house:
        tenant = house.tenant()
        assert tenant.post(message("one"))[0] == 200
        old, new = (
            house.stack.secrets["EARTHFLOW_MASTER_KEY"],
            Fernet.generate_key().decode(),
        )
        assert (
            earthflow(
                house, "keys", "rotate", "--rotate-master", "--new-key", "-", stdin=new
            )[1]["state"]
            == "pending"
        )
        assert earthflow(house, "keys", "master", "verify", "--new-key", new)[0] == 0
        assert (
            "in progress"
            in earthflow(house, "keys", "rotate", "--rotate-master", "--new-key", new)[
                1
            ]["said"]
        )
        assert (
            "start it again"
            in earthflow(house, "keys", "master", "finalize", "--yes")[1]["said"]
        )
        house.stack.secrets["EARTHFLOW_MASTER_KEY"] = new
        restart(house, "control")
        assert earthflow(house, "keys", "master", "status")[1]["in_use"] == key_id(new)
        made = house.tenant()  # known to a proxy that still has the old key
        assert made.post(message("two"))[0] == 200
        restart(house, "proxy")
        assert made.post(message("three"))[0] == 200
        assert [
            key["id"]
            for key in earthflow(house, "keys", "master", "finalize", "--yes")[1][
                "keys"
            ]
        ] == [key_id(new)]
        assert tenant.post(message("four"))[0] == 200
        house.stack.secrets["EARTHFLOW_MASTER_KEY"] = old
        stop(house, "control")
        done = subprocess.run(
            [sys.executable, "-m", "control"],
            env=house.stack.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, key_id(new) in done.stderr, old in done.stderr) == (
            78,
            True,
            False,
        )


def stop(house: House, name: str) -> None:
    process = house.stack.services[name].process
    os.kill(process.pid, signal.SIGTERM)
    process.wait(PATIENCE)


def restart(house: House, name: str) -> None:
    stop(house, name)
    (house.stack.start_control if name == "control" else house.stack.start_proxy)()
    assert wait_until(lambda: house.ready()["status"] != "DOWN", PATIENCE)


def test_only_an_admin_rotates(house: House) -> None:
    tenant = house.tenant()
    for path in ("", "/rotate", "/verify", "/finalize", "/abort"):
        words = (
            (
                "-X",
                "POST",
                "-d",
                json.dumps({"new_key": Fernet.generate_key().decode()}),
            )
            if path
            else ()
        )
        assert (
            ask(house, f"/v1/master{path}", "-H", f"X-API-Key: {tenant.key}", *words)[0]
            == 403
        )
    status, body = ask(
        house,
        "/v1/master/rotate",
        *admin(house),
        "-X",
        "POST",
        "-d",
        json.dumps({"new_key": "x" * 44}),
    )
    assert (status, body["error"]["code"]) == (400, "bad_key")
