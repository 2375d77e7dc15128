"""100,000 tests in one report, and lists of tests over a million results.

The report is taken in as a runner sends it, by the engine on the embedded database; beside it somebody writes one row
over and over, and the event loop is watched. The floor is the same rows written by sqlite3 alone in one transaction.
The pages' floor is the same list with a history of 50,000 results.
"""

import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from _figures import Figure, middle, percentile, show
from _place import folder
from sqlalchemy import select, text, update
from tests.web.filling import Filling, JobRow

from mainstay.cli.garbage import spare_what_stays
from mainstay.engine import results
from mainstay.engine.figures import count_some
from mainstay.runner.zstd import compress
from mainstay.store import tests
from mainstay.store.database import Database, Tx, open_database
from mainstay.store.schema import attempts
from mainstay.store.tests import NewResult
from mainstay.store.views import tests as views
from mainstay.store.views.tests import SORTS, Asked
from mainstay.wire.runner import TestReport

COUNT = 100_000
NOW = datetime.now(UTC)


def running(tx: Tx) -> tuple[int, list[int]]:
    """A runner with two attempts: one whose tests are all new, one whose tests are known."""
    filling = Filling(tx, NOW)
    repository, runner = filling.repository("demo"), filling.runner("r1")
    for number in range(2):
        filling.build(
            repository, filling.commit(repository, f"c{number}"), [JobRow("test", "running")], runner=(runner, "r1")
        )
    return runner, list(tx.conn.execute(select(attempts.c.id)).scalars())


def report() -> bytes:
    """The report as it is sent."""
    encode = msgspec.json.Encoder().encode
    lines = []
    for number in range(COUNT):
        bad = number % 1000 == 0
        lines.append(
            encode(
                TestReport(
                    f"tests/test_{number // 100}.py::TestThing::test_case[{number}]",
                    "failed" if bad else "passed",
                    0.01 * (number % 7),
                    f"tests/test_{number // 100}.py",
                    12,
                    message="boom" if bad else None,
                    trace="x" * 2000 if bad else None,
                )
            )
        )
    return compress(b"\n".join(lines), 1)


class Beside:
    """Somebody who writes one row again and again, and the event loop's own delay."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writes: list[float] = []
        self.loop: list[float] = []

    async def write(self) -> None:
        """Until it is cancelled."""
        while True:
            began = time.perf_counter()
            await self._database.write(lambda tx: tx.conn.execute(text("SELECT 1")).scalar())
            self.writes.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.005)

    async def beat(self) -> None:
        """Until it is cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.loop.append((time.perf_counter() - began) * 1000 - 1)


async def measured(path: Path) -> list[Figure]:
    """The report, twice."""
    database = await open_database(f"sqlite:///{path}")
    spare_what_stays()  # as a server does: else every fifth delay is a look through all of this process's modules
    runner, ids = await database.write(running)
    body = report()
    found = []
    for words, attempt in zip(("tests all new", "tests known"), ids, strict=True):
        beside = Beside(database)
        tasks = [asyncio.create_task(beside.write()), asyncio.create_task(beside.beat())]
        began = time.perf_counter()
        await results.take_tests(database, runner, attempt, body, "zstd")
        stored = time.perf_counter() - began
        await database.write(ended, attempt)
        began = time.perf_counter()
        while await database.write(count_some):
            pass
        counted = time.perf_counter() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        found += [
            Figure(f"stored, {words}", stored, "s", floor_s(path), most=10.0),
            Figure(f"counted into figures, {words}", counted, "s"),
            Figure("another write meanwhile, p99", percentile(beside.writes, 0.99), "ms", most=50.0),
            Figure("the event loop's delay, p99", percentile(beside.loop, 0.99), "ms", most=50.0),
        ]
    await database.close()
    return found


def ended(tx: Tx, attempt: int) -> None:
    """The attempt has ended."""
    tx.conn.execute(update(attempts).where(attempts.c.id == attempt).values(finished_at=NOW, state="failed"))
    tests.to_be_counted(tx, attempt)


def floor_s(path: Path) -> float:
    """The rows alone."""
    began = time.perf_counter()
    with closing(sqlite3.connect(path.with_name("floor.sqlite3"))) as bare:
        bare.execute("CREATE TABLE IF NOT EXISTS r (a INTEGER, p INTEGER, t INTEGER, o TEXT, d REAL, n INTEGER)")
        bare.executemany(
            "INSERT INTO r VALUES (?, ?, ?, ?, ?, ?)", ((1, n, n, "passed", 0.01, 0) for n in range(COUNT))
        )
        bare.commit()
    return time.perf_counter() - began


async def filled(path: Path, builds: int) -> list[float]:
    """How long each list takes in a history of so many builds of 5,000 tests: the slowest list's times."""
    database = await open_database(f"sqlite:///{path}")

    def start(tx: Tx) -> int:
        return Filling(tx, NOW).repository("demo")

    repository = await database.write(start)
    for number in range(builds):

        def one(tx: Tx, number: int = number) -> None:
            filling = Filling(tx, NOW)
            filling._numbers[repository] = iter([number + 1])  # type: ignore[assignment]
            at = NOW - timedelta(hours=builds - number)
            filling.build(repository, filling.commit(repository, f"c{number}"), [JobRow("test")], at=at)
            attempt = tx.conn.execute(select(attempts.c.id).order_by(attempts.c.id.desc()).limit(1)).scalar_one()
            rows = [
                NewResult(f"t{n}", "failed" if (n * 7 + number) % 97 == 0 else "passed", 0.001 * (n % 91), 0, None)
                for n in range(5000)
            ]
            tests.put(tx, repository, attempt, rows)
            tests.to_be_counted(tx, attempt)

        await database.write(one)
        while await database.write(count_some):
            pass
    times = []
    for sort in SORTS:
        times += await lists_ms(database, repository, sort)
    await database.close()
    return times


async def lists_ms(database: Database, repository: int, sort: str) -> list[float]:
    """The first page of a list with the strips of its tests, often."""

    def page(tx: Tx) -> None:
        lines, _ = views.page(tx, repository, Asked(sort), 50)
        for line in lines:
            views.history(tx, line.id, 20, bare=True)
        views.totals(tx, repository)

    times = []
    for _ in range(20):
        began = time.perf_counter()
        await database.read(page)
        times.append((time.perf_counter() - began) * 1000)
    return times


def within(work: Callable[[Path], object]) -> object:
    """Do it in a folder of its own."""
    with folder() as where:
        return work(where / "m.sqlite3")


def main() -> int:
    """Measure both."""
    figures = within(lambda path: asyncio.run(measured(path)))
    assert isinstance(figures, list)
    small = within(lambda path: asyncio.run(filled(path, 10)))
    large = within(lambda path: asyncio.run(filled(path, 200)))
    assert isinstance(small, list)
    assert isinstance(large, list)
    figures.append(
        Figure("a list of 1,000,000 results, p99", percentile(large, 0.99), "ms", percentile(small, 0.99), most=50.0)
    )
    figures.append(Figure("the same, median", middle(large), "ms", middle(small)))
    show("Tests as data (floors: the rows alone; the same list with 50,000 results)", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
