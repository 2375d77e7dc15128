"""Transactions on both kinds of database: all or nothing, seen in time, and nobody left waiting."""

import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from mainstay.model.errors import BadInput, MainstayError, Unavailable
from mainstay.store.database import Database, Tx, open_database
from mainstay.store.schema import settings
from mainstay.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


def put(tx: Tx, name: str, topic: str | None = None) -> str:
    tx.conn.execute(insert(settings).values(name=name, value=1))
    if topic:
        tx.wake(topic)
    return name


def count(tx: Tx) -> int:
    return tx.conn.execute(select(func.count()).select_from(settings)).scalar_one()


def put_and_fail(tx: Tx, name: str) -> None:
    put(tx, name, "never")
    raise LookupError(name)


def someone_sleeps(tx: Tx) -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    return bool(tx.conn.exec_driver_sql(asked).scalar())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - conditions of all kinds
            await asyncio.sleep(0.005)


async def test_a_write_gives_its_value_and_is_seen_by_the_next_read(database: Database) -> None:
    assert await database.write(put, "a") == "a"
    assert await database.read(count) == 1


async def test_an_error_undoes_only_its_own_transaction(database: Database) -> None:
    calls = [database.write(put_and_fail if n % 3 == 0 else put, f"n{n}") for n in range(60)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    failed = [n for n, result in enumerate(results) if isinstance(result, LookupError)]
    assert failed == list(range(0, 60, 3))
    assert await database.read(count) == 40


async def test_a_broken_constraint_comes_out_as_it_is(database: Database) -> None:
    await database.write(put, "a")
    results = await asyncio.gather(*(database.write(put, n) for n in ("b", "a", "c")), return_exceptions=True)
    assert [type(result) for result in results] == [str, IntegrityError, str]
    assert await database.read(count) == 3


async def test_stop_iteration_in_a_transaction_is_an_error_and_not_a_hang(database: Database) -> None:
    def stop(tx: Tx) -> None:
        next(iter(()))

    with pytest.raises(RuntimeError):
        await database.write(stop)
    await database.write(put, "a")


async def test_a_read_that_writes_is_told_so(database: Database) -> None:
    with pytest.raises(TypeError, match="tried to write"):
        await database.read(put, "a")
    assert await database.read(count) == 0


async def test_a_read_sees_one_state_from_its_first_statement_on(database: Database) -> None:
    loop = asyncio.get_running_loop()
    first, go_on = asyncio.Event(), threading.Event()

    def twice(tx: Tx) -> tuple[int, int]:
        before = count(tx)
        if database.kind == "sqlite":
            loop.call_soon_threadsafe(first.set)
            assert go_on.wait(20)
        else:
            tx.conn.exec_driver_sql("SELECT pg_sleep(0.3)")
        return before, count(tx)

    reading = asyncio.create_task(database.read(twice))
    if database.kind == "sqlite":
        await first.wait()
    else:
        while not await database.read(someone_sleeps):  # noqa: ASYNC110 - the event is another process's
            await asyncio.sleep(0.005)
    await database.write(put, "a")
    go_on.set()
    assert await reading == (0, 0)
    assert await database.read(count) == 1


async def test_topics_are_announced_after_the_commit_and_only_then(database: Database) -> None:
    heard: list[str] = []
    database.on_wake(heard.append)
    with contextlib.suppress(LookupError):
        await database.write(put_and_fail, "a")
    await database.write(put, "b", "jobs")
    await until(lambda: bool(heard))
    assert heard == ["jobs"]


async def test_a_topic_is_a_single_line(database: Database) -> None:
    with pytest.raises(ValueError, match="line of text"):
        await database.write(put, "a", "two\nlines")


async def test_a_callback_that_fails_keeps_nobody_from_being_woken(database: Database) -> None:
    heard: list[str] = []
    database.on_wake(lambda topic: 1 / 0)  # type: ignore[arg-type]
    end = database.on_wake(heard.append)
    await database.write(put, "a", "one")
    end()
    end()
    await database.write(put, "b", "two")
    assert heard == ["one"]


async def test_a_cancelled_write_has_happened_wholly_or_not_at_all(database: Database) -> None:
    def put_two(tx: Tx, n: int) -> None:
        put(tx, f"{n}a")
        put(tx, f"{n}b")

    tasks = [asyncio.create_task(database.write(put_two, n)) for n in range(100)]
    await asyncio.sleep(0)
    for n, task in enumerate(tasks):
        if n % 2:
            task.cancel()
        if n % 10 == 0:
            await asyncio.sleep(0.001)
    await asyncio.gather(*tasks, return_exceptions=True)
    await database.write(put, "last")
    stored = await database.read(lambda tx: set(tx.conn.execute(select(settings.c.name)).scalars()))
    for n in range(100):
        assert (f"{n}a" in stored) == (f"{n}b" in stored)
        assert n % 2 or f"{n}a" in stored


async def test_cancelling_many_leaves_no_connection_stuck(database: Database) -> None:
    for _ in range(5):
        tasks: list[asyncio.Task[Any]] = []
        tasks += [asyncio.create_task(database.write(put, f"{time.monotonic_ns()}{n}")) for n in range(40)]
        tasks += [asyncio.create_task(database.read(count)) for n in range(40)]
        await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(60):
        await asyncio.gather(*(database.write(put, f"after{n}") for n in range(40)))


async def test_two_hundred_callers_get_their_own_values(database: Database) -> None:
    names = [f"n{n}" for n in range(400)]
    assert await asyncio.gather(*(database.write(put, name) for name in names)) == names
    assert await database.read(count) == 400


async def test_closing_finishes_what_was_asked_for_and_leaves_no_thread(database_url: str) -> None:
    before = {thread for thread in threading.enumerate() if thread.name.startswith("mainstay")}
    database = await open_database(database_url)
    await asyncio.gather(*(database.read(count) for _ in range(8)))
    writes = [asyncio.create_task(database.write(put, f"n{n}")) for n in range(20)]
    await asyncio.sleep(0)
    await database.close()
    await database.close()
    done = await asyncio.gather(*writes, return_exceptions=True)
    stored = [result for result in done if isinstance(result, str)]
    assert all(isinstance(result, (str, Unavailable)) for result in done)
    assert {thread for thread in threading.enumerate() if thread.name.startswith("mainstay")} == before
    with pytest.raises(Unavailable, match="closed"):
        await database.write(put, "late")
    again = await open_database(database_url)
    assert await again.read(count) == len(stored)
    await again.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "main.db", "sqlite:///relative.db", "sqlite://"])
