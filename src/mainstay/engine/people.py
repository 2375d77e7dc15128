"""What people ask for: cancel, run again, drain. Each is stored with who asked, in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from mainstay.engine.begin import again
from mainstay.engine.settle import came_into_group, settle, settle_others
from mainstay.flow import build as build_flow
from mainstay.flow import result as result_flow
from mainstay.model.errors import BadInput, Conflict
from mainstay.model.events import Event, EventKind
from mainstay.model.job import Job
from mainstay.model.person import Actor
from mainstay.model.states import ENDED_JOB, JobState
from mainstay.store import audit, builds, changes, events, jobs, runners
from mainstay.store.database import Tx

MOST_PRIORITY = 2000
BAD_ENDS = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.ALLOWED})


def cancel_build(
    tx: Tx, actor: Actor, build_id: int, reason: str | None, now: datetime, job_name: str | None = None
) -> None:
    """Stop all jobs of a build that have not ended, or one of them. Raises Conflict when there are none."""
    jobs.lock_build(tx, build_id)
    row = builds.get(tx, build_id)
    found = _chosen(jobs.of_build(tx, build_id), False, job_name)
    found = [job for job in found if job.state not in ENDED_JOB]
    if not found:
        what = f"build {row.repository}#{row.number}" if job_name is None else f"the job {job_name[:200]}"
        raise Conflict(f"{what} has ended; there is nothing to cancel")
    cause = f"cancelled by {actor}" + (f": {reason}" if reason else "")
    asked = Event(
        EventKind.BUILD_CANCEL_ASKED, now, cause, repository_id=row.repository_id, build_id=build_id, actor=actor.name
    )
    events.add(tx, [asked])
    name = f"{row.repository}#{row.number}"
    detail = ": ".join(filter(None, (job_name, reason)))
    audit.add(tx, actor, "build.cancel", name, now, detail=detail, repository_id=row.repository_id)
    for job in found:
        changes.apply(tx, result_flow.cancel(job, now, cause), now)
    settle(tx, build_id, now, cause)


def prioritise(tx: Tx, actor: Actor, build_id: int, priority: int, now: datetime) -> int:
    """Let a build's open jobs go before or after others; give how many there are. Raises BadInput, Conflict.

    What its workflow said of its jobs among themselves stays.
    """
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise BadInput(f"a priority is a whole number from {-MOST_PRIORITY} to {MOST_PRIORITY}, not {priority}")
    jobs.lock_build(tx, build_id)
    row = builds.get(tx, build_id)
    name = f"{row.repository}#{row.number}"
    moved = builds.prioritise(tx, build_id, priority)
    if not moved:
        raise Conflict(f"build {name} has ended; nothing of it waits")
    cause = f"priority {row.priority} -> {priority} by {actor}"
    told = Event(
        EventKind.BUILD_PRIORITISED, now, cause, repository_id=row.repository_id, build_id=build_id, actor=actor.name
    )
    events.add(tx, [told])
    detail = f"{row.priority} -> {priority}"
    audit.add(tx, actor, "build.prioritise", name, now, detail=detail, repository_id=row.repository_id)
    tx.wake("queue")
    return moved


def supersede(tx: Tx, repository_id: int, ref: str, newer: Sequence[int], now: datetime) -> None:
    """Cancel the builds of a ref that have not started and are older than new ones; only where its policy says so."""
    for build_id in builds.waiting_on_ref(tx, repository_id, ref, min(newer)):
        jobs.lock_build(tx, build_id)
        for job in jobs.of_build(tx, build_id):
            if job.state in (JobState.WAITING, JobState.QUEUED):
                changes.apply(tx, result_flow.cancel(job, now, "superseded by a newer commit"), now)
        settle(tx, build_id, now, "superseded by a newer commit")


def rerun_build(
    tx: Tx, actor: Actor, build_id: int, failed_only: bool, job_name: str | None, now: datetime
) -> tuple[str, ...]:
    """Queue new attempts of jobs that have ended: all, those that failed, or one; give their names.

    Jobs that need one of them run again as well, as on GitHub, and a job never goes before what it needs.
    """
    jobs.lock_build(tx, build_id)
    row = builds.get(tx, build_id)
    found = jobs.of_build(tx, build_id)
    chosen = _with_dependents(_chosen(found, failed_only, job_name), found)
    cause = f"{build_flow.RUN_AGAIN}{actor}"
    touched: set[int] = set()
    following = again(tx, row, chosen, found, cause, now, touched)
    if not following:
        raise Conflict(_nothing_to_run(f"{row.repository}#{row.number}", found, failed_only))
    asked = Event(
        EventKind.BUILD_RERUN_ASKED, now, cause, repository_id=row.repository_id, build_id=build_id, actor=actor.name
    )
    events.add(tx, [asked])
    name, what = f"{row.repository}#{row.number}", ", ".join(job.name for job in chosen)
    audit.add(tx, actor, "build.rerun", name, now, detail=what, repository_id=row.repository_id)
    changes.apply(tx, following, now)
    settle(tx, build_id, now, cause)
    settle_others(tx, touched - {build_id}, now, came_into_group(row))
    return tuple(job.name for job in chosen if job.state in ENDED_JOB)


def _chosen(found: list[Job], failed_only: bool, job_name: str | None) -> list[Job]:
    if job_name is not None:
        named = [job for job in found if job_name in (job.name, job.key)]
        if not named:
            names = ", ".join(job.name for job in found[:20])
            raise BadInput(f"the build has no job {job_name[:200]!r}; its jobs are {names}")
        return named
    return [job for job in found if not failed_only or job.state in BAD_ENDS]


def _with_dependents(chosen: list[Job], found: list[Job]) -> list[Job]:
    """Those that need one that is chosen come along, and those that need them in turn, however they ended."""
    keys = {job.key for job in chosen if job.attempts}
    along: set[str] = set()
    while more := {job.key for job in found if not (keys | along).isdisjoint(job.needs)} - along:
        along |= more
    ids = {job.id for job in chosen}
    return [job for job in found if job.id in ids or job.key in along]


def _nothing_to_run(name: str, found: list[Job], failed_only: bool) -> str:
    if any(job.state not in ENDED_JOB for job in found):
        return f"build {name} is still open; cancel it first or wait for its end"
    return f"no job of build {name} has failed" if failed_only else f"build {name} has no job that ran"


def drain_runner(tx: Tx, actor: Actor, runner_id: int, draining: bool, now: datetime) -> None:
    """Let a runner take no new work, or take work again."""
    row = runners.row(tx, runner_id)
    runners.change(tx, runner_id, draining=draining)
    word = "drained" if draining else "resumed"
    event = Event(
        EventKind.RUNNER_DRAINING, now, f"{row.name} {word} by {actor}", runner_id=runner_id, actor=actor.name
    )
    events.add(tx, [event])
    audit.add(tx, actor, "runner.drain" if draining else "runner.resume", row.name, now)
    tx.wake(f"runner:{runner_id}")
    tx.wake("runners")


def remove_runner(tx: Tx, actor: Actor, runner_id: int, now: datetime) -> None:
    """Forget a runner. One that holds work is drained first, by a person's order."""
    row = runners.row(tx, runner_id)
    if jobs.held_by(tx, [runner_id]):
        raise Conflict(f"runner {row.name} holds running jobs; drain it and wait for their end, then remove it")
    runners.change(tx, runner_id, removed_at=now, boot="removed")
    event = Event(
        EventKind.RUNNER_OFFLINE, now, f"{row.name} removed by {actor}", runner_id=runner_id, actor=actor.name
    )
    events.add(tx, [event])
    audit.add(tx, actor, "runner.remove", row.name, now)
    tx.wake(f"runner:{runner_id}")
    tx.wake("runners")
