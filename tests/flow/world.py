"""A world in memory that carries out what the pure decisions order: what the store does, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mainstay.model.changes import AddAttempt, AskCancel, Change, EndAttempt, MoveJob, Tell
from mainstay.model.job import Attempt, Job
from mainstay.model.states import AttemptState, JobState

START = datetime(2026, 1, 1, tzinfo=UTC)


def queued_job(allowed_to_fail: bool = False) -> Job:
    """A job with its first attempt queued."""
    first = Attempt(1, 1, 1, AttemptState.QUEUED, "push", START)
    return Job(1, 1, 1, "test", "test", 0, JobState.QUEUED, None, allowed_to_fail=allowed_to_fail, attempts=(first,))


class World:
    """One job, its attempts, and the time."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.now = START
        self.told: list[str] = []

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def attempt(self, attempt_id: int) -> Attempt:
        return next(each for each in self.job.attempts if each.id == attempt_id)

    def claim(self, attempt_id: int) -> None:
        self._set(attempt_id, state=AttemptState.RUNNING, runner_id=1)
        self.job = replace(self.job, state=JobState.RUNNING)

    def apply(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case EndAttempt():
                    self._set(
                        change.attempt_id,
                        state=change.state,
                        finished_at=change.finished_at,
                        started_at=change.started_at,
                    )
                case MoveJob():
                    self.job = replace(self.job, state=change.state, reason=change.reason)
                case AskCancel():
                    self._set(change.attempt_id, cancel_reason=change.reason)
                case AddAttempt():
                    number = len(self.job.attempts) + 1
                    assert change.number == number
                    new = Attempt(number, 1, number, AttemptState.QUEUED, change.cause, self.now)
                    self.job = replace(self.job, attempts=(*self.job.attempts, new))
                case Tell():
                    self.told.append(change.event.kind)
                case _:
                    raise AssertionError(f"{change} is not for one job")

    def _set(self, attempt_id: int, **values: object) -> None:
        attempts = tuple(
            replace(each, **values) if each.id == attempt_id else each  # type: ignore[arg-type]
            for each in self.job.attempts
        )
        self.job = replace(self.job, attempts=attempts)
