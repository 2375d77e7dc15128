"""Makes a long history quickly: what a team of thirty leaves behind in a year, straight into the tables.

Rows are written as the database keeps them (milliseconds, JSON as text), many at once. Of 100,000 builds there are
200,000 jobs and attempts, 1,000,000 results of tests with their days and figures, 300,000 events, some thousand
branches, a queue that is full, and beside it what people did and were told (`_around.py`). The same numbers give the
same history, on SQLite and PostgreSQL.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import _around
from sqlalchemy import Table, column, insert, table
from tests.web.filling import Filling, sha_of

from mainstay.store.database import Database, Tx
from mainstay.store.dialect import reset_counters
from mainstay.store.schema import (
    attempts,
    audit,
    breaks,
    builds,
    commits,
    deliveries,
    events,
    jobs,
    metadata,
    people,
    pushes,
    refs,
    reports,
    test_results,
    tests,
)
from mainstay.store.tests import digest_of
from mainstay.store.types import milliseconds

CHUNK = 2_000
"""Builds that are made in one transaction."""
TESTS = 2_000
"""Tests of the repository; the first five are in every build, of the others five take turns."""
RESULTS = 10
"""Of each build."""
BRANCHES = 3_000
RUNNERS = 20
WAITING, QUEUED, RUNNING = 1_000, 500, 60
"""Open jobs at the end of the history."""
STATES = ("passed",) * 17 + ("failed", "failed", "cancelled")
REPOSITORY = 1
COUNTS = '{"passed":10,"failed":0,"error":0,"skipped":0}'
STEPS = '[{"number":1,"name":"Run pytest","state":"passed","exit_code":0}]'
JOBS = ("lint", "test (3.12)")
NOW = datetime.now(UTC)

Row = dict[str, Any]


async def make(database: Database, count: int, others: int = 20) -> None:
    """A repository `demo` with that many builds, and some other ones with a few."""
    await database.write(_begin, count, others)
    for start in range(1, count + 1, CHUNK):
        await database.write(_chunk, range(start, min(start + CHUNK, count + 1)), count)
    await database.write(_end, count)


def _put(tx: Tx, target: Table, rows: Iterable[Row]) -> None:
    """Insert rows as they are kept, without a look at types."""
    found = list(rows)
    if found:
        tx.conn.execute(insert(table(target.name, *(column(name) for name in found[0]))), found)


def _begin(tx: Tx, count: int, others: int) -> None:
    """The repository, its tests, the runners, some other repositories, and a build to copy from."""
    filling = Filling(tx, NOW)
    token = filling.token("runner", "mst_runner_bench", "bench")
    for number in range(RUNNERS):
        filling.runner(f"runner-{number}", token)
    assert filling.repository("demo", None) == REPOSITORY
    filling.build(REPOSITORY, filling.commit(REPOSITORY, "root"), [])
    for number in range(others):
        other = filling.repository(f"other-{number:02}", None)
        for text in ("one", "two", "three"):
            sha = filling.commit(other, f"{text} {number}", at=NOW - timedelta(days=400))
        filling.ref(other, "main", sha)
    names = {number: f"tests/test_part_{number % 97}.py::test_thing[{number}]" for number in range(1, TESTS + 1)}
    _put(
        tx,
        tests,
        ({"id": n, "repository_id": REPOSITORY, "name": name, "digest": digest_of(name)} for n, name in names.items()),
    )
    made = milliseconds(NOW)
    refs_ = {f"refs/heads/topic-{number}": number for number in range(BRANCHES)}
    refs_ |= {"refs/heads/main": 0} | {f"refs/tags/v{number}": number for number in range(200)}
    _put(
        tx,
        refs,
        (
            {"repository_id": REPOSITORY, "name": name, "commit": sha_of(str(count - n)), "moved_at": made - n * 60_000}
            for name, n in refs_.items()
        ),
    )


class _Chunk:
    """Some builds in a row, oldest first, with what hangs on them."""

    def __init__(self, numbers: range, count: int, shared: Row) -> None:
        self.numbers, self.count, self.shared = numbers, count, shared
        self.dice = random.Random(numbers.start)
        self.at = {n: milliseconds(NOW) - (count - n) * 300_000 - 60_000 for n in numbers}
        self.ref = {n: self._ref(n) for n in numbers}
        self.state = {n: self.dice.choice(STATES) for n in numbers}

    def _ref(self, number: int) -> str:
        return "refs/heads/main" if number % 3 else f"refs/heads/topic-{self.dice.randrange(BRANCHES)}"

    def commits(self) -> Iterator[Row]:
        """A line of commits; every tenth is a merge."""
        for n in self.numbers:
            parents = [sha_of(str(n - 1))] if n > 1 else []
            parents += [sha_of(str(n - 5))] if n % 10 == 0 else []
            yield {
                "repository_id": REPOSITORY,
                "sha": sha_of(str(n)),
                "tree": sha_of(f"tree {n}"),
                "parents": "[" + ",".join(f'"{parent}"' for parent in parents) + "]",
                "author": f"Person {n % 30}",
                "email": f"person{n % 30}@example.org",
                "authored_at": self.at[n],
                "committed_at": self.at[n],
                "subject": f"Change number {n} of the thing that people wanted",
                "message": f"Change number {n} of the thing that people wanted\n\nAnd why.",
            }

    def builds(self) -> Iterator[Row]:
        """One build of each commit."""
        for n in self.numbers:
            own = {"id": n + 1, "number": n + 1, "commit": sha_of(str(n)), "tree": sha_of(f"tree {n}")}
            yield self.shared | own | {"ref": self.ref[n], "created_at": self.at[n]}

    def jobs(self) -> Iterator[Row]:
        """Two jobs each; the last ones are still open."""
        base = {"matrix": "{}", "strategy": "{}", "needs": "[]", "labels": '["linux"]', "fit": "linux"}
        base |= {"allowed_to_fail": False, "priority": 0, "outputs": "{}", "time_limit_s": 60.0}
        base |= {"repository_id": REPOSITORY}
        for n in self.numbers:
            for place, name in enumerate(JOBS):
                state = self.open_state(n) or ("passed" if place == 0 else self.state[n])
                own = {"id": 2 * n + place, "build_id": n + 1, "key": name.split()[0], "name": name, "position": place}
                waits = "runner" if state == "waiting" else None
                reason = "no runner fits the labels linux" if waits else None
                yield base | own | {"state": state, "changed_at": self.at[n], "waits_for": waits, "reason": reason}

    def open_state(self, number: int) -> str | None:
        """Whether a build's jobs have not ended: the newest ones wait, those before are queued, those before run."""
        age = 2 * (self.count - number)
        for state, most in (
            ("waiting", WAITING),
            ("queued", WAITING + QUEUED),
            ("running", WAITING + QUEUED + RUNNING),
        ):
            if age < most and self.count > WAITING:
                return state
        return None

    def attempts(self) -> Iterator[Row]:
        """One try of each job that has come so far."""
        base = {"number": 1, "cause": "push", "steps": STEPS, "tests": COUNTS, "log_bytes": 0}
        for n in self.numbers:
            for place in range(len(JOBS)):
                open_state = self.open_state(n)
                if open_state == "waiting":
                    continue
                state = open_state or ("passed" if place == 0 else self.state[n])
                begun = open_state != "queued"
                runner = (2 * n + place) % RUNNERS
                end = self.at[n] + 20_000 + (n % 90) * 1_000
                yield base | {
                    "id": 2 * n + place,
                    "job_id": 2 * n + place,
                    "state": state,
                    "queued_at": self.at[n],
                    "started_at": self.at[n] + 800 if begun else None,
                    "finished_at": None if open_state else end,
                    "runner_id": runner + 1 if begun else None,
                    "runner": f"runner-{runner}" if begun else None,
                    "lease_until": milliseconds(NOW) + 86_400_000 if state == "running" else None,
                    "exit_code": {"passed": 0, "failed": 1}.get(state),
                }

    def results(self) -> Iterator[Row]:
        """Ten results of each build's second job."""
        for n in self.numbers:
            if self.open_state(n):
                continue
            chosen = [1, 2, 3, 4, 5, *(6 + (5 * n + more) % (TESTS - 5) for more in range(RESULTS - 5))]
            for place, test in enumerate(chosen):
                failed = self.state[n] == "failed" and place in (2, 7)
                yield {
                    "attempt_id": 2 * n + 1,
                    "position": place,
                    "test_id": test,
                    "outcome": "failed" if failed else "passed",
                    "duration_s": 0.01 * (1 + test % 50),
                    "rerun": 0,
                    "details": '{"message":"assert 1 == 2"}' if failed else None,
                }

    def events(self) -> Iterator[Row]:
        """The beginning and the end of each build."""
        for n in self.numbers:
            for kind, later in (("build.created", 0), ("job.started", 800), ("build.ended", 20_000)):
                own = {"repository_id": REPOSITORY, "build_id": n + 1, "job_id": None, "details": "{}"}
                yield own | {"at": self.at[n] + later, "kind": kind, "cause": "push"}

    def pushes(self) -> Iterator[Row]:
        """Each commit came by itself."""
        for n in self.numbers:
            own = {"repository_id": REPOSITORY, "ref": self.ref[n], "old": sha_of(str(n - 1)), "new": sha_of(str(n))}
            yield own | {"noticed_by": "poll", "at": self.at[n], "commits": 1, "note": None}


