"""Jobs with their attempts as model values; claims, leases and the log's place of attempts."""

import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, bindparam, func, select, update

from mainstay.model.errors import NotFound
from mainstay.model.job import Attempt, Job, StepResult, TestCounts
from mainstay.model.states import AttemptState, JobState
from mainstay.store.database import Tx
from mainstay.store.dialect import for_update, for_update_skip_locked, parts
from mainstay.store.schema import attempts, builds, jobs, repositories
from mainstay.store.tokens import hash_of

_STEPS = tuple[StepResult, ...]
MAX_SOURCE_TOKENS = 5


def attempt_of(row: Any) -> Attempt:
    """An attempt from its row."""
    return Attempt(
        id=row.id,
        job_id=row.job_id,
        number=row.number,
        state=AttemptState(row.state),
        cause=row.cause,
        queued_at=row.queued_at,
        runner_id=row.runner_id,
        runner=row.runner,
        lease_until=row.lease_until,
        started_at=row.started_at,
        finished_at=row.finished_at,
        commit=row.commit,
        exit_code=row.exit_code,
        reason=row.reason,
        log_bytes=row.log_bytes,
        tests=TestCounts(**row.tests),
        steps=msgspec.convert(row.steps, _STEPS),
        cancel_reason=row.cancel_reason,
    )


def job_of(row: Any, tries: Iterable[Attempt]) -> Job:
    """A job from its row and its attempts."""
    return Job(
        id=row.id,
        build_id=row.build_id,
        repository_id=row.repository_id,
        key=row.key,
        name=row.name,
        position=row.position,
        state=JobState(row.state),
        reason=row.reason,
        matrix=row.matrix,
        needs=tuple(row.needs),
        labels=tuple(row.labels),
        allowed_to_fail=row.allowed_to_fail,
        priority=row.priority,
        outputs=row.outputs,
        reused_from=row.reused_from,
        attempts=tuple(tries),
        strategy=row.strategy,
        concurrency_group=row.concurrency_group,
        waits_for=row.waits_for,
    )


# Made once: building a statement takes longer than running it.
_one_job = select(jobs).where(jobs.c.id == bindparam("which"))
_jobs_of_build = select(jobs).where(jobs.c.build_id == bindparam("which")).order_by(jobs.c.position, jobs.c.id)
_jobs_of_attempts = select(jobs).where(
    jobs.c.id.in_(select(attempts.c.job_id).where(attempts.c.id.in_(bindparam("which", expanding=True))))
)
_attempts_of_jobs = (
    select(attempts)
    .where(attempts.c.job_id.in_(bindparam("which", expanding=True)))
    .order_by(attempts.c.job_id, attempts.c.number)
)


def _jobs(tx: Tx, query: Select[Any], which: int | Sequence[int]) -> list[Job]:
    rows = tx.conn.execute(query, {"which": which}).all()
    tries: dict[int, list[Attempt]] = {row.id: [] for row in rows}
    for part in parts(list(tries)):
        for row in tx.conn.execute(_attempts_of_jobs, {"which": part}):
            tries[row.job_id].append(attempt_of(row))
    return [job_of(row, tries[row.id]) for row in rows]


def get(tx: Tx, job_id: int) -> Job:
    """One job with all its attempts. Raises NotFound."""
    found = _jobs(tx, _one_job, job_id)
    if not found:
        raise NotFound(f"there is no job with the id {job_id}")
    return found[0]


def of_build(tx: Tx, build_id: int) -> list[Job]:
    """The jobs of a build in order, with their attempts."""
    return _jobs(tx, _jobs_of_build, build_id)


def of_attempts(tx: Tx, attempt_ids: Sequence[int]) -> dict[int, tuple[Job, Attempt]]:
    """Jobs with those of their attempts that are meant, by the attempt's id. Unknown ones are left out."""
    found: dict[int, tuple[Job, Attempt]] = {}
    for part in parts(attempt_ids):
        for job in _jobs(tx, _jobs_of_attempts, part):
            found.update({each.id: (job, each) for each in job.attempts if each.id in part})
    return found


