"""What follows for a build when one of its jobs has changed: start what may start, stop what must, tell its end.

Runs inside the transaction of the change that caused it, and again for every change it makes, until nothing follows.
Whoever ends a job, in whatever way, settles its build: only here the next of its groups is let go.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from mainstay.engine import concurrency, unfold
from mainstay.flow import build as build_flow
from mainstay.flow import result as result_flow
from mainstay.model.changes import AddJob, Change, FillJob, NewJob, Tell
from mainstay.model.events import Event, EventKind
from mainstay.model.job import Job
from mainstay.model.states import ENDED_BUILD, ENDED_JOB, BuildState, JobState
from mainstay.store import breaks, builds, changes, events, jobs, plans, reports
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx

MAX_ROUNDS = 300
"""A build has at most 256 jobs; each round ends or starts at least one of them."""


def settle(tx: Tx, build_id: int, now: datetime, cause: str) -> BuildState:
    """Carry a build forward after a change of its jobs; give its state."""
    for _ in range(MAX_ROUNDS):
        found = jobs.of_build(tx, build_id)
        if concurrency.leave_jobs(tx, found, now):
            found = jobs.of_build(tx, build_id)  # the next one may be its own
        state = build_flow.state(found)
        if state in ENDED_BUILD:
            row = builds.get(tx, build_id)
            _tell_end(tx, row, state, now, cause)
            concurrency.leave_build(tx, row, now)
            return state
        touched: set[int] = set()
        following = _following(tx, build_id, found, now, touched)
        if not following:
            return state
        changes.apply(tx, following, now)
        settle_others(tx, touched - {build_id}, now, came_into_group(builds.get(tx, build_id)))
    raise RuntimeError(f"build {build_id} did not settle in {MAX_ROUNDS} rounds")


def settle_others(tx: Tx, touched: Iterable[int], now: datetime, cause: str) -> None:
    """Carry builds forward of which jobs were cancelled for the sake of another one."""
    for build_id in sorted(touched):
        settle(tx, build_id, now, cause)


def came_into_group(row: BuildRow) -> str:
    """Why jobs of others were cancelled, in words."""
    return f"{row.repository}#{row.number} came into their concurrency group"


def _following(tx: Tx, build_id: int, found: Sequence[Job], now: datetime, touched: set[int]) -> list[Change]:
    """The next changes that follow from the present states, or none."""
    following: list[Change] = list(_fail_fast(found, now))
    if following:
        return following
    ready = [job for job in found if job.waits_for == "needs" and build_flow.needs_ended(job, found)]
    if ready:
        row = builds.get(tx, build_id)
        for job in ready:
            following.extend(_start(tx, row, job, found, now, touched))
        return following
    return list(_within_limits(tx, found))


def _start(tx: Tx, row: BuildRow, job: Job, found: Sequence[Job], now: datetime, touched: set[int]) -> list[Change]:
    """Put the real jobs in the place of one that waited for its needs."""
    plan = plans.get(tx, row.plan)
    cause = f"{', '.join(job.needs)} ended"
    new = unfold.ready(tx, row, plan, unfold.planned(plan, job.key), found, job.position, now)
    if job.attempts or sum(other.key == job.key for other in found) > 1:
        new = [unfold.again(job, new)]
    first, *rest = [concurrency.enter_job(tx, row, each, now, touched) for each in new]
    following: list[Change] = [FillJob(job.id, first, cause)]
    following.extend(AddJob(row.id, row.repository_id, other, cause) for other in rest)
    following.append(_tell(_kind(first), row.repository_id, row.id, job.id, now, first.reason or cause))
    return following


def _kind(job: NewJob) -> EventKind:
    if job.state in ENDED_JOB:
        return EventKind.JOB_ENDED
    return EventKind.JOB_QUEUED if job.state == JobState.QUEUED else EventKind.JOB_WAITING


def _fail_fast(found: Sequence[Job], now: datetime) -> list[Change]:
    """Cancel the other jobs of a matrix in which one has failed, unless it says `fail-fast: false`."""
    failed = {job.key: job for job in found if job.state == JobState.FAILED and job.strategy.get("fail-fast")}
    following: list[Change] = []
    for job in found:
        if job.key in failed and job.state not in ENDED_JOB and not _came_later(job, failed[job.key]):
            if any(attempt.cancel_reason for attempt in job.attempts if attempt.finished_at is None):
                continue
            reason = f"{failed[job.key].name} failed (fail-fast)"
            following.extend(result_flow.cancel(job, now, reason))
    return following


def _came_later(job: Job, failed: Job) -> bool:
    """Whether somebody wanted this job after that one had failed: then they knew."""
    if job.strategy.get("job-total", 1) <= 1:
        return True
    ended_at = failed.attempts[-1].finished_at if failed.attempts else None
    return bool(ended_at and job.attempts and job.attempts[-1].queued_at > ended_at)


def _within_limits(tx: Tx, found: Sequence[Job]) -> list[Change]:
    """Queue the next jobs of a matrix held back by `max-parallel`."""
    following: list[Change] = []
    for job in found:
        if job.waits_for != "max-parallel":
            continue
        limit = int(job.strategy.get("max-parallel") or 1)
        active = sum(
            1 for other in found if other.key == job.key and other.state in (JobState.QUEUED, JobState.RUNNING)
        )
        active += sum(1 for change in following if isinstance(change, FillJob) and change.job.key == job.key)
        if active < limit:
            following.append(FillJob(job.id, concurrency.release(tx, job), "a place of max-parallel became free"))
    return following


def _tell_end(tx: Tx, row: BuildRow, state: BuildState, now: datetime, cause: str) -> None:
    event = Event(
        EventKind.BUILD_ENDED,
        now,
        cause,
        repository_id=row.repository_id,
        build_id=row.id,
        details={"state": state.value},
    )
    events.add(tx, [event])
    # What people are told follows from it, but not here: no build waits for messages.
    reports.judge_later(tx, row.repository_id, row.ref, row.id, now)
    breaks.look_later(tx, row.id, row.ref, row.event)


def _tell(kind: EventKind, repository_id: int, build_id: int, job_id: int, now: datetime, cause: str) -> Tell:
    return Tell(Event(kind, now, cause, repository_id=repository_id, build_id=build_id, job_id=job_id))
