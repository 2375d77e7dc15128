"""What the jobs of a build ask for beside their steps: an environment, permissions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from mainstay.store import plans
from mainstay.store.database import Tx
from mainstay.store.schema import environment_jobs, jobs


@dataclass(frozen=True, slots=True)
class Asked:
    """Of one job."""

    environment: str | None = None
    """As it was evaluated for the job's runner; before that, as the workflow file has it."""
    permissions: Mapping[str, str] = field(default_factory=dict)
    """Accepted and shown; they rule nothing here."""


NOTHING = Asked()


def asked(tx: Tx, build_id: int) -> dict[int, Asked]:
    """By the job's id; jobs that ask for nothing are left out."""
    planned = {job.key: job for job in plans.of_build(tx, build_id).jobs if job.environment or job.permissions}
    if not planned:
        return {}
    query = (
        select(jobs.c.id, jobs.c.key, environment_jobs.c.environment)
        .outerjoin(environment_jobs, environment_jobs.c.job_id == jobs.c.id)
        .where(jobs.c.build_id == build_id)
        .order_by(jobs.c.position, jobs.c.id)
    )
    return {
        row.id: Asked(row.environment or planned[row.key].environment, planned[row.key].permissions)
        for row in tx.conn.execute(query)
        if row.key in planned
    }
