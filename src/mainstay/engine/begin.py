"""The beginning of a build, and of its jobs anew: its first jobs, and its turn in its concurrency group."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mainstay.engine import concurrency, contexts, given, unfold
from mainstay.engine.settle import came_into_group, settle, settle_others
from mainstay.flow import quarantine
from mainstay.flow import result as result_flow
from mainstay.model.changes import Change, NewJob
from mainstay.model.errors import MainstayError
from mainstay.model.job import Job
from mainstay.model.plan import Plan
from mainstay.model.states import ENDED_JOB, OPEN_JOB, JobState
from mainstay.store import builds, changes, plans
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.workflow.contexts import job_contexts
from mainstay.workflow.instances import Group, build_group


def begin(tx: Tx, build_id: int, plan: Plan, cause: str, now: datetime) -> None:
    """Give a build that was just stored its jobs."""
    row = builds.get(tx, build_id)
    first = _first_jobs(tx, row, plan, now)
    group = _group(tx, row, plan)
    touched: set[int] = set()
    if group is not None:
        reason = concurrency.enter_build(tx, row, group, now, touched)
        builds.set_group(tx, build_id, group.name, reason)
        if reason is not None:
            first = [job.held("build", reason) if job.state == JobState.QUEUED else job for job in first]
    for job in first:
        changes.add_job(tx, build_id, row.repository_id, concurrency.enter_job(tx, row, job, now, touched), cause, now)
    if build_id in touched or any(job.state not in OPEN_JOB for job in first):
        settle(tx, build_id, now, cause)
    settle_others(tx, touched - {build_id}, now, came_into_group(row))


def again(
    tx: Tx, row: BuildRow, chosen: Sequence[Job], found: Sequence[Job], cause: str, now: datetime, touched: set[int]
) -> list[Change]:
    """What follows when jobs of a build that have ended are to run again: each in its turn, as when it began.

    A build that has ended left its concurrency group, and comes into it anew; so does each of its jobs. `touched` is
    given the builds that are to be settled afterwards, because jobs of theirs had to give way.
    """
    plan = plans.get(tx, row.plan)
    reason = _enter_again(tx, row, plan, now, touched) if all(job.state in ENDED_JOB for job in found) else None
    keys = {job.key for job in chosen}
    following: list[Change] = []
    for job in chosen:
        if not keys.isdisjoint(job.needs):
            following.extend(result_flow.rerun_later(job, now, cause))
        elif reason is not None:
            following.extend(result_flow.rerun_behind(job, now, cause, reason, "build"))
        else:
            following.extend(_in_its_group(tx, row, plan, job, found, cause, now, touched))
    return following


def _enter_again(tx: Tx, row: BuildRow, plan: Plan, now: datetime, touched: set[int]) -> str | None:
    group = _group(tx, row, plan)
    if group is None:
        return None
    reason = concurrency.enter_build(tx, row, group, now, touched)
    builds.set_group(tx, row.id, group.name, reason)
    return reason


def _in_its_group(
    tx: Tx,
    row: BuildRow,
    plan: Plan,
    job: Job,
    found: Sequence[Job],
    cause: str,
    now: datetime,
    touched: set[int],
) -> tuple[Change, ...]:
    if job.concurrency_group is None or job.state not in ENDED_JOB or not job.attempts:
        return result_flow.rerun(job, now, cause)
    # How a group is entered stands in the plan; how the job came out of its matrix does not change with it.
    unfolded = unfold.ready(tx, row, plan, unfold.planned(plan, job.key), found, job.position, now)
    policy = unfold.again(job, unfolded).group
    entered = concurrency.enter_job(tx, row, replace(concurrency.release(tx, job), group=policy), now, touched)
    if entered.state == JobState.QUEUED:
        return result_flow.rerun(job, now, cause)
    return result_flow.rerun_behind(job, now, cause, entered.reason or "", entered.waits_for or "concurrency")


def _first_jobs(tx: Tx, row: BuildRow, plan: Plan, now: datetime) -> list[NewJob]:
    broken = unfold.unreadable(plan)
    if broken is not None:
        return [broken]
    found: list[NewJob] = []
    over = quarantine.expired(plan.quarantine, now)
    if over:  # the others run all the same: what they find is worth knowing
        position = len(plan.jobs) * unfold.STRIDE
        reason = quarantine.expiry_reason(over)
        found.append(NewJob("quarantine", "quarantine", position, JobState.FAILED, reason))
    for index, job in enumerate(plan.jobs):
        if job.needs:
            found.append(unfold.waiting(job, index))
        else:
            found.extend(unfold.ready(tx, row, plan, job, (), index * unfold.STRIDE, now))
    if len(found) > unfold.MAX_JOBS:
        reason = f"the workflow has {len(found)} jobs with its matrices expanded; at most {unfold.MAX_JOBS} can run"
        return [NewJob(key="workflow", name="read the workflow", position=0, state=JobState.FAILED, reason=reason)]
    return found


def _group(tx: Tx, row: BuildRow, plan: Plan) -> Group | None:
    if plan.concurrency is None or not plan.jobs:
        return None
    try:
        base = contexts.of_build(row, variables=given.variables_of(tx, row, plan))
        return build_group(plan, job_contexts(plan, plan.jobs[0], base))
    except MainstayError:
        return None  # said again, with its place, when the jobs are worked out
