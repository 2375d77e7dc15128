"""What a runner is told of an attempt it has been given."""

from urllib.parse import quote

from mainstay.engine import contexts, unfold
from mainstay.store import builds, jobs, plans
from mainstay.store.database import Tx
from mainstay.wire.runner import Assignment, Source


def assignment(tx: Tx, attempt_id: int) -> Assignment:
    """Build the assignment of a claimed attempt, with a fresh token that opens its repository while it lives."""
    job, attempt = jobs.of_attempt(tx, attempt_id)
    row = builds.get(tx, job.build_id)
    plan = plans.get(tx, row.plan)
    planned = unfold.planned(plan, job.key)
    siblings = jobs.of_build(tx, job.build_id) if job.needs else []
    source = Source(
        repository=row.repository,
        repository_id=row.repository_id,
        path=f"/git/{quote(row.repository)}.git",
        token=jobs.new_source_token(tx, attempt_id),
        commit=row.commit,
        tree=row.tree,
        ref=row.ref,
    )
    return Assignment(
        attempt=attempt_id,
        job=job.id,
        number=attempt.number,
        build=row.id,
        build_number=row.number,
        url=f"/builds/{row.id}",
        source=source,
        plan=planned,
        name=job.name,
        matrix=job.matrix,
        contexts=contexts.of_job(row, plan, planned, job, siblings, attempt.number),
        trusted=row.trusted,
        time_limit_s=jobs.time_limit(tx, job.id),
        allowed_to_fail=job.allowed_to_fail,
    )
