"""Tests of a repository as lists and pages show them: by their figures, and with their last results."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, literal_column, null, or_, select, true

from mainstay.store.database import Tx
from mainstay.store.dialect import has_lateral
from mainstay.store.schema import attempts, builds, jobs, test_figures, test_results, tests
from mainstay.store.tests import digest_of
from mainstay.store.views import tests_on
from mainstay.store.views.tests_on import FAILURES, OnBranch

NOTHING: Any = literal_column("0")
"""A zero that stands in the query itself: only then is a partial index found to fit."""
FAILED: Any = test_results.c.outcome.in_([literal_column(f"'{outcome}'") for outcome in FAILURES])
"""The same for results that failed, worded as their index is."""


@dataclass(frozen=True, slots=True)
class TestLine:
    """A test with its figures, which `flow.flaky` explains. One that was not counted yet has no state."""

    __test__ = False

    id: int
    name: str
    state: str | None
    """How it ended in the newest build it was in."""
    runs: int
    failures: int
    trees: int
    flaky_trees: int
    score: float
    duration_s: float
    """Mean of its runs in the window."""
    ran_at: datetime | None
    broke_at: datetime | None
    """When it began to fail, the last time it did."""

    @property
    def flaky(self) -> bool:
        """Whether both outcomes were seen on one tree."""
        return self.flaky_trees > 0


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
    runner: str | None = None
    event: str = "push"


@dataclass(frozen=True, slots=True)
class Sort:
    """What a list is sorted by, and which tests are in it at all."""

    column: Any
    rising: bool = False
    only: Any = None


SORTS = {
    "newest": Sort(test_figures.c.broke_at, only=test_figures.c.broke_at.is_not(None)),
    "flaky": Sort(test_figures.c.score, only=test_figures.c.score > NOTHING),
    "failing": Sort(test_figures.c.failures, only=test_figures.c.failures > NOTHING),
    "slow": Sort(test_figures.c.duration_s),
    "unrun": Sort(test_figures.c.ran_at, rising=True),
    "all": Sort(tests.c.id, rising=True),
}
"""The lists there are, by the name that stands in addresses."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a repository's tests is asked for."""

    sort: str = "all"
    state: str | None = None
    """`failed` (errors count), `passed`, `skipped` or `flaky`; None: all."""
    search: str | None = None
    """A part of the name, whatever its case."""
    after: tuple[Any, int] | None = None
    """Value and id of the last test of the page before."""
    names: tuple[str, ...] | None = None
    """Only tests of these names."""
    ref: str | None = None
    """Only tests that the last builds of this branch ran; `state` is then how they stand there."""


_lines = select(
    tests.c.id,
    tests.c.name,
    test_figures.c.state,
    func.coalesce(test_figures.c.runs, 0),
    func.coalesce(test_figures.c.failures, 0),
    func.coalesce(test_figures.c.trees, 0),
    func.coalesce(test_figures.c.flaky, 0),
    func.coalesce(test_figures.c.score, 0.0),
    func.coalesce(test_figures.c.duration_s, 0.0),
    test_figures.c.ran_at,
    test_figures.c.broke_at,
)


def page(
    tx: Tx, repository_id: int, asked: Asked, limit: int, on: OnBranch | None = None
) -> tuple[list[TestLine], tuple[Any, int] | None]:
    """A page of tests, and where to go on (None: that were all). `on`: the branch's attempts, where they are known."""
    if asked.ref is not None and on is None:
        on = tests_on.of_branch(tx, repository_id, asked.ref)
    sort = SORTS[asked.sort]
    of_all = asked.sort == "all"
    query = _lines.add_columns(sort.column.label("sorted_by")).select_from(tests)
    query = query.join(test_figures, test_figures.c.test_id == tests.c.id, isouter=of_all)
    query = query.where((tests if of_all else test_figures).c.repository_id == repository_id)
    if sort.only is not None:
        query = query.where(sort.only)
    for condition in _conditions(asked, on):
        query = query.where(condition)
    own_id = tests.c.id if of_all else test_figures.c.test_id
    if asked.after is not None:
        value, last = asked.after
        further = (sort.column > value, own_id > last) if sort.rising else (sort.column < value, own_id < last)
        query = query.where(or_(further[0], and_(sort.column == value, further[1])))
    order = (sort.column, own_id) if sort.rising else (sort.column.desc(), own_id.desc())
    rows = tx.conn.execute(query.order_by(*order).limit(limit + 1)).all()
    lines = [TestLine(*row[:-1]) for row in rows[:limit]]
    if on is not None:
        there = tests_on.states(tx, on.tip, [line.id for line in lines])
        lines = [replace(line, state=there.get(line.id)) for line in lines]
    return lines, (rows[limit - 1].sorted_by, lines[-1].id) if len(rows) > limit else None


