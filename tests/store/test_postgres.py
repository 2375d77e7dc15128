"""PostgreSQL alone: servers that wake each other, and connections that are lost in the middle."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from mainstay.model.errors import Unavailable
from mainstay.model.events import Event, EventKind
from mainstay.store import events
from mainstay.store.database import EVERYTHING, Database, Tx, open_database
from mainstay.store.postgres import PostgresDatabase
from mainstay.store.schema import settings

pytestmark = pytest.mark.anyio

OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def put(tx: Tx, name: str, topic: str | None = None) -> str:
    tx.conn.execute(insert(settings).values(name=name, value=1))
    if topic:
        tx.wake(topic)
    return name


def names(tx: Tx) -> set[str]:
    return set(tx.conn.execute(select(settings.c.name)).scalars())


def open_transactions(tx: Tx) -> int:
    """How many connections stand in the middle of a transaction."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in tr%' AND datname = current_database()"
    return int(tx.conn.execute(text(asked)).scalar_one())


def wake_many(tx: Tx) -> None:
    for number in range(200):
        tx.wake(f"{number} " + "y" * 100)


async def until_heard(heard: "asyncio.Queue[str]", topic: str) -> None:
    async with asyncio.timeout(60):
        while await heard.get() != topic:
            pass


@pytest.fixture(params=[pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


async def test_servers_hear_each_other(database_url: str) -> None:
    one, other = await open_database(database_url), await open_database(database_url)
    here: list[str] = []
    there: asyncio.Queue[str] = asyncio.Queue()
    one.on_wake(here.append)
    other.on_wake(there.put_nowait)
    await one.write(put, "a", "jobs")
    await until_heard(there, "jobs")
    await one.write(put, "b", "x" * 7000)
    await one.write(wake_many)
    await until_heard(there, "199 " + "y" * 100)
    assert len(here) == 202
    assert there.empty()
    await one.close()
    await other.close()


async def test_a_listener_that_was_cut_off_comes_back_and_wakes_everything(database_url: str) -> None:
    one, other = await open_database(database_url), await open_database(database_url)
    there: asyncio.Queue[str] = asyncio.Queue()
    other.on_wake(there.put_nowait)
    await one.read(lambda tx: tx.conn.exec_driver_sql(OTHERS).all())
    await until_heard(there, EVERYTHING)
    await one.write(put, "a", "jobs")
    await until_heard(there, "jobs")
    await one.close()
    await other.close()


async def test_a_listener_comes_back_after_an_error_that_nobody_expects(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await open_database(database_url), await open_database(database_url)
    there: asyncio.Queue[str] = asyncio.Queue()
    other.on_wake(there.put_nowait)
    connect, refused = PostgresDatabase._connect, []

    async def refuse_once(self: PostgresDatabase) -> object:
        if self is other and not refused:
            refused.append(self)
            raise asyncpg.InternalClientError("unexpected")
        return await connect(self)

    monkeypatch.setattr(PostgresDatabase, "_connect", refuse_once)
    await one.read(lambda tx: tx.conn.exec_driver_sql(OTHERS).all())
    await until_heard(there, EVERYTHING)
    assert refused
    await one.close()
    await other.close()


async def test_idle_connections_that_were_killed_cost_nobody_an_error(database: Database) -> None:
    await asyncio.gather(*(database.read(names) for _ in range(30)))
    await database.read(lambda tx: tx.conn.exec_driver_sql(OTHERS).all())
    await asyncio.gather(*(database.write(put, f"n{n}") for n in range(30)))
    assert len(await database.read(names)) == 30


async def test_a_connection_killed_in_mid_transaction_is_tried_again(database: Database) -> None:
    runs = 0

    def put_and_be_killed(tx: Tx) -> int:
        nonlocal runs
        runs += 1
        put(tx, "a")
        if runs < 3:
            tx.conn.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return runs

    assert await database.write(put_and_be_killed) == 3
    assert await database.read(names) == {"a"}


async def test_connections_killed_all_the_time_lose_and_double_nothing(database: Database, database_url: str) -> None:
    async def kill() -> None:
        conn = await asyncpg.connect(database_url)
        while True:
            await conn.execute(OTHERS)
            await asyncio.sleep(0.05)

    killer = asyncio.create_task(kill())
    calls = [database.write(put, f"n{n}", "jobs") for n in range(600)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    killer.cancel()
    await asyncio.wait([killer])
    stored = await database.read(names)
    # Unavailable may be either: that is what it says. A duplicate key would mean that a commit was repeated blindly.
    assert {type(result) for result in results} <= {str, Unavailable}
    assert {result for result in results if isinstance(result, str)} <= stored


async def test_a_commit_whose_answer_was_lost_counts_when_it_was_committed(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = AsyncConnection.commit
    lost = 0

    async def commit_unheard(conn: AsyncConnection) -> None:
        nonlocal lost
        await commit(conn)
        if lost == 0:
            lost += 1
            raise ConnectionResetError("connection lost")

    monkeypatch.setattr(AsyncConnection, "commit", commit_unheard)
    heard: list[str] = []
    database.on_wake(heard.append)
    assert await database.write(put, "a", "jobs") == "a"
    assert lost == 1
    assert heard == ["jobs"]


async def test_a_commit_that_never_arrived_is_done_again(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = AsyncConnection.commit
    lost = 0

    async def commit_into_the_void(conn: AsyncConnection) -> None:
        nonlocal lost
        if lost < 2:
            lost += 1
            raise ConnectionResetError("connection lost")
        await commit(conn)

    monkeypatch.setattr(AsyncConnection, "commit", commit_into_the_void)
    assert await database.write(put, "a") == "a"
    assert lost == 2


@pytest.mark.parametrize("end", ["committed", "undone"])
async def test_an_event_that_is_committed_after_a_later_one_is_not_missed(database: PostgresDatabase, end: str) -> None:
    def tell(tx: Tx, cause: str) -> None:
        events.add(tx, [Event(EventKind.RUNNER_ONLINE, datetime.now(UTC), cause)])

    async def causes(last_id: int) -> list[tuple[int | None, str]]:
        return [(event.id, event.cause) for event in await database.read(events.since, last_id)]

    await database.write(tell, "before")
    async with asyncio.timeout(60):
        while not (before := await causes(0)):  # noqa: ASYNC110 - others write to databases beside this one
            await asyncio.sleep(0.01)
        last_id = before[0][0] or 0
        async with database._engine.connect() as slow:
            await slow.run_sync(lambda conn: tell(Tx(conn, "postgresql"), "slow"))
            await database.write(tell, "quick")
            assert await causes(last_id) == []
            await (slow.commit() if end == "committed" else slow.rollback())
        while not (found := await causes(last_id)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    expected = [(last_id + 1, "slow"), (last_id + 2, "quick")]
    assert found == (expected if end == "committed" else expected[1:])


async def test_deadlocks_are_tried_again(database: Database) -> None:
    await database.write(put, "a")
    await database.write(put, "b")

    def touch(tx: Tx, *order: str) -> None:
        for name in order:
            tx.conn.execute(select(settings).where(settings.c.name == name).with_for_update()).one()
            tx.conn.exec_driver_sql("SELECT pg_sleep(0.1)")

    await asyncio.gather(database.write(touch, "a", "b"), database.write(touch, "b", "a"))


async def test_a_cancelled_caller_frees_the_connection_after_its_statement(database: Database) -> None:
    tasks = [
        asyncio.create_task(database.write(lambda tx: tx.conn.exec_driver_sql("SELECT pg_sleep(0.2)").all()))
        for _ in range(10)
    ]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(60):
        assert await database.write(put, "a") == "a"
    while await database.read(open_transactions):  # noqa: ASYNC110 - the event is another process's
        await asyncio.sleep(0.01)
