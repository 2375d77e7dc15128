"""What the last results of a test tell: its state, how long it takes, how flaky it is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mainstay.store.views.tests import Outcome

FAILURES = ("failed", "error")


@dataclass(frozen=True, slots=True)
class Digest:
    """A test with its last results, newest first."""

    name: str
    history: tuple[Outcome, ...]
    state: str | None
    failures: int
    flakiness: float
    """Share of the trees that were tested more than once on which it both passed and failed, 0 to 1."""
    duration_s: float | None
    """Median of those results that ran."""

    @property
    def flaky(self) -> bool:
        """Whether both outcomes were seen on one tree."""
        return self.flakiness > 0


def digest(name: str, history: Sequence[Outcome]) -> Digest:
    """Judge a test by its results."""
    ran = [each.duration_s for each in history if each.outcome != "skipped"]
    return Digest(
        name,
        tuple(history),
        _state(history),
        sum(each.outcome in FAILURES for each in history),
        flakiness(history),
        round(median(ran), 6) if ran else None,
    )


def _state(history: Sequence[Outcome]) -> str | None:
    """How it ended in its newest build: a failure in any job counts, a rerun counts for its job."""
    if not history:
        return None
    by_job: dict[int, str] = {}
    for each in history:
        if each.build_id == history[0].build_id:
            by_job.setdefault(each.job_id, each.outcome)
    outcomes = set(by_job.values())
    return next((word for word in (*FAILURES, "passed") if word in outcomes), "skipped")


def flakiness(history: Sequence[Outcome]) -> float:
    """Of the trees on which a test ran more than once: the share on which it both passed and failed."""
    by_tree: dict[tuple[str, str], list[str]] = {}
    for each in history:
        if each.outcome != "skipped":
            by_tree.setdefault((each.tree, each.job), []).append(each.outcome)
    repeated = [outcomes for outcomes in by_tree.values() if len(outcomes) > 1]
    both = [outcomes for outcomes in repeated if "passed" in outcomes and any(word in outcomes for word in FAILURES)]
    return round(len(both) / len(repeated), 4) if repeated else 0.0
