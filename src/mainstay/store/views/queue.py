"""What waits and what runs. Open jobs are few beside the history, and only they are read."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, true

from mainstay.model.states import AttemptState, JobState
from mainstay.store.database import Tx
from mainstay.store.dialect import has_lateral
from mainstay.store.schema import attempts, builds, jobs, repositories, runners

SPANS = 250
"""Attempts of a runner that are looked at in one go."""
OPEN = (JobState.RUNNING, JobState.QUEUED, JobState.WAITING)


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that has not ended, and its newest attempt."""

    id: int
    name: str
    state: JobState
    reason: str | None
    priority: int
    labels: tuple[str, ...]
    build_id: int
    number: int
    repository_id: int
    repository: str
    commit: str
    ref: str
    since: datetime
    attempt: int | None
    runner: str | None
    runner_id: int | None
    started_at: datetime | None
    queued_at: datetime | None


def open_jobs(
    tx: Tx, state: JobState, limit: int, seen: frozenset[int] | None = None, ref: str | None = None
) -> list[OpenJob]:
    """Open jobs in one state: the next ones first for queued jobs, the oldest first for others.

    `seen`: only of these repositories; `ref`: only of this branch or tag.
    """
    # By build and id is how the index over states stands; by id alone SQLite reads the history until it has enough.
    order = (jobs.c.priority.desc(), jobs.c.id) if state is JobState.QUEUED else (jobs.c.build_id, jobs.c.id)
    first = select(jobs.c.id).where(jobs.c.state == state.value)
    if seen is not None:
        first = first.where(jobs.c.repository_id.in_(sorted(seen)))
    if ref is not None:
        first = first.join(builds, builds.c.id == jobs.c.build_id).where(builds.c.ref == ref)
    # Chosen before anything is joined to them: else PostgreSQL reads all jobs there are, to have them in order early.
    chosen = first.order_by(*order).limit(limit).subquery("chosen")
    tries = attempts.alias("tries")
    newest = select(func.max(tries.c.number)).where(tries.c.job_id == jobs.c.id).correlate(jobs).scalar_subquery()
    query = (
        select(
            jobs.c.id,
            jobs.c.name,
            jobs.c.state,
            jobs.c.reason,
            jobs.c.priority,
            jobs.c.labels,
            jobs.c.build_id,
            builds.c.number.label("build_number"),
            jobs.c.repository_id,
            repositories.c.name.label("repository"),
            builds.c.commit,
            builds.c.ref,
            jobs.c.changed_at,
            attempts.c.number.label("attempt"),
            attempts.c.runner,
            attempts.c.runner_id,
            attempts.c.started_at,
            attempts.c.queued_at,
        )
        .select_from(chosen)
        .join(jobs, jobs.c.id == chosen.c.id)
        .join(builds, builds.c.id == jobs.c.build_id)
        .join(repositories, repositories.c.id == jobs.c.repository_id)
        .outerjoin(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.number == newest))
        .order_by(*order)
    )
    return [_open_job(tuple(row)) for row in tx.conn.execute(query)]


def _open_job(row: tuple[Any, ...]) -> OpenJob:
    return OpenJob(row[0], row[1], JobState(row[2]), row[3], row[4], tuple(row[5]), *row[6:])


def counts(tx: Tx, seen: frozenset[int] | None = None, ref: str | None = None) -> dict[JobState, int]:
    """How many jobs are open, by state; with `seen` only those of these repositories, with `ref` of this branch."""
    query = select(jobs.c.state, func.count()).where(jobs.c.state.in_([state.value for state in OPEN]))
    if seen is not None:
        query = query.where(jobs.c.repository_id.in_(sorted(seen)))
    if ref is not None:
        query = query.join(builds, builds.c.id == jobs.c.build_id).where(builds.c.ref == ref)
    found = {JobState(row[0]): int(row[1]) for row in tx.conn.execute(query.group_by(jobs.c.state))}
    return {state: found.get(state, 0) for state in OPEN}


def counts_by_repository(tx: Tx) -> dict[int, dict[JobState, int]]:
    """The same per repository; repositories without open jobs are left out."""
    found: dict[int, dict[JobState, int]] = {}
    for state in OPEN:  # one look each: asked for all at once SQLite reads the whole index
        query = select(jobs.c.repository_id, func.count()).where(jobs.c.state == state.value)
        for row in tx.conn.execute(query.group_by(jobs.c.repository_id)):
            found.setdefault(row[0], {})[state] = int(row[1])
    return found


