"""What is too old is forgotten, whole days at a time, and nothing else."""

from datetime import UTC, datetime, timedelta

from contract.decision import encode, new_id
from control.jobs import retain
from control.state import State
from control.store import audit, database, retention
from control.store.audit import Arrival, Partitions
from tests.control.test_ingest import decision

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)


async def fill(state: State, tenant: str, *days: int) -> None:
    """One exchange on each of so many days ago."""
    made = [
        decision(
            number, tenant=tenant, id=new_id((NOW - timedelta(days=ago)).timestamp())
        )
        for number, ago in enumerate(days)
    ]
    async with await database.alone(state.settings.database) as connection:
        await audit.store(
            connection,
            Partitions(),
            [Arrival(str(one.id), encode(one), one) for one in made],
            [],
        )


async def ages(state: State, tenant: str) -> list[int]:
    async with state.pool.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT day FROM decision WHERE tenant = %s ORDER BY day DESC",
                (tenant,),
            )
        ).fetchall()
    return [(NOW.date() - row["day"]).days for row in rows]


async def test_days_beyond_the_retention_are_dropped_and_the_last_one_within_stays(
    state: State,
) -> None:
    await fill(state, "t", 0, 1, 364, 365, 366, 400)
    dropped = await retain.forget(state, NOW)
    assert await ages(state, "t") == [0, 1, 364, 365]
    assert sorted({name.split("_")[0] for name in dropped}) == [
        "completion",
        "decision",
    ]
    assert len(dropped) == 4
    assert await retain.forget(state, NOW) == []


async def test_a_tenants_own_time_is_its_own(state: State) -> None:
    async with state.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO tenant (id, name, preset, prompt_key, retention_days) VALUES ('short', 'S', 'default', '', 7)"
        )
    await fill(state, "short", 0, 7, 8, 30)
    await fill(state, "t", 0, 7, 8, 30)
    await retain.forget(state, NOW)
    assert (await ages(state, "short"), await ages(state, "t")) == (
        [0, 7],
        [0, 7, 8, 30],
    )


async def test_a_partition_in_use_stays_until_the_next_time(state: State) -> None:
    await fill(state, "t", 0, 400)
    async with (
        await database.alone(state.settings.database) as reader,
        reader.transaction(),
    ):
        await reader.execute("SELECT * FROM decision")
        assert [
            name
            for name in await retain.forget(state, NOW)
            if name.startswith("decision")
        ] == []
    assert len(await retain.forget(state, NOW)) == 1


async def test_only_one_process_forgets(state: State) -> None:
    await fill(state, "t", 400)
    async with await database.alone(state.settings.database) as other:
        assert await database.lead(other, retention.LOCK)
        assert await retain.forget(state, NOW) == []
    assert len(await retain.forget(state, NOW)) == 2
