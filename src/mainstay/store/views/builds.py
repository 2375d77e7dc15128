"""Builds as lists and pages show them: found by keyset, newest first, with the states of their jobs."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from mainstay.model.states import JobState
from mainstay.store.database import Tx
from mainstay.store.dialect import parts
from mainstay.store.schema import attempts, builds, jobs, plans, repositories

FEW = 50
"""So many repositories are looked into one by one: somebody who sees few of many would else wait for a long walk."""
WINDOW = 1000
"""How many builds are looked at at once when most of them may not be wanted."""


@dataclass(frozen=True, slots=True)
class BuildHead:
    """A build without its jobs."""

    id: int
    number: int
    repository_id: int
    repository: str
    commit: str
    tree: str
    ref: str
    event: str
    workflow: str
    source: str
    reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class JobHead:
    """A job without its attempts; the span is from the first attempt's start to the last one's end."""

    id: int
    build_id: int
    key: str
    name: str
    state: JobState
    reason: str | None
    started_at: datetime | None
    finished_at: datetime | None
    tries: int
    """How many attempts it has."""


@dataclass(frozen=True, slots=True)
class Try:
    """When an attempt of a build was, and why."""

    number: int
    cause: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which builds a list is to hold. Empty: all of them."""

    repository_ids: tuple[int, ...] = ()
    ref: str | None = None
    commit: str | None = None
    """At least the first digits of one."""
    holding: frozenset[JobState] = frozenset()
    """Only builds with a job in one of these states."""

    @property
    def narrow(self) -> bool:
        """Whether more decides than the index over the states of a repository's jobs knows."""
        return self.ref is not None or self.commit is not None


_heads = select(
    builds.c.id,
    builds.c.number,
    builds.c.repository_id,
    repositories.c.name,
    builds.c.commit,
    builds.c.tree,
    builds.c.ref,
    builds.c.event,
    builds.c.workflow,
    builds.c.source,
    builds.c.reason,
    builds.c.created_at,
).join(repositories, repositories.c.id == builds.c.repository_id)


def _found(tx: Tx, query: Select[Any]) -> list[BuildHead]:
    return [BuildHead(*row) for row in tx.conn.execute(query)]


def heads(tx: Tx, build_ids: Sequence[int]) -> list[BuildHead]:
    """The builds with these ids, newest first."""
    query = _heads.where(builds.c.id.in_(build_ids), repositories.c.removed_at.is_(None))
    return _found(tx, query.order_by(builds.c.id.desc()))


def head(tx: Tx, build_id: int) -> BuildHead | None:
    """One build by its id."""
    found = heads(tx, [build_id])
    return found[0] if found else None


def of_jobs(tx: Tx, job_ids: Sequence[int]) -> dict[int, BuildHead]:
    """The builds of these jobs."""
    if not job_ids:
        return {}
    owners = tx.conn.execute(select(jobs.c.id, jobs.c.build_id).where(jobs.c.id.in_(job_ids[:500]))).all()
    known = {each.id: each for each in heads(tx, [owner.build_id for owner in owners])}
    return {owner.id: known[owner.build_id] for owner in owners if owner.build_id in known}


def id_of_number(tx: Tx, repository_id: int, number: int) -> int | None:
    """The id of the build with that number in its repository."""
    query = select(builds.c.id).where(builds.c.repository_id == repository_id, builds.c.number == number)
    return tx.conn.execute(query).scalar()


def of_commits(tx: Tx, repository_id: int, commits: Sequence[str]) -> list[BuildHead]:
    """All builds of these commits, newest first, but for those that search for a culprit: they are no verdict."""
    # Sorted here: asked to sort, SQLite reads the repository's whole history by id instead of the index over commits.
    query = _heads.where(
        builds.c.repository_id == repository_id, builds.c.commit.in_(commits), builds.c.event != "bisect"
    )
    return sorted(_found(tx, query), key=lambda head: -head.id)


def last_of_ref(tx: Tx, repository_id: int, ref: str, limit: int, before: int | None = None) -> list[BuildHead]:
    """The newest builds of a branch or tag, or of those before another build."""
    query = _heads.where(builds.c.repository_id == repository_id, builds.c.ref == ref)
    if before is not None:
        query = query.where(builds.c.id < before)
    return _found(tx, query.order_by(builds.c.id.desc()).limit(limit))