def of_attempt(tx: Tx, attempt_id: int) -> tuple[Job, Attempt]:
    """A job and the one of its attempts that is meant. Raises NotFound."""
    found = of_attempts(tx, [attempt_id])
    if not found:
        raise NotFound(f"there is no attempt with the id {attempt_id}")
    return found[attempt_id]


@dataclass(frozen=True, slots=True)
class Queued:
    """A queued attempt as dispatch sees it."""

    attempt_id: int
    job_id: int
    repository_id: int
    priority: int
    fit: str


_queued_fits = select(jobs.c.repository_id, jobs.c.fit).where(jobs.c.state == "queued").distinct()
_queued = (
    select(attempts.c.id, attempts.c.job_id, jobs.c.repository_id, jobs.c.priority, jobs.c.fit)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .where(
        jobs.c.repository_id == bindparam("in_repository"),
        jobs.c.fit == bindparam("fit"),
        jobs.c.state == "queued",
        attempts.c.state == "queued",
    )
    .order_by(jobs.c.priority.desc(), jobs.c.id)
    .limit(bindparam("most"))
)
_running = select(jobs.c.repository_id, func.count()).where(jobs.c.state == "running").group_by(jobs.c.repository_id)


def queued_fits(tx: Tx) -> list[tuple[int, str]]:
    """The different (repository, labels) among the queued jobs."""
    return [(row.repository_id, row.fit) for row in tx.conn.execute(_queued_fits)]


def queued(tx: Tx, repository_id: int, fit: str, limit: int) -> list[Queued]:
    """The next queued attempts of one repository that ask for the same labels; locked, skipping what others hold."""
    asked = {"in_repository": repository_id, "fit": fit, "most": limit}
    rows = tx.conn.execute(for_update_skip_locked(tx, _queued, of=jobs), asked)
    return [Queued(row.id, row.job_id, row.repository_id, row.priority, row.fit) for row in rows]


def running_by_repository(tx: Tx) -> dict[int, int]:
    """How many jobs of each repository run now."""
    return {row[0]: row[1] for row in tx.conn.execute(_running)}


@dataclass(frozen=True, slots=True)
class Claim:
    """A queued attempt, and the runner it is given to."""

    attempt_id: int
    job_id: int
    runner_id: int
    runner: str


_give_attempt = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"))
    .values(
        state="running",
        runner_id=bindparam("to_runner"),
        runner=bindparam("to_name"),
        lease_until=bindparam("until"),
        source_tokens=bindparam("tokens"),
    )
)


_start_jobs = (
    update(jobs)
    .where(jobs.c.id.in_(bindparam("which", expanding=True)))
    .values(state="running", reason=None, changed_at=bindparam("now"))
)


def claim(tx: Tx, claims: Sequence[Claim], lease_until: datetime, now: datetime) -> dict[int, str]:
    """Give queued attempts to runners; for each attempt the token that opens its repository while it lives."""
    given = {each.attempt_id: _source_token(each.attempt_id) for each in claims}
    values = [
        {
            "attempt": each.attempt_id,
            "to_runner": each.runner_id,
            "to_name": each.runner,
            "until": lease_until,
            "tokens": [hash_of(given[each.attempt_id])],
        }
        for each in claims
    ]
    tx.conn.execute(_give_attempt, values)
    for part in parts([each.job_id for each in claims]):
        tx.conn.execute(_start_jobs, {"which": part, "now": now})
    return given


@dataclass(frozen=True, slots=True)
class Held:
    """A running attempt and the runner that has it."""

    id: int
    runner_id: int
    lease_until: datetime
    cancel_reason: str | None


_held = select(attempts.c.id, attempts.c.runner_id, attempts.c.lease_until, attempts.c.cancel_reason).where(
    attempts.c.state == "running", attempts.c.runner_id.in_(bindparam("which", expanding=True))
)


