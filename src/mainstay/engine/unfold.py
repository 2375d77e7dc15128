"""From the jobs of a plan to the jobs of a build: conditions, matrices and labels, with what is known by now.

The one place where the server evaluates workflow expressions; the rules themselves are in `workflow/`.
"""

from collections.abc import Sequence
from dataclasses import replace

from mainstay.flow import build as build_flow
from mainstay.model.changes import NewJob
from mainstay.model.errors import NotFound
from mainstay.model.job import Job
from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.states import JobState
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx

STRIDE = 1000
"""Positions between two jobs of a plan: room for the instances of a matrix."""


def planned(plan: Plan, key: str) -> PlannedJob:
    """The job of a plan with that key."""
    for job in plan.jobs:
        if job.key == key:
            return job
    raise NotFound(f"the plan of workflow {plan.workflow} has no job {key}")


def first_jobs(plan: Plan, build_priority: int = 0) -> tuple[tuple[NewJob, ...], str | None]:
    """The jobs of a new build, and its reason when there is nothing to run."""
    errors = [str(problem) for problem in plan.problems if problem.severity == "error"]
    if errors or not plan.jobs:
        text = "\n\n".join(errors) or "the workflow has no jobs"
        nothing = plan.source == "detected: nothing"
        state = JobState.NEUTRAL if nothing else JobState.FAILED
        return (NewJob(key="workflow", name="read the workflow", position=0, state=state, reason=text),), text
    found: list[NewJob] = []
    for index, job in enumerate(plan.jobs):
        if job.needs:
            reason = f"waits for {', '.join(job.needs)}"
            found.append(
                NewJob(
                    key=job.key,
                    name=job.name if job.name and "${{" not in job.name else job.key,
                    position=index * STRIDE,
                    state=JobState.WAITING,
                    reason=reason,
                    waits_for="needs",
                    needs=job.needs,
                    priority=job.priority,
                )
            )
        else:
            found.extend(plain(job, index * STRIDE))
    return tuple(replace(job, priority=job.priority + build_priority) for job in found), None


def plain(job: PlannedJob, position: int) -> list[NewJob]:
    return [
        NewJob(
            key=job.key,
            name=job.name or job.key,
            position=position,
            state=JobState.QUEUED,
            needs=job.needs,
            labels=job.labels,
            priority=job.priority,
        )
    ]


def instances(tx: Tx, row: BuildRow, job: PlannedJob, found: Sequence[Job], position: int) -> list[NewJob]:
    """The jobs that a planned job becomes now that its needs have ended; at least one."""
    results = {key: build_flow.needs_result(key, found) for key in job.needs}
    if any(result != "success" for result in results.values()):
        reason = ", ".join(f"{key}: {result}" for key, result in results.items() if result != "success")
        return [NewJob(key=job.key, name=job.name or job.key, position=position, state=JobState.SKIPPED, reason=reason)]
    return plain(job, position)


def released(job: Job) -> NewJob:
    """A job that was held back, as it is queued."""
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
        concurrency_group=job.concurrency_group,
    )
