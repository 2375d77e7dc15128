"""A job, its attempts and their steps, as they are stored."""

from dataclasses import dataclass, field
from datetime import datetime

from mainstay.model.plan import Json
from mainstay.model.states import AttemptState, JobState, StepState


@dataclass(frozen=True, slots=True)
class StepResult:
    """What is known of one step of an attempt."""

    number: int
    """From 1, in the order they were run."""
    name: str
    state: StepState
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_offset: int | None = None
    """Where in the attempt's log its output begins, in bytes."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TestCounts:
    """How many tests ended how."""

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark with a place in the source, from a workflow command or from us."""

    level: str
    """`error`, `warning`, `notice`."""
    message: str
    title: str | None = None
    path: str | None = None
    line: int | None = None
    end_line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job on one runner; never overwritten, a re-run adds one."""

    id: int
    job_id: int
    number: int
    """From 1 within its job."""
    state: AttemptState
    cause: str
    """Why it exists: `push`, `retry after lost`, `rerun by NAME` ..."""
    queued_at: datetime
    runner_id: int | None = None
    runner: str | None = None
    """The runner's name."""
    lease_until: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    commit: str | None = None
    """The commit that was checked out, as verified by the runner."""
    exit_code: int | None = None
    reason: str | None = None
    """Why it ended so, in words, where the state alone does not tell."""
    log_bytes: int = 0
    tests: TestCounts = TestCounts()
    steps: tuple[StepResult, ...] = ()
    cancel_reason: str | None = None
    """Set when its cancelling was asked for while it runs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One node of a build's graph after the matrix is expanded."""

    id: int
    build_id: int
    repository_id: int
    key: str
    name: str
    position: int
    """Order within the build, from 0."""
    state: JobState
    reason: str | None
    matrix: dict[str, Json] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    allowed_to_fail: bool = False
    priority: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    reused_from: int | None = None
    """The job whose verdict was taken over, because it tested the same tree with the same plan."""
    attempts: tuple[Attempt, ...] = ()
    strategy: dict[str, Json] = field(default_factory=dict)
    """The `strategy` context: `fail-fast`, `job-index`, `job-total`, `max-parallel`."""
    concurrency_group: str | None = None
    waits_for: str | None = None
    """While it is waiting: `needs`, `max-parallel`, `concurrency`, `build` (its build's group) or `runner`."""