def held_by(tx: Tx, runner_ids: Sequence[int]) -> list[Held]:
    """The running attempts that runners hold."""
    return [Held(*row) for part in parts(runner_ids) for row in tx.conn.execute(_held, {"which": part})]


def renew(tx: Tx, attempt_ids: Sequence[int], lease_until: datetime) -> None:
    """Move the deadline of leases."""
    tx.conn.execute(
        update(attempts)
        .where(attempts.c.id.in_(attempt_ids), attempts.c.state == "running")
        .values(lease_until=lease_until)
    )


def expired(tx: Tx, now: datetime, limit: int = 100) -> list[int]:
    """Attempts whose lease ran out."""
    query = (
        select(attempts.c.id)
        .where(attempts.c.state == "running", attempts.c.lease_until < now)
        .order_by(attempts.c.lease_until)
        .limit(limit)
    )
    return list(tx.conn.execute(query).scalars())


def next_expiry(tx: Tx) -> datetime | None:
    """When the next lease runs out, unless it is renewed."""
    query = select(func.min(attempts.c.lease_until)).where(attempts.c.state == "running")
    return tx.conn.execute(query).scalar()


def record_progress(
    tx: Tx,
    attempt_id: int,
    sequence: int,
    steps: Sequence[StepResult],
    commit: str | None,
    started_at: datetime | None,
) -> None:
    """Write the steps so far, unless something newer was written."""
    values: dict[str, object] = {"sequence": sequence, "steps": msgspec.to_builtins(list(steps))}
    if commit is not None:
        values["commit"] = commit
    if started_at is not None:
        values["started_at"] = started_at
    tx.conn.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == "running", attempts.c.sequence < sequence)
        .values(**values)
    )


def opened_by(tx: Tx, token: str, repository: str) -> tuple[int, str] | None:
    """The repository and commit that a running attempt's source token opens; None when not this repository."""
    attempt_id, _, _ = token.partition(".")
    if not (attempt_id.isascii() and attempt_id.isdigit() and len(attempt_id) < 19):
        return None
    query = (
        select(builds.c.repository_id, builds.c.commit, attempts.c.source_tokens)
        .join(jobs, jobs.c.build_id == builds.c.id)
        .join(attempts, attempts.c.job_id == jobs.c.id)
        .join(repositories, repositories.c.id == builds.c.repository_id)
        .where(attempts.c.id == int(attempt_id), attempts.c.state == "running", repositories.c.name == repository)
    )
    row = tx.conn.execute(query).first()
    if row is None:
        return None
    wanted = hash_of(token)
    opens = any(hmac.compare_digest(wanted, known) for known in row.source_tokens or ())
    return (row.repository_id, row.commit) if opens else None


def open_in_group(tx: Tx, repository_id: int, group: str) -> list[Any]:
    """Open jobs of a concurrency group, oldest first, as rows (id, build_id, state, waits_for)."""
    query = (
        select(jobs.c.id, jobs.c.build_id, jobs.c.state, jobs.c.waits_for)
        .where(
            jobs.c.repository_id == repository_id,
            jobs.c.concurrency_group == group,
            jobs.c.state.in_(("waiting", "queued", "running")),
        )
        .order_by(jobs.c.id)
    )
    return list(tx.conn.execute(query))


def set_tests(tx: Tx, attempt_id: int, counts: dict[str, int]) -> None:
    """Keep the counts of an attempt's tests."""
    tx.conn.execute(update(attempts).where(attempts.c.id == attempt_id).values(tests=counts))


def lock_attempt(tx: Tx, attempt_id: int) -> None:
    """Let nobody else write about this attempt until the transaction ends."""
    tx.conn.execute(for_update(tx, select(attempts.c.id).where(attempts.c.id == attempt_id)))


def lock_build_of(tx: Tx, attempt_id: int) -> None:
    """Let nobody else decide about this attempt's build until the transaction ends."""
    owner = (
        select(jobs.c.build_id)
        .join(attempts, attempts.c.job_id == jobs.c.id)
        .where(attempts.c.id == attempt_id)
        .scalar_subquery()
    )
    tx.conn.execute(for_update(tx, select(builds.c.id).where(builds.c.id == owner)))


