"""Control without its API: a state over a database of one's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import redis.asyncio as aioredis
from cryptography.fernet import Fernet

from cli.engines import Engines
from contract.decision import new_id
from control.keyring import Keyring
from control.settings import ControlSettings
from control.state import State
from control.store import database, master_keys
from rules.sources import shipped

TEMPLATE = "migrated"


@pytest.fixture(scope="session")
def template(engines: Engines) -> str:
    """The name of a database in which every migration has run: a copy of it costs a twentieth of the migrations."""

    async def migrate() -> None:
        pool = await database.connect(
            url_of(engines, TEMPLATE), "the tests' engines", 5
        )
        await database.migrate(pool)
        await pool.close()

    with psycopg.connect(engines.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
    asyncio.run(migrate())
    return TEMPLATE


@pytest.fixture
def database_url(engines: Engines, template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    name = f"test_{new_id().replace('-', '')}"
    with psycopg.connect(engines.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield url_of(engines, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def url_of(engines: Engines, name: str) -> str:
    """The URL of one database of the tests' PostgreSQL."""
    return engines.database_url.replace("/postgres?", f"/{name}?")


@pytest.fixture
async def state(
    engines: Engines, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[State]:
    """Control's state over a database and a Redis of this test's own."""
    master = Fernet.generate_key().decode()
    for variable, value in {
        "EARTHFLOW_MASTER_KEY": master,
        "EARTHFLOW_ADMIN_API_KEY": "a" * 40,
        "EARTHFLOW_DATABASE_URL": database_url,
        "EARTHFLOW_REDIS_URL": engines.redis_url,
    }.items():
        monkeypatch.setenv(variable, value)
    told = ControlSettings()
    pool = await database.connect(told.database, told.database_place, 5)
    client = aioredis.Redis.from_url(told.redis)
    await client.flushall()
    reading = await database.for_reading(told.database)
    yield State(
        told,
        pool,
        reading,
        client,
        await master_keys.open_vault(pool, master),
        dict(shipped()),
        "",
        Keyring(bytes(32)),
        told.sender(),
    )
    await client.aclose()
    await reading.close()
    await pool.close()
