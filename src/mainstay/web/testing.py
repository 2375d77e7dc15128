"""What the last results of a test tell: how it ended in each build, and since when. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mainstay.flow.flaky import FAILURES, worst
from mainstay.store.figures import DayRow
from mainstay.store.views.tests import Outcome, TestLine

__all__ = ["FAILURES", "Digest", "days_as_dates", "run", "states"]


@dataclass(frozen=True, slots=True)
class Digest:
    """A test with its last results, newest first."""

    line: TestLine
    history: tuple[Outcome, ...]

    @property
    def name(self) -> str:
        """Its whole name."""
        return self.line.name

    @property
    def state(self) -> str | None:
        """How it ended in the newest build it was in; a running one may be newer than the figures."""
        if self.history:
            return states(self.history)[0][0]
        return self.line.state


def states(history: Sequence[Outcome]) -> list[tuple[str, Outcome]]:
    """How the test ended in each build, newest first, with its newest result there.

    A failure in any job counts; a rerun or a further attempt counts for its job.
    """
    by_build: dict[int, dict[int, Outcome]] = {}
    for each in history:
        by_build.setdefault(each.build_id, {}).setdefault(each.job_id, each)
    return [
        (worst(each.outcome for each in by_job.values()), next(iter(by_job.values()))) for by_job in by_build.values()
    ]


def run(history: Sequence[Outcome]) -> list[Outcome]:
    """The newest builds of the newest one's branch in which the test ended as it did there: their newest results,
    newest first."""
    if not history:
        return []
    found: list[Outcome] = []
    ends = states([each for each in history if each.ref == history[0].ref])
    for word, newest in ends:
        if (word in FAILURES) != (ends[0][0] in FAILURES):
            break
        found.append(newest)
    return found


def days_as_dates(days: Sequence[DayRow]) -> list[tuple[date, DayRow]]:
    """Days with their dates."""
    return [(date(1970, 1, 1) + timedelta(days=each.day), each) for each in days]