def open_builds(
    tx: Tx, states: Sequence[JobState], seen: frozenset[int] | None, ref: str | None, limit: int
) -> list[tuple[int, int]]:
    """Builds with jobs in these states, oldest first, each with its repository's id."""
    query = select(jobs.c.build_id, jobs.c.repository_id).where(jobs.c.state.in_([state.value for state in states]))
    if seen is not None:
        query = query.where(jobs.c.repository_id.in_(sorted(seen)))
    if ref is not None:
        query = query.join(builds, builds.c.id == jobs.c.build_id).where(builds.c.ref == ref)
    query = query.distinct().order_by(jobs.c.build_id).limit(limit)
    return [(row.build_id, row.repository_id) for row in tx.conn.execute(query)]


def repositories_of(tx: Tx, build_ids: Sequence[int]) -> dict[int, int]:
    """The repositories of these builds, by build; those there are."""
    query = select(builds.c.id, builds.c.repository_id).where(builds.c.id.in_(build_ids))
    return {row.id: row.repository_id for row in tx.conn.execute(query)}


def usual_seconds(tx: Tx, repository_id: int, last: int) -> dict[str, float]:
    """How long jobs of a repository took that passed, by name: the middle of what is among its last passed ones."""
    newest = (
        select(jobs.c.id, jobs.c.name)
        .where(jobs.c.repository_id == repository_id, jobs.c.state == JobState.PASSED.value)
        .order_by(jobs.c.build_id.desc())
        .limit(last)
        .subquery()
    )
    query = (
        select(newest.c.name, attempts.c.started_at, attempts.c.finished_at)
        .join(attempts, attempts.c.job_id == newest.c.id)
        .where(attempts.c.state == AttemptState.PASSED.value)
    )
    found: dict[str, list[float]] = {}
    for row in tx.conn.execute(query):
        if row.started_at is not None and row.finished_at is not None:
            found.setdefault(row.name, []).append((row.finished_at - row.started_at).total_seconds())
    return {name: statistics.median(spans) for name, spans in found.items()}


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that a runner holds or held."""

    attempt_id: int
    runner_id: int
    number: int
    state: AttemptState
    job_id: int
    job: str
    build_id: int
    build_number: int
    repository: str
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    repository_id: int


_last = (
    select(
        attempts.c.id,
        attempts.c.runner_id,
        attempts.c.number,
        attempts.c.state,
        jobs.c.id,
        jobs.c.name,
        builds.c.id,
        builds.c.number,
        repositories.c.name,
        attempts.c.started_at,
        attempts.c.finished_at,
        attempts.c.reason,
        jobs.c.repository_id,
    )
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .join(builds, builds.c.id == jobs.c.build_id)
    .join(repositories, repositories.c.id == jobs.c.repository_id)
    .order_by(attempts.c.id.desc())
)


def last_of_runners(tx: Tx, runner_ids: Sequence[int], limit: int, before: int | None = None) -> dict[int, list[Held]]:
    """The newest attempts of each of these runners, newest first; with `before` those older than that one.

    In one statement where that is less (see `views.tests.histories`).
    """
    newest = _last.limit(limit) if before is None else _last.where(attempts.c.id < before).limit(limit)
    found: dict[int, list[Held]] = {runner_id: [] for runner_id in runner_ids}
    if has_lateral(tx):
        last = newest.where(attempts.c.runner_id == runners.c.id).correlate(runners).lateral("last")
        query = select(*last.c).select_from(runners.join(last, true())).where(runners.c.id.in_(runner_ids))
        for row in tx.conn.execute(query.order_by(last.c[0].desc())):
            found[row[1]].append(_held(tuple(row)))
        return found
    for runner_id in runner_ids:
        rows = tx.conn.execute(newest.where(attempts.c.runner_id == runner_id))
        found[runner_id] = [_held(tuple(row)) for row in rows]
    return found


def _held(row: tuple[Any, ...]) -> Held:
    return Held(row[0], row[1], row[2], AttemptState(row[3]), *row[4:])


def spans_of_runner(
    tx: Tx, runner_id: int, since: datetime, limit: int
) -> list[tuple[datetime, datetime | None, AttemptState]]:
    """When a runner's attempts began and ended (None: not yet) that did not end before then, and how."""
    query = (
        select(attempts.c.id, attempts.c.started_at, attempts.c.finished_at, attempts.c.state)
        .where(attempts.c.runner_id == runner_id, attempts.c.started_at.is_not(None))
        .order_by(attempts.c.id.desc())
        .limit(SPANS)
    )
    found: list[tuple[datetime, datetime | None, AttemptState]] = []
    before: int | None = None
    for _ in range(0, limit, SPANS):
        rows = tx.conn.execute(query if before is None else query.where(attempts.c.id < before)).all()
        live = [row for row in rows if row.finished_at is None or row.finished_at >= since]
        found += [(row.started_at, row.finished_at, AttemptState(row.state)) for row in live]
        if len(rows) < SPANS or not live:  # What began before all of these has ended long ago.
            break
        before = rows[-1].id
    return found
