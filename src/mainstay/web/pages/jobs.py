"""A build's jobs as its page shows them: legs of one matrix together, what is well folded, all on one time axis."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.flow import build as build_flow
from mainstay.model.job import Attempt, Job
from mainstay.model.states import JobState

FOLDED_FROM = 9
"""So many legs of a matrix are shown as one line; those that need somebody stand below it."""
ROWS = 20
"""Legs below such a line that have rows of their own."""
STEPS_UP_TO = 40
"""Rows with their steps; with more of them only those that failed or run have theirs."""
URGENT = (JobState.FAILED, JobState.ALLOWED, JobState.RUNNING)
ORDER = (*URGENT, JobState.QUEUED, JobState.WAITING, JobState.CANCELLED, JobState.NEUTRAL, JobState.SKIPPED)
"""What a reader wants to know of first."""


@dataclass(frozen=True, slots=True)
class Span:
    """A job's bar on the time axis of its build, in parts of a thousand; `queued` is the part it waited."""

    left: int
    queued: int
    running: int


@dataclass(frozen=True, slots=True)
class Row:
    """One job."""

    job: Job
    last: Attempt | None
    span: Span | None
    steps: bool
    open: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The legs of one job of the workflow, as one line; or a single job (one row and nothing else)."""

    name: str
    state: JobState
    counts: tuple[tuple[JobState, int], ...]
    """Empty for what is not folded."""
    span: Span | None
    seconds: float | None
    rows: tuple[Row, ...]
    folded: tuple[tuple[JobState, tuple[Row, ...]], ...]


def groups(jobs: Sequence[Job], now: datetime) -> list[Group]:
    """Jobs in their order; where a job has many legs, one group of them at the place of its first."""
    axis = _Axis(jobs, now)
    legs: dict[str, list[Job]] = {}
    for job in jobs:
        legs.setdefault(job.key, []).append(job)
    few = len(jobs) <= 8
    rows = sum(len(each) if len(each) < FOLDED_FROM else 0 for each in legs.values())
    found = []
    for key, these in legs.items():
        if len(these) < FOLDED_FROM:
            found += [_single(job, axis, steps=rows <= STEPS_UP_TO or job.state in URGENT, few=few) for job in these]
        else:
            found.append(_folded(key, these, axis))
    return found


def _single(job: Job, axis: "_Axis", *, steps: bool, few: bool) -> Group:
    row = axis.row(job, steps=steps, few=few)
    return Group(job.name, job.state, (), row.span, None, (row,), ())


def _folded(key: str, jobs: Sequence[Job], axis: "_Axis") -> Group:
    counted = Counter(job.state for job in jobs)
    counts = tuple((state, counted[state]) for state in (*ORDER, JobState.PASSED) if counted[state])
    by_state = {state: [job for job in jobs if job.state is state] for state, _ in counts}
    shown: list[Job] = []
    for state in URGENT:
        shown += by_state.get(state, ())
    shown = shown[:ROWS]
    there = {job.id for job in shown}
    folded = [
        (state, tuple(axis.row(job, steps=False, few=False) for job in these if job.id not in there))
        for state, these in by_state.items()
    ]
    return Group(
        key,
        counts[0][0],
        counts,
        axis.whole(jobs),
        axis.seconds(jobs),
        tuple(axis.row(job, steps=job.state is not JobState.RUNNING, few=False) for job in shown),
        tuple(each for each in folded if each[1]),
    )


def _tells(job: Job, last: Attempt) -> bool:
    return bool(last.steps or last.reason or len(job.attempts) > 1)


class _Axis:
    """The time axis of a build's latest round, from the first job's queueing to the last one's end."""

    def __init__(self, jobs: Sequence[Job], now: datetime) -> None:
        self._round = build_flow.latest_round([each for job in jobs for each in job.attempts])
        lasts = self._lasts(jobs)
        self._now = now
        self._begin = min((each.queued_at for each in lasts), default=now)
        end = max((each.finished_at or now for each in lasts), default=now)
        self._whole = max((end - self._begin).total_seconds(), 0.001)

    def row(self, job: Job, *, steps: bool, few: bool) -> Row:
        last = job.attempts[-1] if job.attempts else None
        wanted = job.state in (JobState.FAILED, JobState.RUNNING) and few
        return Row(job, last, self.whole([job]), steps and last is not None and _tells(job, last), wanted)

    def whole(self, jobs: Sequence[Job]) -> Span | None:
        """From the first to the last of the jobs that were in the round."""
        lasts = self._lasts(jobs)
        if not lasts:
            return None
        left = self._place(min(each.queued_at for each in lasts))
        stop = max(self._place(each.finished_at or self._now) for each in lasts)
        start = min((self._place(each.started_at) for each in lasts if each.started_at), default=stop)
        return Span(left, max(0, start - left), max(0, stop - start))

    def seconds(self, jobs: Sequence[Job]) -> float | None:
        """From the first start to the last end in the round."""
        lasts = self._lasts(jobs)
        starts = [each.started_at for each in lasts if each.started_at]
        ends = [each.finished_at or self._now for each in lasts if each.started_at]
        return (max(ends) - min(starts)).total_seconds() if starts else None

    def _lasts(self, jobs: Sequence[Job]) -> list[Attempt]:
        lasts = [job.attempts[-1] for job in jobs if job.attempts]
        return [each for each in lasts if self._round is None or each.queued_at >= self._round]

    def _place(self, at: datetime) -> int:
        return max(0, min(1000, round((at - self._begin).total_seconds() / self._whole * 1000)))
