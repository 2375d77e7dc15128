"""Figures of tests: rows that `engine.figures` counts from results, each attempt once, some results at a time.

They follow from the results and are never set by hand. The row in `test_counting` moves on in the transaction that
counts, so that a kill in between counts nothing twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, select, update

from mainstay.store.database import Tx
from mainstay.store.dialect import for_update_skip_locked, parts, upsert, upsert_adding
from mainstay.store.schema import attempts, builds, jobs, test_counting, test_days, test_figures, test_results


@dataclass(frozen=True, slots=True)
class Due:
    """An attempt whose results are to be counted from `position` on."""

    attempt_id: int
    position: int
    finished_at: datetime
    job_id: int
    job: str
    build_id: int
    repository_id: int
    tree: str
    event: str


@dataclass(frozen=True, slots=True)
class Counted:
    """One result, as it is counted."""

    position: int
    test_id: int
    outcome: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class DayRow:
    """What is added to one day of a test."""

    test_id: int
    day: int
    runs: int
    failures: int
    trees: int
    flaky: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FigureRow:
    """How a test stands."""

    test_id: int
    repository_id: int
    state: str
    build_id: int
    runs: int
    failures: int
    trees: int
    flaky: int
    score: float
    duration_s: float
    ran_at: datetime
    broke_at: datetime | None


_due = (
    select(
        test_counting.c.attempt_id,
        test_counting.c.position,
        attempts.c.finished_at,
        jobs.c.id,
        jobs.c.name,
        builds.c.id,
        builds.c.repository_id,
        builds.c.tree,
        builds.c.event,
    )
    .join(attempts, attempts.c.id == test_counting.c.attempt_id)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .join(builds, builds.c.id == jobs.c.build_id)
    .where(attempts.c.finished_at.is_not(None))
    .order_by(test_counting.c.attempt_id)
    .limit(1)
)


def due(tx: Tx) -> Due | None:
    """The next attempt to count, locked; those that another server counts are passed over."""
    row = tx.conn.execute(for_update_skip_locked(tx, _due, of=test_counting)).first()
    return None if row is None else Due(*row)


def move_on(tx: Tx, attempt_id: int, position: int | None) -> None:
    """Its results before `position` are counted; None: all of them are."""
    mine = test_counting.c.attempt_id == attempt_id
    if position is None:
        tx.conn.execute(delete(test_counting).where(mine))
    else:
        tx.conn.execute(update(test_counting).where(mine).values(position=position))


_next = (
    select(test_results.c.position, test_results.c.test_id, test_results.c.outcome, test_results.c.duration_s)
    .where(test_results.c.attempt_id == bindparam("which"), test_results.c.position >= bindparam("start"))
    .order_by(test_results.c.position)
    .limit(bindparam("most"))
)


def results(tx: Tx, attempt_id: int, start: int, limit: int) -> list[Counted]:
    """Results of an attempt in their order."""
    rows = tx.conn.execute(_next, {"which": attempt_id, "start": start, "most": limit})
    return [Counted(*row) for row in rows]


_counted = ~exists().where(test_counting.c.attempt_id == attempts.c.id)
_siblings = (
    select(attempts.c.id)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .join(builds, builds.c.id == jobs.c.build_id)
    .where(
        builds.c.repository_id == bindparam("in_repository"),
        builds.c.tree == bindparam("tree"),
        builds.c.event != "bisect",
        jobs.c.name == bindparam("job"),
        attempts.c.id != bindparam("which"),
        attempts.c.finished_at.is_not(None),
        attempts.c.state != "lost",
        _counted,
    )
    .order_by(attempts.c.id.desc())
    .limit(50)
)


def siblings(tx: Tx, of: Due) -> list[int]:
    """The attempts of the same job on the same tree that were counted before; the last 50."""
    asked = {"in_repository": of.repository_id, "tree": of.tree, "job": of.job, "which": of.attempt_id}
    return list(tx.conn.execute(_siblings, asked).scalars())


_beside = (
    select(attempts.c.id, attempts.c.job_id, attempts.c.number)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .where(jobs.c.build_id == bindparam("which"), attempts.c.finished_at.is_not(None), attempts.c.state != "lost")
)


def beside(tx: Tx, build_id: int) -> list[tuple[int, int, int]]:
    """The ended attempts of a build: id, job and number."""
    return [tuple(row) for row in tx.conn.execute(_beside, {"which": build_id})]


_outcomes = (
    select(test_results.c.test_id, test_results.c.attempt_id, test_results.c.outcome)
    .where(
        test_results.c.test_id.in_(bindparam("which", expanding=True)),
        test_results.c.attempt_id.in_(bindparam("of_attempts", expanding=True)),
    )
    .order_by(test_results.c.test_id, test_results.c.attempt_id, test_results.c.position)
)


def outcomes(tx: Tx, test_ids: Sequence[int], attempt_ids: Sequence[int]) -> list[tuple[int, int, str]]:
    """Test, attempt and outcome of what those attempts say of those tests, each attempt's in its order."""
    found: list[tuple[int, int, str]] = []
    if attempt_ids:
        for part in parts(test_ids):
            rows = tx.conn.execute(_outcomes, {"which": part, "of_attempts": list(attempt_ids)})
            found.extend(tuple(row) for row in rows)
    return found


