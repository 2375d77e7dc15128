"""The beginning of a build: its first jobs, and its turn in its concurrency group."""

from datetime import datetime

from mainstay.engine import concurrency, contexts, given, unfold
from mainstay.engine.settle import settle
from mainstay.flow import quarantine
from mainstay.model.changes import NewJob
from mainstay.model.errors import MainstayError
from mainstay.model.plan import Plan
from mainstay.model.states import OPEN_JOB, JobState
from mainstay.store import builds, changes
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.workflow.contexts import job_contexts
from mainstay.workflow.instances import Group, build_group


def begin(tx: Tx, build_id: int, plan: Plan, cause: str, now: datetime) -> None:
    """Give a build that was just stored its jobs."""
    row = builds.get(tx, build_id)
    first = _first_jobs(tx, row, plan, now)
    group = _group(tx, row, plan)
    if group is not None:
        reason = concurrency.enter_build(tx, row, group, now)
        builds.set_group(tx, build_id, group.name, reason)
        if reason is not None:
            first = [job.held("build", reason) if job.state == JobState.QUEUED else job for job in first]
    for job in first:
        changes.add_job(tx, build_id, row.repository_id, concurrency.enter_job(tx, row, job, now), cause, now)
    if any(job.state not in OPEN_JOB for job in first):
        settle(tx, build_id, now, cause)


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
