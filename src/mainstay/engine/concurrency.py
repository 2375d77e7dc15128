"""Concurrency groups: at most one build, and one job, of a group at a time.

Without a word about it a newer one replaces the one that waits, as on GitHub; `in_order` (our own key) lets every one
have its turn, `cancel-in-progress` cancels what runs. A build that waits holds all its first jobs back.
"""

from datetime import datetime

from mainstay.flow import result as result_flow
from mainstay.model.changes import Change, FillJob, NewJob
from mainstay.model.job import Job
from mainstay.model.states import ENDED_JOB, JobState
from mainstay.store import builds, changes, jobs
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.workflow.instances import Group


def enter_build(tx: Tx, row: BuildRow, group: Group, now: datetime) -> str | None:
    """Take a build's place in its group; give why it has to wait, or None when it is its turn."""
    others = [other for other in builds.open_in_group(tx, row.repository_id, group.name) if other != row.id]
    why = f"{row.repository}#{row.number} came into the concurrency group {group.name}"
    active = None
    for other in others:
        found = jobs.of_build(tx, other)
        waits = any(job.waits_for == "build" for job in found)
        if group.cancel_in_progress or (waits and not group.in_order):
            _cancel_all(tx, found, f"cancelled: {why}", now)
        if any(job.state not in ENDED_JOB for job in jobs.of_build(tx, other)):
            active = other
    if active is None:
        return None
    ahead = builds.get(tx, active)
    return f"waits for {ahead.repository}#{ahead.number} in the concurrency group {group.name}"


def enter_job(tx: Tx, row: BuildRow, job: NewJob, now: datetime) -> NewJob:
    """Take a job's place in its group, if it has one; give the job as it is to be stored."""
    if job.concurrency_group is None or job.state != JobState.QUEUED:
        return job
    ahead = False
    for other in jobs.open_in_group(tx, row.repository_id, job.concurrency_group):
        if job.group.get("cancel") or (other.waits_for == "concurrency" and not job.group.get("in_order")):
            reason = f"cancelled: a newer job came into the concurrency group {job.concurrency_group}"
            changes.apply(tx, result_flow.cancel(jobs.get(tx, other.id), now, reason), now)
        ahead = ahead or jobs.get(tx, other.id).state not in ENDED_JOB
    return job.held("concurrency", f"waits in the concurrency group {job.concurrency_group}") if ahead else job


def leave_build(tx: Tx, row: BuildRow, now: datetime) -> list[int]:
    """Let the next build of a group go; give the builds that changed."""
    if row.concurrency_group is None:
        return []
    waiting = [other for other in builds.open_in_group(tx, row.repository_id, row.concurrency_group) if other != row.id]
    if not waiting or any(not _waits(jobs.of_build(tx, other)) for other in waiting):
        return []
    turn = waiting[0]
    following: list[Change] = [
        FillJob(job.id, release(tx, job), f"{row.repository}#{row.number} ended")
        for job in jobs.of_build(tx, turn)
        if job.waits_for == "build"
    ]
    changes.apply(tx, following, now)
    return [turn]


def leave_job(tx: Tx, job: Job, now: datetime) -> list[int]:
    """Let the next job of a group go; give the builds that changed."""
    if job.concurrency_group is None:
        return []
    others = jobs.open_in_group(tx, job.repository_id, job.concurrency_group)
    if not others or any(other.waits_for != "concurrency" for other in others):
        return []
    turn = jobs.get(tx, others[0].id)
    changes.apply(tx, [FillJob(turn.id, release(tx, turn), f"{job.name} ended")], now)
    return [turn.build_id]


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
