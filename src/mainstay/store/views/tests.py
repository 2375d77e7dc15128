"""Tests of a repository with their last results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select

from mainstay.store.database import Tx
from mainstay.store.schema import attempts, builds, jobs, test_results, tests
from mainstay.store.tests import digest_of


@dataclass(frozen=True, slots=True)
class TestHead:
    """A test by its name."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result of one test. `details` are kept of those that did not pass."""

    test_id: int
    outcome: str
    duration_s: float
    rerun: int
    attempt_id: int
    attempt: int
    job_id: int
    job: str
    build_id: int
    build_number: int
    commit: str
    tree: str
    ref: str
    at: datetime | None
    details: dict[str, Any] | None


def page(tx: Tx, repository_id: int, after: int, limit: int) -> list[TestHead]:
    """The tests with an id above `after`, in the order they were first seen."""
    query = select(tests.c.id, tests.c.name).where(tests.c.repository_id == repository_id, tests.c.id > after)
    return [TestHead(*row) for row in tx.conn.execute(query.order_by(tests.c.id).limit(limit))]


def by_name(tx: Tx, repository_id: int, name: str) -> TestHead | None:
    """One test by its whole name."""
    query = select(tests.c.id, tests.c.name).where(
        tests.c.repository_id == repository_id, tests.c.digest == digest_of(name)
    )
    row = tx.conn.execute(query).first()
    return None if row is None else TestHead(*row)


_outcomes = (
    select(
        test_results.c.test_id,
        test_results.c.outcome,
        test_results.c.duration_s,
        test_results.c.rerun,
        attempts.c.id,
        attempts.c.number,
        jobs.c.id,
        jobs.c.name,
        builds.c.id,
        builds.c.number,
        builds.c.commit,
        builds.c.tree,
        builds.c.ref,
        attempts.c.finished_at,
        test_results.c.details,
    )
    .join(attempts, attempts.c.id == test_results.c.attempt_id)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .join(builds, builds.c.id == jobs.c.build_id)
)


def _found(tx: Tx, query: Select[Any]) -> list[Outcome]:
    return [Outcome(*row) for row in tx.conn.execute(query)]


def history(tx: Tx, test_id: int, limit: int) -> list[Outcome]:
    """The last results of one test, newest first."""
    query = _outcomes.where(test_results.c.test_id == test_id)
    return _found(tx, query.order_by(test_results.c.attempt_id.desc(), test_results.c.position.desc()).limit(limit))


def failures(tx: Tx, attempt_ids: Sequence[int], limit: int) -> list[tuple[str, Outcome]]:
    """The tests that failed in these attempts with their names, in the order they were reported."""
    query = (
        _outcomes.add_columns(tests.c.name)
        .join(tests, tests.c.id == test_results.c.test_id)
        .where(test_results.c.attempt_id.in_(attempt_ids), test_results.c.outcome.in_(("failed", "error")))
        .order_by(test_results.c.attempt_id, test_results.c.position)
        .limit(limit)
    )
    return [(row[-1], Outcome(*row[:-1])) for row in tx.conn.execute(query)]
