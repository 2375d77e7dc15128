"""Folding jobs into a build's state, which of its jobs may start now, and when its latest round began."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from mainstay.model.job import Job
from mainstay.model.states import ENDED_JOB, BuildState, JobState

RUN_AGAIN = "run again by "
"""How the cause of an attempt begins that a person asked for."""
_OPEN_ORDER = (JobState.RUNNING, JobState.QUEUED, JobState.WAITING)


def fold(states: Iterable[JobState]) -> BuildState:
    """A build's state from the states of its jobs.

    Open: `running` once anything has started or ended, else `queued` if anything is, else `waiting`. Ended: the worst
    of its jobs decides (failed, cancelled, allowed); neutral and skipped jobs do not hide that others passed, but a
    build in which nothing passed is never green.
    """
    counts = Counter(states)
    if any(counts[state] for state in _OPEN_ORDER):
        if counts[JobState.RUNNING] or any(counts[state] for state in ENDED_JOB - {JobState.SKIPPED}):
            return BuildState.RUNNING
        return BuildState.QUEUED if counts[JobState.QUEUED] else BuildState.WAITING
    for state in (JobState.FAILED, JobState.CANCELLED, JobState.ALLOWED, JobState.PASSED, JobState.NEUTRAL):
        if counts[state]:
            return BuildState(state.value)
    return BuildState.SKIPPED if counts else BuildState.NEUTRAL


def state(jobs: Iterable[Job]) -> BuildState:
    """A build's state from its jobs."""
    return fold(job.state for job in jobs)


def verdict(states: Iterable[BuildState]) -> BuildState:
    """A commit's state from the states of its builds; the same fold, one level up."""
    return fold(JobState(state.value) for state in states)


def needs_ended(job: Job, jobs: Sequence[Job]) -> bool:
    """Whether every job that `job` needs has ended. A key that was expanded counts when all its jobs have ended."""
    return all(other.state in ENDED_JOB for other in jobs if other.key in job.needs)


class Tried(Protocol):
    """What is asked of an attempt here."""

    @property
    def number(self) -> int: ...
    @property
    def cause(self) -> str: ...
    @property
    def queued_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...


def latest_round(tries: Sequence[Tried]) -> datetime | None:
    """When somebody last had jobs of a build run again while none of them ran; None: it is in its first round.

    Its time is counted from there: what passed meanwhile, maybe days, is no time that it took.
    """
    asked = {each.queued_at for each in tries if each.number > 1 and each.cause.startswith(RUN_AGAIN)}
    for at in sorted(asked, reverse=True):
        if all(each.queued_at >= at or (each.finished_at is not None and each.finished_at <= at) for each in tries):
            return at
    return None