def lock_build(tx: Tx, build_id: int) -> None:
    """Let nobody else decide about this build until the transaction ends."""
    tx.conn.execute(for_update(tx, select(builds.c.id).where(builds.c.id == build_id)))


def new_source_token(tx: Tx, attempt_id: int) -> str:
    """A token that opens the repository for a running attempt, to read. Only its hash is kept.

    Those given before stay good: an assignment may be given twice when its answer seemed lost on the way.
    """
    known = tx.conn.execute(select(attempts.c.source_tokens).where(attempts.c.id == attempt_id)).scalar() or []
    token = _source_token(attempt_id)
    kept = [*known, hash_of(token)][-MAX_SOURCE_TOKENS:]
    tx.conn.execute(update(attempts).where(attempts.c.id == attempt_id).values(source_tokens=kept))
    return token


def _source_token(attempt_id: int) -> str:
    return f"{attempt_id}.{secrets.token_urlsafe(24)}"


def not_running(tx: Tx, attempt_ids: Sequence[int]) -> list[int]:
    """Those of the attempts that nobody waits for: ended for good, or unknown. A lost one may still come back."""
    wanted: set[int] = set()
    for part in parts(attempt_ids):
        query = select(attempts.c.id).where(
            attempts.c.id.in_(part), attempts.c.state.in_(("queued", "running", "lost"))
        )
        wanted.update(tx.conn.execute(query).scalars())
    return [key for key in attempt_ids if key not in wanted]


_limits = select(jobs.c.id, jobs.c.time_limit_s).where(jobs.c.id.in_(bindparam("which", expanding=True)))


def time_limits(tx: Tx, job_ids: Sequence[int]) -> dict[int, float]:
    """Seconds that jobs may run, by the job's id."""
    found: dict[int, float] = {}
    for part in parts(job_ids):
        rows = tx.conn.execute(_limits, {"which": part})
        found.update({row.id: row.time_limit_s for row in rows})
    return found


def time_limit(tx: Tx, job_id: int) -> float:
    """Seconds a job may run."""
    return time_limits(tx, [job_id])[job_id]


def fits(tx: Tx, state: str, waits_for: str | None) -> list[str]:
    """The different label sets (joined by commas) among jobs of a state."""
    query = select(jobs.c.fit).where(jobs.c.state == state).distinct()
    if waits_for is not None:
        query = query.where(jobs.c.waits_for == waits_for)
    return list(tx.conn.execute(query).scalars())


def hold(tx: Tx, fit: str, reason: str, now: datetime) -> int:
    """Let the queued jobs with these labels wait for a runner; give how many."""
    held = (
        update(jobs)
        .where(jobs.c.state == "queued", jobs.c.fit == fit)
        .values(state="waiting", reason=reason, waits_for="runner", changed_at=now)
    )
    return tx.conn.execute(held).rowcount


def release(tx: Tx, fit: str, now: datetime) -> int:
    """Queue the jobs with these labels that waited for a runner; give how many."""
    released = (
        update(jobs)
        .where(jobs.c.state == "waiting", jobs.c.waits_for == "runner", jobs.c.fit == fit)
        .values(state="queued", reason=None, waits_for=None, changed_at=now)
    )
    count = tx.conn.execute(released).rowcount
    if count:
        tx.wake("queue")
    return count


def count_waiting(tx: Tx) -> int:
    """How many jobs are queued or wait for a runner."""
    query = select(func.count()).where(
        (jobs.c.state == "queued") | ((jobs.c.state == "waiting") & (jobs.c.waits_for == "runner"))
    )
    return tx.conn.execute(query).scalar_one()


def build_of(tx: Tx, attempt_id: int) -> int | None:
    """The build that an attempt belongs to."""
    query = select(jobs.c.build_id).join(attempts, attempts.c.job_id == jobs.c.id).where(attempts.c.id == attempt_id)
    return tx.conn.execute(query).scalar()
