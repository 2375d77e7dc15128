"""Carrying out what a decision wants written (`model.changes`), inside one transaction, with the wake-ups it needs."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import bindparam, func, insert, select, update

from mainstay.model.changes import (
    AddAttempt,
    AddJob,
    AskCancel,
    Change,
    EndAttempt,
    FillJob,
    MoveJob,
    NewJob,
    Tell,
)
from mainstay.model.states import AttemptState, JobState
from mainstay.store import events
from mainstay.store.database import Tx
from mainstay.store.schema import attempts, jobs

# Made once: building a statement takes longer than running it. What is set comes with the execution.
_insert_job = insert(jobs).returning(jobs.c.id)
_insert_attempt = insert(attempts)
_update_job = update(jobs).where(jobs.c.id == bindparam("which"))
_update_attempt = update(attempts).where(attempts.c.id == bindparam("which"))


def apply(tx: Tx, changes: Iterable[Change], now: datetime) -> None:
    """Write every change, in order."""
    told = []
    for change in changes:
        match change:
            case Tell():
                told.append(change.event)
            case EndAttempt():
                _end_attempt(tx, change)
            case MoveJob():
                _move_job(tx, change, now)
            case AddAttempt():
                add_attempt(tx, change.job_id, change.number, change.cause, now)
            case AskCancel():
                _ask_cancel(tx, change)
            case AddJob():
                add_job(tx, change.build_id, change.repository_id, change.job, change.cause, now)
            case FillJob():
                _fill_job(tx, change, now)
    events.add(tx, told)


def job_values(job: NewJob, now: datetime) -> dict[str, object]:
    """The columns of a job that come from its plan."""
    return {
        "key": job.key,
        "name": job.name,
        "position": job.position,
        "state": job.state.value,
        "reason": job.reason,
        "waits_for": job.waits_for,
        "matrix": job.matrix,
        "strategy": job.strategy,
        "needs": list(job.needs),
        "labels": list(job.labels),
        "fit": ",".join(sorted(job.labels)),
        "allowed_to_fail": job.allowed_to_fail,
        "priority": job.priority,
        "time_limit_s": job.time_limit_s,
        "concurrency_group": job.concurrency_group,
        "changed_at": now,
    }


def add_job(tx: Tx, build_id: int, repository_id: int, job: NewJob, cause: str, now: datetime) -> int:
    """Store a job, and its first attempt when it is queued; give the job's id."""
    values = job_values(job, now) | {"build_id": build_id, "repository_id": repository_id, "outputs": {}}
    job_id: int = tx.conn.execute(_insert_job, values).scalar_one()
    if job.state == JobState.QUEUED:
        add_attempt(tx, job_id, 1, cause, now)
    return job_id


def add_attempt(tx: Tx, job_id: int, number: int, cause: str, now: datetime) -> None:
    """Queue an attempt and wake whoever hands out work."""
    values = {
        "job_id": job_id,
        "number": number,
        "state": AttemptState.QUEUED.value,
        "cause": cause,
        "queued_at": now,
        "steps": [],
        "tests": {},
    }
    tx.conn.execute(_insert_attempt, values)
    tx.wake("queue")


def _fill_job(tx: Tx, change: FillJob, now: datetime) -> None:
    tx.conn.execute(_update_job, job_values(change.job, now) | {"which": change.job_id})
    if change.job.state == JobState.QUEUED:
        tried = select(func.max(attempts.c.number)).where(attempts.c.job_id == change.job_id)
        add_attempt(tx, change.job_id, (tx.conn.execute(tried).scalar() or 0) + 1, change.cause, now)


def _move_job(tx: Tx, change: MoveJob, now: datetime) -> None:
    values: dict[str, object] = {
        "state": change.state.value,
        "reason": change.reason,
        "waits_for": change.waits_for,
        "changed_at": now,
        "which": change.job_id,
    }
    if change.outputs is not None:
        values["outputs"] = change.outputs
    tx.conn.execute(_update_job, values)


def _end_attempt(tx: Tx, change: EndAttempt) -> None:
    values: dict[str, object] = {
        "state": change.state.value,
        "finished_at": change.finished_at,
        "reason": change.reason,
        "exit_code": change.exit_code,
        "lease_until": None,
        "source_tokens": None,
        "log_notice": change.log_notice,
        "which": change.attempt_id,
    }
    if change.started_at is not None:
        values["started_at"] = change.started_at
    if change.commit is not None:
        values["commit"] = change.commit
    if change.steps is not None:
        values["steps"] = msgspec.to_builtins(change.steps)
    if change.annotations:
        values["annotations"] = msgspec.to_builtins(change.annotations)
    if change.summary is not None:
        values["summary"] = change.summary
    if change.tests is not None:
        values["tests"] = change.tests
    tx.conn.execute(_update_attempt, values)
    tx.wake(f"log:{change.attempt_id}")


def _ask_cancel(tx: Tx, change: AskCancel) -> None:
    tx.conn.execute(update(attempts).where(attempts.c.id == change.attempt_id).values(cancel_reason=change.reason))
    if change.runner_id is not None:
        tx.wake(f"runner:{change.runner_id}")
