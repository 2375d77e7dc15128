"""Tests as one branch has them: which attempts speak for it, and which tests failed there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, select

from mainstay.model.states import OPEN_JOB
from mainstay.store.database import Tx
from mainstay.store.schema import attempts, builds, jobs, test_results, tests

LAST_BUILDS = 20
"""Builds of a branch that are looked at."""
MOST_ATTEMPTS = 500
"""So that a page stays quick whatever the matrix of the branch is."""
FAILURES = ("failed", "error")


@dataclass(frozen=True, slots=True)
class OnBranch:
    """The attempts that tell how tests stand on a branch."""

    attempts: tuple[int, ...]
    """Of its last builds."""
    tip: tuple[int, ...]
    """The last ones of the jobs of the newest build of each workflow that has ended and ran tests."""


def of_branch(tx: Tx, repository_id: int, ref: str) -> OnBranch:
    """The attempts of a branch's last builds."""
    newest = (
        select(builds.c.id)
        .where(builds.c.repository_id == repository_id, builds.c.ref == ref, builds.c.event != "bisect")
        .order_by(builds.c.id.desc())
        .limit(LAST_BUILDS)
    )
    query = (
        select(attempts.c.id, attempts.c.tests, jobs.c.id, jobs.c.state, builds.c.id, builds.c.source)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(builds, builds.c.id == jobs.c.build_id)
        .where(builds.c.id.in_(newest))
        .order_by(builds.c.id.desc(), attempts.c.id.desc())
        .limit(MOST_ATTEMPTS)
    )
    rows = tx.conn.execute(query).all()
    still = {row[4] for row in rows if row[3] in OPEN_JOB}
    tested = {row[4] for row in rows if sum((row[1] or {}).values())}
    speaks: dict[str, int] = {}
    last: dict[int, int] = {}
    for attempt, _, job, _, build, source in rows:
        if build in tested and build not in still and speaks.setdefault(source, build) == build:
            last.setdefault(job, attempt)
    return OnBranch(tuple(row[0] for row in rows), tuple(last.values()))


def failing(tip: Sequence[int]) -> Any:
    """The ids of the tests whose last try failed in one of these attempts, as a query."""
    later = test_results.alias()
    tried_again = exists().where(
        later.c.test_id == test_results.c.test_id,
        later.c.attempt_id == test_results.c.attempt_id,
        later.c.position > test_results.c.position,
    )
    return select(test_results.c.test_id).where(
        test_results.c.attempt_id.in_(tip), test_results.c.outcome.in_(FAILURES), ~tried_again
    )


def ran(tip: Sequence[int], *outcomes: str) -> Any:
    """Whether a test of the outer query has a result in these attempts, of these outcomes (none: of any)."""
    found = exists().where(test_results.c.test_id == tests.c.id, test_results.c.attempt_id.in_(tip))
    return found.where(test_results.c.outcome.in_(outcomes)) if outcomes else found


def count_failing(tx: Tx, tip: Sequence[int]) -> int:
    """How many tests fail there."""
    query = failing(tip).distinct().subquery()
    return int(tx.conn.execute(select(func.count()).select_from(query)).scalar_one())


def states(tx: Tx, tip: Sequence[int], test_ids: Sequence[int]) -> dict[int, str]:
    """How each of these tests stands there: `failed`, `passed` or `skipped`."""
    seen = (
        select(test_results.c.test_id, test_results.c.outcome)
        .where(test_results.c.attempt_id.in_(tip), test_results.c.test_id.in_(test_ids))
        .distinct()
    )
    found: dict[int, str] = {}
    for test_id, outcome in tx.conn.execute(seen):
        if found.get(test_id) != "passed":
            found[test_id] = "skipped" if outcome == "skipped" else "passed"
    failed = failing(tip).where(test_results.c.test_id.in_(test_ids))
    return found | dict.fromkeys(tx.conn.execute(failed).scalars(), "failed")
