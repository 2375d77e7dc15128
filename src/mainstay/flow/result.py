"""What the end of an attempt means for its job: `decide` for one end, `lost` for leases that ran out."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from mainstay.flow import job as job_flow
from mainstay.flow.job import Move
from mainstay.model.changes import AddAttempt, AskCancel, Change, EndAttempt, MoveJob, Tell
from mainstay.model.events import Event, EventKind
from mainstay.model.job import Attempt, Job
from mainstay.model.plan import Retry
from mainstay.model.states import ENDED_ATTEMPT, ENDED_JOB, OPEN_ATTEMPT, AttemptState, JobState

MAX_TRIES = 8
"""Tries of one job without a person's word, those included that never began."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to write, and whether the end was taken."""

    accepted: bool
    changes: tuple[Change, ...] = ()
    reason: str | None = None
    job_ended: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """An attempt's end as reported. `order` carries everything that is written with it."""

    order: EndAttempt
    outputs: dict[str, str] = field(default_factory=dict)
    cause: str = "reported by its runner"
    allowed: str | None = None
    """Why its failure is allowed although the job is not allowed to fail: the tests that failed are in quarantine."""

    @property
    def state(self) -> AttemptState:
        """How it ended."""
        return self.order.state


def decide(job: Job, attempt: Attempt, end: End, retry: Retry, now: datetime) -> Outcome:
    """Take or ignore the end of `attempt`, which belongs to `job` (all attempts given).

    An open attempt's end is always taken. One that was given up as lost is taken if it really finished and nobody else
    has finished the job since. Anything else is stale and changes nothing.
    """
    if attempt.state in OPEN_ATTEMPT:
        return _take(job, attempt, end, retry, now)
    if attempt.state == end.state:
        return Outcome(accepted=True, reason="stored before")
    came_back = attempt.state == AttemptState.LOST and end.state not in (AttemptState.LOST, AttemptState.BROKEN)
    if came_back and job.state not in ENDED_JOB and end.state != AttemptState.CANCELLED:
        outcome = _take(job, attempt, replace(end, cause="finished while it was given up as lost"), retry, now)
        return replace(outcome, changes=(*_call_off(job, attempt, now), *outcome.changes))
    why = f"attempt {attempt.number} had already ended as {attempt.state}, the job is {job.state}"
    return Outcome(accepted=False, reason=why, changes=(_tell(EventKind.ATTEMPT_IGNORED, job, attempt, now, why),))


def _take(job: Job, attempt: Attempt, end: End, retry: Retry, now: datetime) -> Outcome:
    state = end.state
    cancelled = attempt.cancel_reason is not None
    if cancelled and state in (AttemptState.LOST, AttemptState.BROKEN):
        state = AttemptState.CANCELLED  # it was to be stopped anyway: no retry
    move = job_flow.move_for_end(
        state,
        allowed_to_fail=job.allowed_to_fail or (end.allowed is not None and state == AttemptState.FAILED),
        retries_left=state.value in retry.on and _may_retry(job, attempt, end.order, retry),
    )
    order = replace(end.order, state=state, reason=end.order.reason or (attempt.cancel_reason if cancelled else None))
    changes: list[Change] = [order]
    changes.append(_tell(EventKind.ATTEMPT_ENDED, job, attempt, now, end.cause, state=state, reason=order.reason))
    if job.state in ENDED_JOB:
        return Outcome(accepted=True, changes=tuple(changes))
    if cancelled and any(other.number > attempt.number and other.state in OPEN_ATTEMPT for other in job.attempts):
        return Outcome(accepted=True, changes=tuple(changes))  # called off long ago: a newer one decides
    if any(other.id != attempt.id and other.state == AttemptState.RUNNING for other in job.attempts) and (
        move is Move.RETRY or state == AttemptState.CANCELLED
    ):
        return Outcome(accepted=True, changes=tuple(changes))
    new = job_flow.after(job.state, move)
    reason = end.allowed if move is Move.ALLOW and end.allowed else _job_reason(attempt, state, order, move, job)
    if move is Move.RETRY:
        if not any(other.id != attempt.id and other.state in OPEN_ATTEMPT for other in job.attempts):
            number = max(other.number for other in job.attempts) + 1
            changes.append(AddAttempt(job.id, number, f"retry after {state}"))
            changes.append(MoveJob(job.id, new, reason))
        return Outcome(accepted=True, changes=tuple(changes))
    changes.append(MoveJob(job.id, new, reason, outputs=end.outputs or None))
    changes.append(_tell(EventKind.JOB_ENDED, job, attempt, now, f"attempt {attempt.number} {state}", state=new))
    return Outcome(accepted=True, changes=tuple(changes), job_ended=True)


def _job_reason(attempt: Attempt, state: AttemptState, order: EndAttempt, move: Move, job: Job) -> str | None:
    if move is Move.RETRY:
        return f"attempt {attempt.number} was {state}: {order.reason or 'no reason was given'}; trying again"
    if state in (AttemptState.LOST, AttemptState.BROKEN):
        tries = len(_run_of(job))
        return f"{state} {tries} times, the last time because: {order.reason or 'no reason was given'}"
    return order.reason


