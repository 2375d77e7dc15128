"""Reads that every page or every runner asks for go by an index that is as quick after 100,000 builds.

SQLite is asked for its plan on a file without statistics, as a server's is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update
from tests.web.filling import NOON, Filling, JobRow, TestRow

from mainstay.model.states import JobState
from mainstay.store import deliveries, jobs, runners
from mainstay.store.database import Database, Tx, open_database
from mainstay.store.schema import jobs as all_jobs
from mainstay.store.views import commits, queue, tests

pytestmark = pytest.mark.anyio

SOME = [f"{number:040x}" for number in range(50)]


def ways(tx: Tx, ask: Callable[[Tx], object]) -> list[str]:
    """How SQLite goes about the reads that are asked."""
    found: list[str] = []

    def explain(_conn: Any, cursor: Any, statement: str, given: Any, *_rest: Any) -> None:
        rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)
        found.extend(row[3] for row in rows)

    event.listen(tx.conn, "before_cursor_execute", explain)
    try:
        ask(tx)
    finally:
        event.remove(tx.conn, "before_cursor_execute", explain)
    return found


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda tx: tests.last_failure(tx, 1), "ix_test_results_failures (test_id=?)"),
        (lambda tx: runners.one(tx, 1, NOON, 60), "ix_attempts_held (runner_id=?)"),
        (lambda tx: jobs.held_by(tx, [1, 2]), "ix_attempts_held (runner_id=?)"),
        (lambda tx: deliveries.backlog(tx, 1), "ix_deliveries_waiting (kind=?)"),
        (lambda tx: commits.job_states(tx, 1, SOME), "(repository_id=? AND commit=?)"),
        (
            lambda tx: commits.window(tx, 1, "refs/heads/main", before=2, after=None, size=50),
            "(repository_id=? AND commit=?)",
        ),
    ],
)
async def test_it_reads_no_whole_history(tmp_path: Path, ask: Callable[[Tx], object], index: str) -> None:
    def look(tx: Tx) -> list[str]:
        filling = Filling(tx)
        filling.runner("one")
        repository = filling.repository("demo")
        sha = filling.commit(repository, "first")
        filling.build(repository, sha, [])
        return ways(tx, ask)

    database = await open_database(f"sqlite:///{tmp_path / 'some.sqlite3'}")
    try:
        found = await database.write(look)
    finally:
        await database.close()
    assert any(index in way for way in found), found
    assert not any("(repository_id=?)" in way or "SCAN" in way for way in found), found


async def test_the_open_jobs_are_chosen_by_an_index_before_anything_is_joined_to_them(database: Database) -> None:
    """PostgreSQL chose by what it was told of rows and limits to read all jobs with three processes: how the statement
    is put leaves it no choice."""
    statements: list[str] = []

    def heard(*given: Any) -> None:
        statements.append(given[2])

    def look(tx: Tx) -> list[int]:
        filling = Filling(tx)
        demo, other = filling.repository("demo"), filling.repository("other")
        for number in range(3):
            filling.build(demo, filling.commit(demo, f"c{number}"), [JobRow("a", "queued"), JobRow("b", "passed")])
        filling.build(other, filling.commit(other, "o"), [JobRow("a", "queued")])
        tx.conn.execute(update(all_jobs).where(all_jobs.c.id == 3).values(priority=9))
        event.listen(tx.conn, "before_cursor_execute", heard)
        assert [each.id for each in queue.open_jobs(tx, JobState.QUEUED, 2)] == [3, 1]
        assert [each.repository for each in queue.open_jobs(tx, JobState.QUEUED, 9, frozenset({other}))] == ["other"]
        assert len(queue.open_jobs(tx, JobState.QUEUED, 9, ref="refs/heads/main")) == 4
        assert queue.open_jobs(tx, JobState.QUEUED, 9, ref="refs/heads/none") == []
        event.remove(tx.conn, "before_cursor_execute", heard)
        return [each.id for each in queue.open_jobs(tx, JobState.QUEUED, 9)]

    found = await database.write(look)
    assert (found[0], sorted(found)) == (3, [1, 3, 5, 7])
    for statement in statements:
        inner = statement[statement.index("FROM (SELECT") :]
        assert "LIMIT" in inner[: inner.index("chosen")], statement


async def test_the_results_of_many_tests_are_those_of_each(database: Database) -> None:
    def look(tx: Tx) -> None:
        filling = Filling(tx)
        demo = filling.repository("demo")
        for number in range(4):
            rows = [TestRow("a"), TestRow("b", "failed"), TestRow("b")][: 1 + number]
            filling.build(demo, filling.commit(demo, f"c{number}"), [JobRow("x", tests=rows), JobRow("y", tests=rows)])
        ids = [line.id for name in ("a", "b") if (line := tests.by_name(tx, demo, name)) is not None]
        assert len(ids) == 2
        for limit in (1, 3, 20):
            for within in (None, [], [2, 3, 5]):
                each = {one: tests.history(tx, one, limit, bare=True, within=within) for one in ids}
                assert tests.histories(tx, ids, limit, within) == each
        assert len(tests.histories(tx, ids, 20)[ids[0]]) == 8
        assert tests.histories(tx, [], 5) == {}

    await database.write(look)


async def test_the_newest_attempts_of_many_runners_are_those_of_each(database: Database) -> None:
    def look(tx: Tx) -> None:
        filling = Filling(tx)
        demo = filling.repository("demo")
        here = [filling.runner(name) for name in ("one", "two", "idle")]
        for number in range(8):
            sha = filling.commit(demo, f"c{number}")
            filling.build(demo, sha, [JobRow(), JobRow("b", "failed")], runner=(here[number % 2], "a name"))
        for limit, before in ((1, None), (5, None), (50, None), (3, 12)):
            found = queue.last_of_runners(tx, here, limit, before)
            assert list(found) == here
            assert found[here[2]] == []
            for each in here:
                assert found[each] == queue.last_of_runners(tx, [each], limit, before)[each]
                ids = [one.attempt_id for one in found[each]]
                assert ids == sorted(ids, reverse=True)
                assert len(ids) <= limit
        assert [len(found) for found in queue.last_of_runners(tx, here, 50).values()] == [8, 8, 0]

    await database.write(look)