def beside(tx: Tx, head: BuildHead) -> tuple[BuildHead | None, BuildHead | None]:
    """The build before and the one after, of the same workflow on the same branch."""
    query = _heads.where(
        builds.c.repository_id == head.repository_id, builds.c.ref == head.ref, builds.c.workflow == head.workflow
    )
    before = _found(tx, query.where(builds.c.id < head.id).order_by(builds.c.id.desc()).limit(1))
    after = _found(tx, query.where(builds.c.id > head.id).order_by(builds.c.id).limit(1))
    return (before[0] if before else None), (after[0] if after else None)


def candidates(tx: Tx, wanted: Wanted, before: int | None, limit: int) -> tuple[list[int], int | None]:
    """Ids of builds older than `before` that may be wanted, newest first, and where to look on (None: at the end).

    A list may come back short or empty with a place to look on: the work of one call is bounded, not its luck.
    """
    if not wanted.holding:
        ids = _newest(tx, wanted, before, limit)
        return ids, ids[-1] if len(ids) == limit else None
    if wanted.narrow and JobState.PASSED in wanted.holding:
        return _passed(tx, wanted, before, limit)
    return _by_job_state(tx, wanted, before, limit)


def _newest(tx: Tx, wanted: Wanted, before: int | None, limit: int) -> list[int]:
    """The newest builds that fit everything but `holding`."""
    if len(wanted.repository_ids) == 1 or (wanted.ref is None and not 0 < len(wanted.repository_ids) <= FEW):
        query = _older(select(builds.c.id).where(*_conditions(wanted)), before, limit)
        return [row.id for row in tx.conn.execute(query)]
    found: list[int] = []  # one look into an index over (repository, ..., id) each, instead of a walk over all builds
    for repository_id in wanted.repository_ids:
        found += _newest(tx, replace(wanted, repository_ids=(repository_id,)), before, limit)
    return sorted(found, reverse=True)[:limit]


def _passed(tx: Tx, wanted: Wanted, before: int | None, limit: int) -> tuple[list[int], int | None]:
    """Most builds of a branch have a passed job, so it is looked for from build to build."""
    ids = _newest(tx, wanted, before, limit * 2)
    found: set[int] = set()
    for start in range(0, len(ids), 500):
        query = select(jobs.c.build_id).where(
            jobs.c.build_id.in_(ids[start : start + 500]), jobs.c.state.in_(_values(wanted.holding))
        )
        found.update(tx.conn.execute(query).scalars())
    return _cut([each for each in ids if each in found], limit, ids[-1] if len(ids) == limit * 2 else None)


def _by_job_state(tx: Tx, wanted: Wanted, before: int | None, limit: int) -> tuple[list[int], int | None]:
    """The builds are found through their jobs, by the indexes over their states."""
    size = WINDOW if wanted.narrow else limit
    found: set[int] = set()
    few = 0 < len(wanted.repository_ids) <= FEW
    scopes = [(each,) for each in wanted.repository_ids] if few else [wanted.repository_ids]
    # One look each: asked for several states or repositories at once SQLite reads all jobs by build.
    for state, scope in itertools.product(_values(wanted.holding), scopes):
        query = select(jobs.c.build_id).where(jobs.c.state == state)
        if scope:  # Also where they are many: what somebody may not see must not be found.
            query = query.where(jobs.c.repository_id.in_(scope))
        if before is not None:
            query = query.where(jobs.c.build_id < before)
        query = query.distinct().order_by(jobs.c.build_id.desc()).limit(size)
        found.update(tx.conn.execute(query).scalars())
    ids = sorted(found, reverse=True)[:size]
    rest = ids[-1] if len(ids) == size else None
    if not wanted.narrow or not ids:
        return ids, rest
    kept: list[int] = []
    for part in parts(ids):
        fitting = select(builds.c.id).where(builds.c.id.in_(part), *_conditions(wanted))
        kept.extend(tx.conn.execute(fitting).scalars())
    return _cut(sorted(kept, reverse=True), limit, rest)


def _cut(found: list[int], limit: int, rest: int | None) -> tuple[list[int], int | None]:
    return (found[:limit], found[limit - 1]) if len(found) > limit else (found, rest)


def _older(query: Select[tuple[int]], before: int | None, limit: int) -> Select[tuple[int]]:
    if before is not None:
        query = query.where(builds.c.id < before)
    return query.order_by(builds.c.id.desc()).limit(limit)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if len(wanted.repository_ids) == 1:
        found.append(builds.c.repository_id == wanted.repository_ids[0])
    elif wanted.repository_ids:
        found.append(builds.c.repository_id.in_(wanted.repository_ids))
    if wanted.ref is not None:
        found.append(builds.c.ref == wanted.ref)
    if wanted.commit is not None:
        # A range instead of LIKE, so that the index over (repository, commit) is used; "g" follows the hex digits.
        found += [builds.c.commit >= wanted.commit, builds.c.commit < wanted.commit + "g"]
    return found


