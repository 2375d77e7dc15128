"""What a runner is told of an attempt it has been given."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from mainstay.engine import contexts, unfold
from mainstay.engine.given import Given, Values, variables_of
from mainstay.model.errors import MainstayError
from mainstay.model.job import Attempt, Job
from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.secret import MAX_ENVIRONMENT
from mainstay.store import builds, jobs, plans
from mainstay.store import secrets as secrets_store
from mainstay.store.builds import BuildRow
from mainstay.store.database import Tx
from mainstay.store.seal import Seal
from mainstay.wire.runner import Assignment, Source


def again(tx: Tx, attempt_ids: Sequence[int], seal: Seal | None, now: datetime) -> list[Assignment]:
    """The assignments of attempts whose runner does not know it has them; each with one more token."""
    given = {each: jobs.new_source_token(tx, each) for each in attempt_ids}
    return list(assignments(tx, given, seal, now).values())


def assignments(tx: Tx, source_tokens: Mapping[int, str], seal: Seal | None, now: datetime) -> dict[int, Assignment]:
    """Build the assignments of claimed attempts, by attempt; the tokens open their repositories while they live.

    `seal` opens the secrets that the jobs mention.
    """
    values = Values(tx, seal, now)
    found = jobs.of_attempts(tx, list(source_tokens))
    rows = builds.get_all(tx, list({job.build_id for job, _ in found.values()}))
    limits = jobs.time_limits(tx, [job.id for job, _ in found.values()])
    return {
        key: _assignment(tx, job, attempt, rows[job.build_id], source_tokens[key], limits[job.id], values)
        for key, (job, attempt) in found.items()
    }


def _assignment(
    tx: Tx, job: Job, attempt: Attempt, row: BuildRow, token: str, time_limit_s: float, values: Values
) -> Assignment:
    plan = plans.get(tx, row.plan)
    planned = unfold.planned(plan, job.key)
    siblings = jobs.of_build(tx, job.build_id) if job.needs else []
    given = _given(tx, job, row, plan, planned, siblings, token, values)
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
        contexts=contexts.of_job(row, plan, planned, job, siblings, attempt.number, given.variables, given.secrets),
        trusted=row.trusted,
        time_limit_s=time_limit_s,
        allowed_to_fail=job.allowed_to_fail,
        notices=given.notices,
        refused=given.refused,
    )


def _given(
    tx: Tx,
    job: Job,
    row: BuildRow,
    plan: Plan,
    planned: PlannedJob,
    siblings: list[Job],
    token: str,
    values: Values,
) -> Given:
    """What the job gets of secrets and variables; which environment it is for is noted."""
    try:
        known = variables_of(tx, row, plan) if planned.environment else {}
        environment = contexts.environment(row, plan, planned, job, siblings, known)
    except MainstayError as error:
        return Given(refused=f"environment: {error.message}")
    if environment is not None:
        secrets_store.add_job(tx, row.repository_id, environment[:MAX_ENVIRONMENT], job.id)
    return values.of_job(row, plan, planned, environment, token)