def _conditions(asked: Asked, on: OnBranch | None) -> list[Any]:
    found: list[Any] = [] if on is None else [tests_on.ran(on.tip)]
    match asked.state:
        case "failed" if on is not None:
            found.append(tests.c.id.in_(tests_on.failing(on.tip)))
        case "passed" if on is not None:
            found += [tests_on.ran(on.tip, "passed"), tests.c.id.not_in(tests_on.failing(on.tip))]
        case "skipped" if on is not None:
            found.append(~tests_on.ran(on.tip, "passed", *FAILURES))
        case "failed":
            found.append(test_figures.c.state.in_(FAILURES))
        case "flaky":
            found.append(test_figures.c.score > NOTHING)
        case "passed" | "skipped":
            found.append(test_figures.c.state == asked.state)
    if asked.search:
        found.append(func.lower(tests.c.name).contains(asked.search.lower(), autoescape=True))
    if asked.names is not None:
        found.append(tests.c.digest.in_([digest_of(name) for name in asked.names]))
    return found


@dataclass(frozen=True, slots=True)
class Totals:
    """How many tests of a repository are how."""

    tests: int
    failing: int
    flaky: int


def totals(tx: Tx, repository_id: int) -> Totals:
    """Count a repository's tests."""
    own = test_figures.c
    all_of = select(func.count()).where(tests.c.repository_id == repository_id)
    failing = select(func.count()).where(own.repository_id == repository_id, own.state.in_(FAILURES))
    flaky = select(func.count()).where(own.repository_id == repository_id, own.score > NOTHING)
    return Totals(*(tx.conn.execute(query).scalar_one() for query in (all_of, failing, flaky)))


def by_name(tx: Tx, repository_id: int, name: str) -> TestLine | None:
    """One test by its whole name."""
    query = _lines.select_from(tests).join(test_figures, test_figures.c.test_id == tests.c.id, isouter=True)
    row = tx.conn.execute(
        query.where(tests.c.repository_id == repository_id, tests.c.digest == digest_of(name))
    ).first()
    return None if row is None else TestLine(*row)


_place = (
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
)


def _joined(query: Select[Any]) -> Select[Any]:
    return (
        query.join(attempts, attempts.c.id == test_results.c.attempt_id)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(builds, builds.c.id == jobs.c.build_id)
    )


_outcomes = _joined(select(*_place, test_results.c.details, attempts.c.runner, builds.c.event))
_bare = _joined(select(*_place, null(), attempts.c.runner, builds.c.event))
"""The same without the texts, for strips."""


def history(
    tx: Tx, test_id: int, limit: int, *, bare: bool = False, within: Sequence[int] | None = None
) -> list[Outcome]:
    """The last results of one test, newest first; `bare`: without details, `within`: of these attempts only."""
    query = (_bare if bare else _outcomes).where(test_results.c.test_id == test_id)
    if within is not None:
        query = query.where(test_results.c.attempt_id.in_(within))
    newest = query.order_by(test_results.c.attempt_id.desc(), test_results.c.position.desc()).limit(limit)
    return [Outcome(*row) for row in tx.conn.execute(newest)]


def histories(
    tx: Tx, test_ids: Sequence[int], limit: int, within: Sequence[int] | None = None
) -> dict[int, list[Outcome]]:
    """The last results of each of these tests, newest first, without details; `within`: of these attempts only.

    In one statement where the database can look up each test's own: on PostgreSQL every statement is a way there and
    back, and is planned.
    """
    if not has_lateral(tx):
        return {each: history(tx, each, limit, bare=True, within=within) for each in test_ids}
    own = _bare.add_columns(test_results.c.position).where(test_results.c.test_id == tests.c.id)
    if within is not None:
        own = own.where(test_results.c.attempt_id.in_(within))
    newest = (test_results.c.attempt_id.desc(), test_results.c.position.desc())
    last = own.order_by(*newest).limit(limit).correlate(tests).lateral("last")
    query = select(*last.c).select_from(tests.join(last, true())).where(tests.c.id.in_(test_ids))
    found: dict[int, list[Outcome]] = {each: [] for each in test_ids}
    rows = sorted(tx.conn.execute(query), key=lambda row: (row[4], row[-1]), reverse=True)  # by attempt and position
    for row in rows:
        found[row[0]].append(Outcome(*row[:-1]))
    return found


def last_failure(tx: Tx, test_id: int) -> Outcome | None:
    """The newest result of a test that failed, with its texts."""
    query = _outcomes.where(test_results.c.test_id == test_id, FAILED)
    row = tx.conn.execute(
        query.order_by(test_results.c.attempt_id.desc(), test_results.c.position.desc()).limit(1)
    ).first()
    return None if row is None else Outcome(*row)


def failures(tx: Tx, attempt_ids: Sequence[int], limit: int) -> list[tuple[str, Outcome]]:
    """The tests that failed in these attempts with their names, in the order they were reported."""
    query = (
        _outcomes.add_columns(tests.c.name)
        .join(tests, tests.c.id == test_results.c.test_id)
        .where(test_results.c.attempt_id.in_(attempt_ids), test_results.c.outcome.in_(FAILURES))
        .order_by(test_results.c.attempt_id, test_results.c.position)
        .limit(limit)
    )
    return [(row[-1], Outcome(*row[:-1])) for row in tx.conn.execute(query)]
