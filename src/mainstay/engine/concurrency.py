"""Concurrency groups: at most one build, and one job, of a group at a time.

Without a word about it a newer one replaces the one that waits, as on GitHub; `in_order` (our own key) lets every one
have its turn, `cancel-in-progress` cancels what runs. A build that waits holds all its first jobs back.

Who comes into a group and who leaves one look at each other, so both lock the repository first: else one that comes
could wait for one that leaves and has not seen it.
"""

from collections.abc import Sequence
from datetime import datetime

from mainstay.flow import result as result_flow
from mainstay.model.changes import Change, FillJob, NewJob
from mainstay.model.job import Job
from mainstay.model.states import ENDED_JOB, JobState
from mainstay.store import builds, changes, jobs, repositories
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.workflow.instances import Group


def enter_build(tx: Tx, row: BuildRow, group: Group, now: datetime, touched: set[int]) -> str | None:
    """Take a build's place in its group; give why it has to wait, or None when it is its turn.

    `touched` is given the builds of which jobs were cancelled: they are to be settled once this one has its jobs.
    """
    repositories.lock(tx, row.repository_id)
    others = [other for other in builds.open_in_group(tx, row.repository_id, group.name) if other != row.id]
    why = f"{row.repository}#{row.number} came into the concurrency group {group.name}"
    active = None
    for other in others:
        jobs.lock_build(tx, other)
        found = jobs.of_build(tx, other)
        waits = any(job.waits_for == "build" for job in found)
        if group.cancel_in_progress or (waits and not group.in_order):
            _cancel_all(tx, found, f"cancelled: {why}", now)
            touched.add(other)
        if any(job.state not in ENDED_JOB for job in jobs.of_build(tx, other)):
            active = other
    if active is None:
        return None
    ahead = builds.get(tx, active)
    return f"waits for {ahead.repository}#{ahead.number} in the concurrency group {group.name}"


def enter_job(tx: Tx, row: BuildRow, job: NewJob, now: datetime, touched: set[int]) -> NewJob:
    """Take a job's place in its group, if it has one; give the job as it is to be stored.

    `touched` is given the builds of which jobs were cancelled: they are to be settled once this job is stored.
    """
    if job.concurrency_group is None or job.state != JobState.QUEUED:
        return job
    repositories.lock(tx, row.repository_id)
    ahead = False
    for other in jobs.open_in_group(tx, row.repository_id, job.concurrency_group):
        if job.group.get("cancel") or (other.waits_for == "concurrency" and not job.group.get("in_order")):
            reason = f"cancelled: a newer job came into the concurrency group {job.concurrency_group}"
            jobs.lock_build(tx, other.build_id)
            changes.apply(tx, result_flow.cancel(jobs.get(tx, other.id), now, reason), now)
            touched.add(other.build_id)
        ahead = ahead or jobs.get(tx, other.id).state not in ENDED_JOB
    return job.held("concurrency", f"waits in the concurrency group {job.concurrency_group}") if ahead else job


def leave_build(tx: Tx, row: BuildRow, now: datetime) -> None:
    """Let the next build of a group go, where one has ended."""
    if row.concurrency_group is None:
        return
    repositories.lock(tx, row.repository_id)
    waiting = [other for other in builds.open_in_group(tx, row.repository_id, row.concurrency_group) if other != row.id]
    if not waiting or any(not _waits(jobs.of_build(tx, other)) for other in waiting):
        return
    turn = waiting[0]
    following: list[Change] = [
        FillJob(job.id, release(tx, job), f"{row.repository}#{row.number} ended")
        for job in jobs.of_build(tx, turn)
        if job.waits_for == "build"
    ]
    changes.apply(tx, following, now)


def leave_jobs(tx: Tx, found: Sequence[Job], now: datetime) -> bool:
    """Let the next job of each group go that one of these has left; whether any did. May be said twice.

    A job may have left its group without having run: cancelled while it was queued, or with its build.
    """
    moved = False
    for job in found:
        if job.concurrency_group is None or job.state not in ENDED_JOB:
            continue
        repositories.lock(tx, job.repository_id)
        others = jobs.open_in_group(tx, job.repository_id, job.concurrency_group)
        if not others or any(other.waits_for != "concurrency" for other in others):
            continue
        turn = jobs.get(tx, others[0].id)
        changes.apply(tx, [FillJob(turn.id, release(tx, turn), f"{job.name} ended")], now)
        moved = True
    return moved


def release(tx: Tx, job: Job) -> NewJob:
    """A job that was held back, as it is queued now."""
    return NewJob(
        key=job.key,
        name=job.name,
        position=job.position,
        state=JobState.QUEUED,
        matrix=job.matrix,
        strategy=job.strategy,
        needs=job.needs,
        labels=job.labels,
        allowed_to_fail=job.allowed_to_fail,
        priority=job.priority,
        time_limit_s=jobs.time_limit(tx, job.id),
        concurrency_group=job.concurrency_group,
    )


def _waits(found: list[Job]) -> bool:
    """Whether a build has not begun because another of its group is open."""
    return any(job.waits_for == "build" for job in found)


def _cancel_all(tx: Tx, found: list[Job], reason: str, now: datetime) -> None:
    for job in found:
        changes.apply(tx, result_flow.cancel(job, now, reason), now)