def _values(states: Iterable[JobState]) -> list[str]:
    return sorted(state.value for state in states)


def job_heads(tx: Tx, build_ids: Sequence[int]) -> dict[int, list[JobHead]]:
    """The jobs of each of these builds, in their order, with their spans."""
    found: dict[int, list[JobHead]] = {build_id: [] for build_id in build_ids}
    for start in range(0, len(build_ids), 500):
        query = (
            select(
                jobs.c.id,
                jobs.c.build_id,
                jobs.c.key,
                jobs.c.name,
                jobs.c.state,
                jobs.c.reason,
                func.min(attempts.c.started_at).label("started_at"),
                func.max(attempts.c.finished_at).label("finished_at"),
                func.count(attempts.c.id).label("tries"),
            )
            .outerjoin(attempts, attempts.c.job_id == jobs.c.id)
            .where(jobs.c.build_id.in_(build_ids[start : start + 500]))
            .group_by(jobs.c.id)
            .order_by(jobs.c.position, jobs.c.id)
        )
        for row in tx.conn.execute(query):
            found[row.build_id].append(
                JobHead(
                    row.id,
                    row.build_id,
                    row.key,
                    row.name,
                    JobState(row.state),
                    row.reason,
                    row.started_at,
                    row.finished_at,
                    row.tries,
                )
            )
    return found


def tries(tx: Tx, build_ids: Sequence[int]) -> dict[int, list[Try]]:
    """When the attempts of these builds were."""
    found: dict[int, list[Try]] = {build_id: [] for build_id in build_ids}
    query = select(
        jobs.c.build_id,
        attempts.c.number,
        attempts.c.cause,
        attempts.c.queued_at,
        attempts.c.started_at,
        attempts.c.finished_at,
    ).join(attempts, attempts.c.job_id == jobs.c.id)
    for start in range(0, len(build_ids), 500):
        for build_id, *values in tx.conn.execute(query.where(jobs.c.build_id.in_(build_ids[start : start + 500]))):
            found[build_id].append(Try(*values))
    return found


@dataclass(frozen=True, slots=True)
class AttemptPlace:
    """Where an attempt belongs: what the log's page and its requests need to know."""

    id: int
    number: int
    job_id: int
    build_id: int
    repository: str


def attempt_place(tx: Tx, job_id: int, number: int | None) -> AttemptPlace | None:
    """One attempt of a job by its number; the newest one for None."""
    query = (
        select(attempts.c.id, attempts.c.number, jobs.c.id, jobs.c.build_id, repositories.c.name)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(repositories, repositories.c.id == jobs.c.repository_id)
        .where(attempts.c.job_id == job_id, repositories.c.removed_at.is_(None))
    )
    query = query.order_by(attempts.c.number.desc()) if number is None else query.where(attempts.c.number == number)
    row = tx.conn.execute(query.limit(1)).first()
    return None if row is None else AttemptPlace(*row)


@dataclass(frozen=True, slots=True)
class AttemptNotes:
    """What an attempt left beside its log."""

    attempt_id: int
    annotations: list[dict[str, Any]]
    summary: str | None
    log_notice: str | None


def notes(tx: Tx, attempt_ids: Sequence[int]) -> dict[int, AttemptNotes]:
    """The annotations and summaries of these attempts, where there are any."""
    columns = (attempts.c.id, attempts.c.annotations, attempts.c.summary, attempts.c.log_notice)
    query = select(*columns).where(attempts.c.id.in_(attempt_ids))
    return {
        row.id: AttemptNotes(row.id, row.annotations or [], row.summary, row.log_notice)
        for row in tx.conn.execute(query)
        if row.annotations or row.summary or row.log_notice
    }


def newest_plan(tx: Tx, repository_id: int, ref: str) -> str | None:
    """The digest of the plan of a ref's newest build."""
    query = select(builds.c.plan).where(builds.c.repository_id == repository_id, builds.c.ref == ref)
    return tx.conn.execute(query.order_by(builds.c.id.desc()).limit(1)).scalar()


def plan_problems(tx: Tx, build_id: int) -> list[dict[str, Any]]:
    """What is wrong with the workflow file a build came from."""
    query = select(plans.c.body).join(builds, builds.c.plan == plans.c.digest).where(builds.c.id == build_id)
    body = tx.conn.execute(query).scalar()
    return [] if body is None else list(body.get("problems", ()))
