"""What a runner is told of an attempt it has been given."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from mainstay.engine import contexts, unfold
from mainstay.model.job import Attempt, Job
from mainstay.store import builds, jobs, plans
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.wire.runner import Assignment, Source


def again(tx: Tx, attempt_ids: Sequence[int]) -> list[Assignment]:
    """The assignments of attempts whose runner does not know it has them; each with one more token."""
    given = {each: jobs.new_source_token(tx, each) for each in attempt_ids}
    return list(assignments(tx, given).values())


def assignments(tx: Tx, source_tokens: Mapping[int, str]) -> dict[int, Assignment]:
    """Build the assignments of claimed attempts, by attempt; the tokens open their repositories while they live."""
    found = jobs.of_attempts(tx, list(source_tokens))
    rows = builds.get_all(tx, list({job.build_id for job, _ in found.values()}))
    limits = jobs.time_limits(tx, [job.id for job, _ in found.values()])
    return {
        key: _assignment(tx, job, attempt, rows[job.build_id], source_tokens[key], limits[job.id])
        for key, (job, attempt) in found.items()
    }


def _assignment(tx: Tx, job: Job, attempt: Attempt, row: BuildRow, token: str, time_limit_s: float) -> Assignment:
    plan = plans.get(tx, row.plan)
    planned = unfold.planned(plan, job.key)
    siblings = jobs.of_build(tx, job.build_id) if job.needs else []
    source = Source(
        repository=row.repository,
        repository_id=row.repository_id,
        path=f"/git/{quote(row.repository)}.git",
        token=token,
        commit=row.commit,
        tree=row.tree,
        ref=row.ref,
    )
    return Assignment(
        attempt=attempt.id,
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
        time_limit_s=time_limit_s,
        allowed_to_fail=job.allowed_to_fail,
    )
