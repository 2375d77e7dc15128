"""The last 50 builds by the API with 1,000 and with 100,000 builds in the tables: it must not grow with the history.

The floor is the bare query: 50 rows of the table by its primary key, in SQLite.
"""

import asyncio
import random
import sqlite3
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _figures import Figure, middle, percentile, show
from _place import Api, folder
from sqlalchemy import insert
from tests.system.stand import Stand
from tests.web.filling import Filling, sha_of

from mainstay.store.database import Tx, open_database
from mainstay.store.schema import attempts, builds, jobs

ASKED = 400
NOW = datetime.now(UTC)
COUNTS = {"passed": 120, "failed": 0, "error": 0, "skipped": 3}


def fill(tx: Tx, count: int) -> None:
    """A history of builds with one job each, straight into the tables."""
    filling = Filling(tx, NOW)
    repository = filling.repository("demo", None)
    first = filling.build(repository, filling.commit(repository, "root"), [])
    [row] = tx.conn.execute(builds.select().where(builds.c.id == first)).mappings()
    shared = {key: value for key, value in row.items() if key not in ("id", "number", "commit", "created_at", "ref")}
    random.seed(count)
    for start in range(2, count + 2, 2000):
        numbers = range(start, min(start + 2000, count + 2))
        at = {number: NOW - timedelta(seconds=30 * (count - number)) for number in numbers}
        state = {number: random.choice(("passed", "passed", "passed", "failed")) for number in numbers}
        tx.conn.execute(
            insert(builds),
            [
                shared
                | {"id": number, "number": number, "commit": sha_of(str(number)), "created_at": at[number]}
                | {"ref": random.choice(("refs/heads/main", "refs/heads/topic"))}
                for number in numbers
            ],
        )
        base = {"key": "test", "name": "test", "position": 0, "matrix": {}, "strategy": {}, "needs": []}
        base |= {"labels": ["linux"], "fit": "linux", "allowed_to_fail": False, "priority": 0, "outputs": {}}
        base |= {"repository_id": repository, "time_limit_s": 60.0, "reason": None, "waits_for": None}
        tx.conn.execute(
            insert(jobs),
            [base | {"id": n, "build_id": n, "state": state[n], "changed_at": at[n]} for n in numbers],
        )
        tried = {"number": 1, "cause": "push", "runner": "local-1", "steps": [], "tests": COUNTS, "exit_code": 0}
        tx.conn.execute(
            insert(attempts),
            [
                tried
                | {"id": n, "job_id": n, "state": state[n], "queued_at": at[n], "started_at": at[n]}
                | {"finished_at": at[n] + timedelta(seconds=20)}
                for n in numbers
            ],
        )


async def filled(path: Path, count: int) -> None:
    """A database of that many builds."""
    database = await open_database(f"sqlite:///{path}")
    await database.write(fill, count)
    await database.close()


def asked_ms(api: Api, path: str) -> list[float]:
    """How long each of many answers took, after some that warm the caches."""
    times = []
    for number in range(ASKED + 50):
        began = time.perf_counter()
        api.raw(path)
        if number >= 50:
            times.append((time.perf_counter() - began) * 1000)
    return times


def floor_ms(path: Path) -> float:
    """The bare query."""
    connection = sqlite3.connect(path)
    times = []
    for _ in range(ASKED):
        began = time.perf_counter()
        connection.execute("SELECT * FROM builds ORDER BY id DESC LIMIT 50").fetchall()
        times.append((time.perf_counter() - began) * 1000)
    return percentile(times, 0.99)


def main() -> int:
    """Measure both sizes."""
    figures = []
    found: dict[tuple[str, int], list[float]] = {}
    for count in (1_000, 100_000):
        with folder() as where:
            path = where / "data" / "mainstay.sqlite3"
            asyncio.run(filled(path, count))
            floor = floor_ms(path)
            stand = Stand(where).serve()
            try:
                api = Api(stand)
                for name, query in (
                    ("last 50 builds", "/builds?limit=50"),
                    ("last 50 that failed", "/builds?limit=50&state=failed"),
                    ("last 50 of a branch", "/builds?limit=50&branch=topic&repo=demo"),
                    ("one commit", f"/builds?commit={sha_of('500')}"),
                ):
                    times = asked_ms(api, query)
                    found[name, count] = times
                    goal = 10.0 if name == "last 50 builds" else None
                    words = f"{name} of {count:,}, p99"
                    note = f"median {middle(times):.2f}"
                    figures.append(Figure(words, percentile(times, 0.99), "ms", floor, most=goal, note=note))
            finally:
                stand.close()
    small, large = (middle(found["last 50 builds", count]) for count in (1_000, 100_000))
    figures.append(Figure("growth: median of 100,000 / of 1,000", large / small, "x", most=1.2))
    show("History by the API (floor: the bare query's p99)", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