_figures = select(test_figures).where(test_figures.c.test_id.in_(bindparam("which", expanding=True)))


def known(tx: Tx, test_ids: Sequence[int]) -> dict[int, FigureRow]:
    """The figures of these tests; those there are."""
    found: dict[int, FigureRow] = {}
    for part in parts(test_ids):
        for row in tx.conn.execute(_figures, {"which": part}):
            found[row.test_id] = FigureRow(**row._mapping)
    return found


def put(tx: Tx, rows: Iterable[FigureRow]) -> None:
    """Write figures, each in place of the test's former ones."""
    own = test_figures.c
    changed = [column for column in own if column.name not in ("test_id", "repository_id")]
    values = [asdict(row) for row in rows]
    if values:
        tx.conn.execute(upsert(tx, test_figures, [own.test_id], changed), values)


def add_days(tx: Tx, rows: Iterable[DayRow]) -> None:
    """Add to the days of tests."""
    own = test_days.c
    added = (own.runs, own.failures, own.trees, own.flaky, own.seconds)
    values = [asdict(row) for row in rows]
    if values:
        tx.conn.execute(upsert_adding(tx, test_days, [own.test_id, own.day], added), values)


_sums = (
    select(
        test_days.c.test_id,
        func.sum(test_days.c.runs),
        func.sum(test_days.c.failures),
        func.sum(test_days.c.trees),
        func.sum(test_days.c.flaky),
        func.sum(test_days.c.seconds),
    )
    .where(test_days.c.test_id.in_(bindparam("which", expanding=True)), test_days.c.day > bindparam("after"))
    .group_by(test_days.c.test_id)
)


def sums(tx: Tx, test_ids: Sequence[int], after_day: int) -> dict[int, DayRow]:
    """What the days after `after_day` add up to, by test."""
    found: dict[int, DayRow] = {}
    for part in parts(test_ids):
        for row in tx.conn.execute(_sums, {"which": part, "after": after_day}):
            found[row[0]] = DayRow(row[0], after_day, *(_plain(value) for value in row[1:]))
    return found


def _plain(value: Any) -> Any:
    """PostgreSQL gives sums of whole numbers as decimals."""
    return value if isinstance(value, float) else int(value)


def days(tx: Tx, test_id: int, limit: int = 366) -> list[DayRow]:
    """The last days on which a test ran, newest first."""
    query = select(test_days).where(test_days.c.test_id == test_id).order_by(test_days.c.day.desc()).limit(limit)
    return [DayRow(**row._mapping) for row in tx.conn.execute(query)]
