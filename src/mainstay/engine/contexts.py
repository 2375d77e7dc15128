"""The contexts that expressions of a job see, built from what is stored."""

from typing import Any

from mainstay.model.job import Job
from mainstay.model.repository import branch_of, tag_of
from mainstay.store.builds import BuildRow


def github(row: BuildRow) -> dict[str, Any]:
    """The `github` context of a build, as far as the server knows it."""
    branch, tag = branch_of(row.ref), tag_of(row.ref)
    return {
        "event_name": row.event,
        "event": row.payload,
        "sha": row.commit,
        "ref": row.ref,
        "ref_name": branch or tag or row.ref,
        "ref_type": "tag" if tag is not None else "branch",
        "repository": row.repository,
        "workflow": row.workflow,
        "run_id": str(row.id),
        "run_number": str(row.number),
        "run_attempt": "1",
    }


def of_job(row: BuildRow, job: Job, number: int) -> dict[str, Any]:
    """All contexts of a job at the time it is given to a runner."""
    return {
        "github": github(row) | {"job": job.key, "run_attempt": str(number)},
        "needs": {},
        "vars": {},
        "inputs": {},
        "strategy": job.strategy,
        "secrets": {},
    }