def _chunk(tx: Tx, numbers: range, count: int) -> None:
    found = tx.conn.exec_driver_sql("SELECT * FROM builds WHERE id = 1").mappings().one()
    chunk = _Chunk(numbers, count, dict(found))
    for target, rows in (
        (commits, chunk.commits()),
        (pushes, chunk.pushes()),
        (builds, chunk.builds()),
        (jobs, chunk.jobs()),
        (attempts, chunk.attempts()),
        (test_results, chunk.results()),
        (events, chunk.events()),
    ):
        _put(tx, target, rows)


def _end(tx: Tx, count: int) -> None:
    """What came of it; let the next ids follow. PostgreSQL learns by itself what it holds, so it is told to; SQLite
    has no statistics on a server either."""
    made = milliseconds(NOW)
    for target, rows in (
        (people, _around.people(made)),
        (audit, _around.audit(made)),
        (breaks, _around.breaks(count, made)),
        (reports, _around.reports(count, made)),
        (deliveries, _around.messages(count, made)),
    ):
        _put(tx, target, rows)
    _around.count_tests(tx)
    reset_counters(tx.conn, (each.columns["id"] for each in metadata.sorted_tables if "id" in each.columns))
    if tx.kind == "postgresql":
        tx.conn.exec_driver_sql("ANALYZE")
