"""The contexts that expressions of a build and its jobs see, built from what is stored."""

from typing import Any

from mainstay.model.job import Job
from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.repository import without_credentials
from mainstay.store.builds import BuildRow
from mainstay.workflow.contexts import Run, github, job_contexts, repository_name


def of_build(row: BuildRow, number: int = 1) -> dict[str, Any]:
    """`github`, `inputs`, `vars` and `secrets` of a build. `number`: of the attempt, from 1."""
    head = row.payload.get("head_commit") or {}
    run = Run(
        event_name=row.event,
        sha=row.commit,
        ref=row.ref,
        repository=repository_name(row.repository, row.url),
        workflow=row.workflow,
        workflow_path=row.source,
        run_id=str(row.id),
        run_number=str(row.number),
        run_attempt=str(number),
        actor=str((head.get("author") or {}).get("name") or ""),
        repository_url=without_credentials(row.url or ""),
        event=row.payload,
    )
    return {"github": github(run), "inputs": row.payload.get("inputs") or {}, "vars": {}, "secrets": {}}


def of_job(
    row: BuildRow, plan: Plan, planned: PlannedJob, job: Job, siblings: list[Job], number: int
) -> dict[str, Any]:
    """All contexts of a job at the time it is given to a runner, but for what only the runner knows."""
    values = job_contexts(plan, planned, of_build(row, number), siblings).values
    values["github"] = values["github"] | {"job": job.key}
    return values | {"strategy": job.strategy, "matrix": job.matrix}
