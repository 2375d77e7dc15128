"""The states of jobs, attempts and steps, and what follows from them. Nothing else belongs here."""

from enum import StrEnum


class JobState(StrEnum):
    """Where one job of a build stands."""

    WAITING = "waiting"
    """Something must happen first: needs, concurrency, no runner fits. Always with its reason in words."""
    QUEUED = "queued"
    """Any fitting runner with a free slot may take it."""
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ALLOWED = "allowed"
    """It failed, and the workflow allows it to: amber, never green."""
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    NEUTRAL = "neutral"
    """Not decided here (no such runner will come): never green."""


class AttemptState(StrEnum):
    """Where one try of a job on one runner stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    NEUTRAL = "neutral"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """The runner vanished."""
    BROKEN = "broken"
    """Our or the machine's fault, not the code's."""


class StepState(StrEnum):
    """Where one command or action inside an attempt stands."""

    PENDING = "pending"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ALLOWED = "allowed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"


class BuildState(StrEnum):
    """What a build's jobs add up to (derived by `flow.build.state`, never stored)."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ALLOWED = "allowed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    NEUTRAL = "neutral"


ENDED_JOB = frozenset(
    {
        JobState.PASSED,
        JobState.FAILED,
        JobState.ALLOWED,
        JobState.CANCELLED,
        JobState.SKIPPED,
        JobState.NEUTRAL,
    }
)
OPEN_JOB = frozenset(JobState) - ENDED_JOB
OPEN_ATTEMPT = frozenset({AttemptState.QUEUED, AttemptState.RUNNING})
ENDED_ATTEMPT = frozenset(AttemptState) - OPEN_ATTEMPT
ENDED_BUILD = frozenset(BuildState) - {BuildState.WAITING, BuildState.QUEUED, BuildState.RUNNING}
