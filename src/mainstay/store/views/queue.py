"""What waits and what runs. Open jobs are few beside the history, and only they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from mainstay.model.states import AttemptState, JobState
from mainstay.store.database import Tx
from mainstay.store.schema import attempts, builds, jobs, repositories

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
    repository: str
    commit: str
    ref: str
    since: datetime
    attempt: int | None
    runner: str | None
    started_at: datetime | None
    queued_at: datetime | None


def open_jobs(tx: Tx, state: JobState, limit: int, seen: frozenset[int] | None = None) -> list[OpenJob]:
    """Open jobs in one state: the next ones first for queued jobs, the oldest first for others.

    `seen`: only of these repositories.
    """
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
            repositories.c.name.label("repository"),
            builds.c.commit,
            builds.c.ref,
            jobs.c.changed_at,
            attempts.c.number.label("attempt"),
            attempts.c.runner,
            attempts.c.started_at,
            attempts.c.queued_at,
        )
        .join(builds, builds.c.id == jobs.c.build_id)
        .join(repositories, repositories.c.id == jobs.c.repository_id)
        .outerjoin(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.number == newest))
        .where(jobs.c.state == state.value)
        .limit(limit)
    )
    if seen is not None:
        query = query.where(jobs.c.repository_id.in_(sorted(seen)))
    # By build and id is how the index over states stands; by id alone SQLite reads the history until it has enough.
    order = (jobs.c.priority.desc(), jobs.c.id) if state is JobState.QUEUED else (jobs.c.build_id, jobs.c.id)
    return [_open_job(tuple(row)) for row in tx.conn.execute(query.order_by(*order))]


def _open_job(row: tuple[Any, ...]) -> OpenJob:
    return OpenJob(row[0], row[1], JobState(row[2]), row[3], row[4], tuple(row[5]), *row[6:])


def counts(tx: Tx, seen: frozenset[int] | None = None) -> dict[JobState, int]:
    """How many jobs are open, by state; with `seen` only those of these repositories."""
    query = select(jobs.c.state, func.count()).where(jobs.c.state.in_([state.value for state in OPEN]))
    if seen is not None:
        query = query.where(jobs.c.repository_id.in_(sorted(seen)))
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


def last_of_runners(tx: Tx, runner_ids: Sequence[int], limit: int) -> dict[int, list[Held]]:
    """The newest attempts of each of these runners, newest first."""
    found: dict[int, list[Held]] = {}
    for runner_id in runner_ids:
        query = (
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
            .where(attempts.c.runner_id == runner_id)
            .order_by(attempts.c.id.desc())
            .limit(limit)
        )
        found[runner_id] = [_held(tuple(row)) for row in tx.conn.execute(query)]
    return found


def _held(row: tuple[Any, ...]) -> Held:
    return Held(row[0], row[1], row[2], AttemptState(row[3]), *row[4:])