def _run_of(job: Job) -> list[Attempt]:
    """The tries of the present run: the last that somebody asked for and those that followed by themselves."""
    run: list[Attempt] = []
    for attempt in sorted(job.attempts, key=lambda each: -each.number):
        run.append(attempt)
        if not attempt.cause.startswith("retry"):
            break
    return run


def _may_retry(job: Job, attempt: Attempt, end: EndAttempt, retry: Retry) -> bool:
    """Whether a try that said nothing about the code is followed by another.

    What never began (its runner died with the assignment in hand, its source could not be fetched) cannot be the job's
    own doing: it does not count against the job's retries, up to a bound of its own.
    """
    before = [each for each in _run_of(job) if each.id != attempt.id]
    if end.started_at is None and attempt.started_at is None:
        return len(before) + 1 < MAX_TRIES
    return sum(each.started_at is not None for each in before) < retry.max and len(before) + 1 < MAX_TRIES


def _call_off(job: Job, came_back: Attempt, now: datetime) -> Iterable[Change]:
    """End or stop the other open attempts of a job whose lost attempt came back with a result."""
    reason = f"attempt {came_back.number} came back with its result"
    for attempt in job.attempts:
        if attempt.id == came_back.id:
            continue
        if attempt.state == AttemptState.QUEUED:
            yield EndAttempt(attempt.id, AttemptState.CANCELLED, finished_at=now, reason=reason)
        elif attempt.state == AttemptState.RUNNING:
            yield AskCancel(attempt.id, attempt.runner_id, reason)


def lost(job: Job, attempt: Attempt, retry: Retry, now: datetime, reason: str) -> Outcome:
    """What follows when the runner of a running attempt is given up."""
    if attempt.state in ENDED_ATTEMPT:
        return Outcome(accepted=False, reason=f"attempt {attempt.number} has ended as {attempt.state}")
    end = End(EndAttempt(attempt.id, AttemptState.LOST, finished_at=now, reason=reason), cause=reason)
    return decide(job, attempt, end, retry, now)


def cancel(job: Job, now: datetime, reason: str) -> tuple[Change, ...]:
    """Stop a job: an open job that no runner holds ends now, a running one when its runner has stopped it."""
    if job.state in ENDED_JOB:
        return ()
    changes: list[Change] = []
    running = [attempt for attempt in job.attempts if attempt.state == AttemptState.RUNNING]
    for attempt in running:
        if attempt.cancel_reason is None:
            changes.append(AskCancel(attempt.id, attempt.runner_id, reason))
            changes.append(_tell(EventKind.ATTEMPT_CANCEL_ASKED, job, attempt, now, reason))
    changes.extend(
        EndAttempt(attempt.id, AttemptState.CANCELLED, finished_at=now, reason=reason)
        for attempt in job.attempts
        if attempt.state == AttemptState.QUEUED
    )
    if not running:
        changes.append(MoveJob(job.id, job_flow.after(job.state, Move.CANCEL), reason))
        changes.append(_tell(EventKind.JOB_ENDED, job, None, now, reason, state=JobState.CANCELLED))
    return tuple(changes)


def rerun(job: Job, now: datetime, cause: str) -> tuple[Change, ...]:
    """Queue another attempt of a job that has ended; an open job is left alone."""
    if job.state not in ENDED_JOB or not job.attempts:
        return ()
    number = max(attempt.number for attempt in job.attempts) + 1
    return (
        AddAttempt(job.id, number, cause),
        MoveJob(job.id, job_flow.after(job.state, Move.RERUN), None),
        _tell(EventKind.JOB_QUEUED, job, None, now, cause),
    )


def rerun_later(job: Job, now: datetime, cause: str) -> tuple[Change, ...]:
    """Let a job that has ended wait for the jobs it needs, which run again: by their ends it runs or is skipped."""
    if job.state not in ENDED_JOB:
        return ()
    reason = f"waits for {', '.join(job.needs)}"
    return (
        MoveJob(job.id, job_flow.after(job.state, Move.AWAIT), reason, waits_for="needs"),
        _tell(EventKind.JOB_WAITING, job, None, now, cause),
    )


def rerun_behind(job: Job, now: datetime, cause: str, reason: str, waits_for: str) -> tuple[Change, ...]:
    """Let a job that has ended wait for its turn in a concurrency group; then it runs once more."""
    if job.state not in ENDED_JOB or not job.attempts:
        return ()
    return (
        MoveJob(job.id, job_flow.after(job.state, Move.AWAIT), reason, waits_for=waits_for),
        _tell(EventKind.JOB_WAITING, job, None, now, cause),
    )


def _tell(kind: EventKind, job: Job, attempt: Attempt | None, now: datetime, cause: str, **details: object) -> Tell:
    return Tell(
        Event(
            kind,
            now,
            cause,
            repository_id=job.repository_id,
            build_id=job.build_id,
            job_id=job.id,
            attempt_id=None if attempt is None else attempt.id,
            runner_id=None if attempt is None else attempt.runner_id,
            details={key: value for key, value in details.items() if value is not None},
        )
    )