async def test_another_kind_of_url_is_refused_in_words(url: str) -> None:
    with pytest.raises(BadInput):
        await open_database(url)


@pytest.mark.postgres
async def test_an_unreachable_server_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        await open_database(f"postgresql://me:hush@/shop?host={tmp_path}")
    assert "shop" in caught.value.message
    assert "hush" not in caught.value.message


async def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "main.db"
    path.write_bytes(b"this is not a database, just some text that is long enough to look at" * 40)
    with pytest.raises(MainstayError, match="not a SQLite database"):
        await open_database(f"sqlite:///{path}")


async def test_writes_that_wait_share_a_commit(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(f"sqlite:///{tmp_path}/main.db")
    commits = 0

    def trace(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    def watch(tx: Tx) -> None:
        tx.conn.connection.driver_connection.set_trace_callback(trace)  # type: ignore[union-attr]

    await database.write(watch)
    await asyncio.gather(*(database.write(put, f"n{n}") for n in range(300)))
    await database.close()
    assert commits < 30


WRITER = """
import asyncio, sys
from sqlalchemy import insert
from mainstay.store.database import open_database
from mainstay.store.schema import settings

def put_two(tx, name):
    for half in "ab":
        tx.conn.execute(insert(settings).values(name=name + half, value=1))
    return name

async def caller(database, number):
    for turn in range(10**9):
        name = await database.write(put_two, f"{number}-{turn}-")
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()

async def main():
    database = await open_database(sys.argv[1])
    await asyncio.gather(*(caller(database, number) for number in range(20)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_is_stored_when_the_process_is_killed(database_url: str) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WRITER,
        database_url,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert writer.stdout is not None
    acknowledged = [(await writer.stdout.readline()).decode().strip() for _ in range(500)]
    writer.send_signal(signal.SIGKILL)
    rest = (await writer.stdout.read()).decode()
    acknowledged += rest.splitlines() if rest.endswith("\n") else rest.splitlines()[:-1]
    await writer.wait()
    database = await open_database(database_url)
    stored = await database.read(lambda tx: set(tx.conn.execute(select(settings.c.name)).scalars()))
    await database.close()
    assert {name + half for name in acknowledged for half in "ab"} <= stored
    assert {name[:-1] + "a" for name in stored} == {name[:-1] + "a" for name in stored if name[:-1] + "b" in stored}
