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
        states(history)[0][0] if history else None,
        sum(each.outcome in FAILURES for each in history),
        flakiness(history),
        round(median(ran), 6) if ran else None,
    )


def states(history: Sequence[Outcome]) -> list[tuple[str, Outcome]]:
    """How the test ended in each build, newest first, with its newest result there.

    A failure in any job counts; a rerun or a further attempt counts for its job.
    """
    by_build: dict[int, dict[int, Outcome]] = {}
    for each in history:
        by_build.setdefault(each.build_id, {}).setdefault(each.job_id, each)
    found = []
    for by_job in by_build.values():
        outcomes = {each.outcome for each in by_job.values()}
        word = next((word for word in (*FAILURES, "passed") if word in outcomes), "skipped")
        found.append((word, next(iter(by_job.values()))))
    return found


def run(history: Sequence[Outcome]) -> list[Outcome]:
    """The newest builds in which the test ended as it did in the last one: their newest results, newest first."""
    found: list[Outcome] = []
    ends = states(history)
    for word, newest in ends:
        if (word in FAILURES) != (ends[0][0] in FAILURES):
            break
        found.append(newest)
    return found


def flakiness(history: Sequence[Outcome]) -> float:
    """Of the trees on which a test ran more than once: the share on which it both passed and failed."""
    by_tree: dict[tuple[str, str], list[str]] = {}
    for each in history:
        if each.outcome != "skipped":
            by_tree.setdefault((each.tree, each.job), []).append(each.outcome)
    repeated = [outcomes for outcomes in by_tree.values() if len(outcomes) > 1]
    both = [outcomes for outcomes in repeated if "passed" in outcomes and any(word in outcomes for word in FAILURES)]
    return round(len(both) / len(repeated), 4) if repeated else 0.0
