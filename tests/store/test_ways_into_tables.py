"""Reads that every page or every runner asks for go by an index that is as quick after 100,000 builds.

SQLite is asked for its plan on a file without statistics, as a server's is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.web.filling import NOON, Filling

from mainstay.store import deliveries, jobs, runners
from mainstay.store.database import Tx, open_database
from mainstay.store.views import commits, tests

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
