"""The contexts that expressions of a build and its jobs see, built from what is stored."""

from collections.abc import Mapping
from typing import Any

from mainstay.model.job import Job
from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.repository import without_credentials
from mainstay.model.secret import TOKEN
from mainstay.store.builds import BuildRow
from mainstay.workflow.contexts import Run, github, job_contexts, repository_name
from mainstay.workflow.instances import environment_of

NOTHING: Mapping[str, str] = {}


def of_build(
    row: BuildRow, number: int = 1, variables: Mapping[str, str] = NOTHING, secrets: Mapping[str, str] = NOTHING
) -> dict[str, Any]:
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
    return {
        "github": github(run),
        "inputs": row.payload.get("inputs") or {},
        "vars": dict(variables),
        "secrets": dict(secrets),
    }


def of_job(
    row: BuildRow,
    plan: Plan,
    planned: PlannedJob,
    job: Job,
    siblings: list[Job],
    number: int,
    variables: Mapping[str, str] = NOTHING,
    secrets: Mapping[str, str] = NOTHING,
) -> dict[str, Any]:
    """All contexts of a job at the time it is given to a runner, but for what only the runner knows.

    `secrets` are under the names of the build's own workflow; a called one sees what its callers pass on.
    """
    values = job_contexts(plan, planned, of_build(row, number, variables, secrets), siblings).values
    values["github"] = values["github"] | {"job": job.key}
    if TOKEN in secrets:
        values["secrets"] = values["secrets"] | {TOKEN: secrets[TOKEN]}
    return values | {"strategy": job.strategy, "matrix": job.matrix}


def environment(
    row: BuildRow, plan: Plan, planned: PlannedJob, job: Job, siblings: list[Job], variables: Mapping[str, str]
) -> str | None:
    """The environment that a job names; None: it names none. Raises ExpressionError."""
    text = planned.environment
    if text is None or "${{" not in text:
        return text or None
    values = of_job(row, plan, planned, job, siblings, 1, variables)
    return environment_of(planned, values) or None
