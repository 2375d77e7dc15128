"""A branch that went red: between which commits, by which tests, and what is known of the culprit."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BreakState(StrEnum):
    """Where the search for the culprit stands."""

    SEARCHING = "searching"
    """Commits of the range are yet to be tested."""
    NAMED = "named"
    """One commit is to blame."""
    RANGE = "range"
    """One of several commits is; it cannot be told which, and `reason` says why."""
    FLAKY = "flaky"
    """The tests said both yes and no of one commit: nobody is blamed."""
    CANCELLED = "cancelled"
    """Somebody stopped the search."""
    MENDED = "mended"
    """The branch is green again; `culprit` stays what it was."""


OPEN_BREAK = frozenset(BreakState) - {BreakState.MENDED}


@dataclass(frozen=True, slots=True)
class Break:
    """One job of one workflow that went red on a branch."""

    id: int
    repository_id: int
    ref: str
    source: str
    """The workflow's file."""
    job: str
    """The job's name, matrix and all."""
    job_key: str
    build_id: int
    """The build that showed it."""
    good: str
    """The last commit before the range that was good."""
    candidates: tuple[str, ...]
    """The commits of the range along first parents, oldest first; the last one was seen to be bad."""
    tests: tuple[str, ...]
    """The tests that failed; empty: the job failed without one."""
    suspect: bool
    """All of them are known to be flaky, so one answer is not believed."""
    state: BreakState
    reason: str | None
    culprit: str | None
    opened_at: datetime
    named_at: datetime | None
    ended_at: datetime | None
