"""What a decision wants written: orders to the store, in the imperative. `store.changes.apply` carries them out.

A decision in `flow/` returns a sequence of these; all of one turn are written in one transaction.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self, TypeAlias

from mainstay.model.events import Event
from mainstay.model.job import Annotation, StepResult
from mainstay.model.plan import Json
from mainstay.model.states import AttemptState, JobState


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be added to a build."""

    key: str
    name: str
    position: int
    state: JobState
    reason: str | None = None
    waits_for: str | None = None
    """While it is waiting: `needs`, `max-parallel`, `concurrency`, `build` (its build's group) or `runner`."""
    matrix: dict[str, Json] = field(default_factory=dict)
    strategy: dict[str, Json] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    allowed_to_fail: bool = False
    priority: int = 0
    time_limit_s: float = 21600.0
    concurrency_group: str | None = None
    group: dict[str, Json] = field(default_factory=dict)
    """How it behaves in its concurrency group: `cancel` and `in_order`; not stored."""

    def held(self, waits_for: str, reason: str) -> Self:
        """The same job, not yet queued."""
        return replace(self, state=JobState.WAITING, waits_for=waits_for, reason=reason)


@dataclass(frozen=True, slots=True)
class AddJob:
    """Add a job to a build; with its first attempt when its state is `queued`."""

    build_id: int
    repository_id: int
    job: NewJob
    cause: str


@dataclass(frozen=True, slots=True)
class FillJob:
    """Give a waiting job what became known when its needs had ended."""

    job_id: int
    job: NewJob
    cause: str


@dataclass(frozen=True, slots=True)
class MoveJob:
    """Set a job's state."""

    job_id: int
    state: JobState
    reason: str | None = None
    waits_for: str | None = None
    outputs: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class AddAttempt:
    """Queue a further try of a job."""

    job_id: int
    number: int
    cause: str


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """Write how an attempt ended."""

    attempt_id: int
    state: AttemptState
    finished_at: datetime
    reason: str | None = None
    exit_code: int | None = None
    started_at: datetime | None = None
    commit: str | None = None
    steps: tuple[StepResult, ...] | None = None
    annotations: tuple[Annotation, ...] = ()
    summary: str | None = None
    tests: dict[str, int] | None = None
    log_notice: str | None = None


@dataclass(frozen=True, slots=True)
class AskCancel:
    """Tell the runner that holds an attempt to stop it."""

    attempt_id: int
    runner_id: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Write an event into the story."""

    event: Event


Change: TypeAlias = AddJob | FillJob | MoveJob | AddAttempt | EndAttempt | AskCancel | Tell
