"""From the jobs of a plan to the jobs of a build: conditions, matrices and labels, with what is known by now.

The one place where the server evaluates workflow expressions; the rules themselves are in `workflow/`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mainstay.engine import contexts, given, labels
from mainstay.model.changes import NewJob
from mainstay.model.errors import MainstayError, NotFound
from mainstay.model.job import Job
from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.states import ENDED_JOB, JobState
from mainstay.store import runners
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.workflow.contexts import job_contexts
from mainstay.workflow.instances import JobInstance, instances

STRIDE = 1000
"""Positions between two jobs of a plan: room for the instances of a matrix."""
CONTAINER = "container"
"""The label of runners that have a container engine: a job with `container` or `services` waits for one of them."""
MAX_JOBS = 1000
"""Jobs of one build, all matrices expanded."""


def planned(plan: Plan, key: str) -> PlannedJob:
    """The job of a plan with that key."""
    for job in plan.jobs:
        if job.key == key:
            return job
    raise NotFound(f"the plan of workflow {plan.workflow} has no job {key}")


def unreadable(plan: Plan) -> NewJob | None:
    """The one job of a build whose workflow has errors or no jobs; None when it has jobs to run."""
    errors = [str(problem) for problem in plan.problems if problem.severity == "error"]
    if plan.jobs and not errors:
        return None
    text = "\n\n".join(errors) or "the workflow has no jobs"
    state = JobState.NEUTRAL if plan.source == "detected: nothing" else JobState.FAILED
    return NewJob(key="workflow", name="read the workflow", position=0, state=state, reason=text)


def waiting(job: PlannedJob, index: int) -> NewJob:
    """A job whose needs have not ended: what is known of it by now."""
    return NewJob(
        key=job.key,
        name=job.name if job.name and "${{" not in job.name else job.key,
        position=index * STRIDE,
        state=JobState.WAITING,
        reason=f"waits for {', '.join(job.needs)}",
        waits_for="needs",
        needs=job.needs,
    )


def ready(
    tx: Tx, row: BuildRow, plan: Plan, job: PlannedJob, found: Iterable[Job], position: int, now: datetime
) -> list[NewJob]:
    """The jobs that a planned job becomes now that its needs have ended; at least one."""
    try:
        base = contexts.of_build(row, variables=given.variables_of(tx, row, plan))
        known = job_contexts(plan, job, base, found)
        expanded = instances(job, known, labels.table(tx))
    except MainstayError as error:
        return [_ended(job, position, JobState.FAILED, f"{plan.source}: job {job.key}: {error.message}")]
    if len(expanded) >= STRIDE:
        text = f"its matrix has {len(expanded)} jobs; at most {STRIDE - 1} can run"
        return [_ended(job, position, JobState.FAILED, text)]
    offered = _offered(tx, expanded, now)
    new = [_new_job(job, each, position + index, row, offered) for index, each in enumerate(expanded)]
    return _within_limit(new)


def again(job: Job, new: Sequence[NewJob]) -> NewJob:
    """The one of these that a job becomes which was unfolded before and runs again."""
    found = next((each for each in new if each.matrix == job.matrix), new[0])
    if found.matrix != job.matrix and found.state not in ENDED_JOB:
        found = replace(found, state=JobState.SKIPPED, reason="its matrix has no such job any more")
    return replace(found, name=job.name, matrix=job.matrix, position=job.position)


def _offered(tx: Tx, expanded: Sequence[JobInstance], now: datetime) -> list[frozenset[str]]:
    """The label sets of the runners that are there, when any instance asks whether one is."""
    if not any(each.elsewhere for each in expanded):
        return []
    return runners.offered_labels(tx, now - timedelta(days=7))


def _new_job(
    job: PlannedJob, each: JobInstance, position: int, row: BuildRow, offered: Collection[frozenset[str]]
) -> NewJob:
    state, reason = JobState.QUEUED, None
    if each.skipped is not None:
        state, reason = JobState.SKIPPED, each.skipped
    elif each.neutral is not None:
        state, reason = JobState.NEUTRAL, each.neutral
    elif each.elsewhere is not None and not any(frozenset(each.labels) <= labels for labels in offered):
        state, reason = JobState.NEUTRAL, each.elsewhere
    needs_engine = job.container is not None or bool(job.services)
    return NewJob(
        key=each.key,
        name=each.name,
        position=position,
        state=state,
        reason=reason,
        matrix=each.matrix,
        strategy=each.strategy,
        needs=job.needs,
        labels=tuple(sorted({*each.labels, CONTAINER})) if needs_engine else each.labels,
        allowed_to_fail=each.allowed_to_fail,
        priority=job.priority + row.priority,
        time_limit_s=each.time_limit_s,
        concurrency_group=each.concurrency.name if each.concurrency is not None else None,
        group=_group(each),
    )


def _group(each: JobInstance) -> dict[str, Any]:
    group = each.concurrency
    return {} if group is None else {"cancel": group.cancel_in_progress, "in_order": group.in_order}


def _within_limit(new: list[NewJob]) -> list[NewJob]:
    """Hold back what `max-parallel` does not let start yet."""
    limit = new[0].strategy.get("max-parallel") if new else None
    if not isinstance(limit, int) or limit >= len(new):
        return new
    started = 0
    kept = []
    for job in new:
        if job.state == JobState.QUEUED:
            started += 1
            if started > limit:
                reason = f"{limit} at a time (max-parallel)"
                kept.append(job.held("max-parallel", reason))
                continue
        kept.append(job)
    return kept


def _ended(job: PlannedJob, position: int, state: JobState, reason: str) -> NewJob:
    return NewJob(key=job.key, name=job.name or job.key, position=position, state=state, reason=reason, needs=job.needs)
