"""What one attempt's results of a test add to its figures, and how flaky that makes it. `docs/how-to/tests.md` tells
the formula to people.

A test is *flaky on a tree* when the same job both passed and failed it there: by reruns within one attempt, by attempts
of one job, or by builds of commits with the same tree. Its score is the share of such trees among those it ran on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FAILURES = frozenset({"failed", "error"})
WINDOW_DAYS = 30
"""The window of all figures: so many days, ending with the day of the test's newest result."""
SEVERITY = {"failed": 3, "error": 3, "passed": 2, "skipped": 1}


@dataclass(frozen=True, slots=True)
class Tally:
    """What an attempt adds to the day it ended on."""

    runs: int = 0
    failures: int = 0
    trees: int = 0
    flaky: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a test within an attempt."""

    outcome: str
    duration_s: float


def tally(tries: Sequence[Try], before: Iterable[str]) -> Tally:
    """Judge the tries of a test within one attempt, in their order.

    `before` are its outcomes in the attempts of the same job on the same tree that were counted already.
    """
    ran = [each for each in tries if each.outcome != "skipped"]
    if not ran:
        return Tally()
    known = {_failed(outcome) for outcome in before if outcome != "skipped"}
    now = known | {_failed(each.outcome) for each in ran}
    return Tally(
        runs=1,
        failures=int(_failed(ran[-1].outcome)),
        trees=int(not known),
        flaky=int(len(now) == 2 and len(known) < 2),
        seconds=sum(each.duration_s for each in ran),
    )


def score(flaky: int, trees: int) -> float:
    """Of the trees that a test ran on in its window, the share on which it both passed and failed, 0 to 1."""
    return round(min(1.0, flaky / trees), 4) if trees > 0 else float(flaky > 0)


def worst(outcomes: Iterable[str]) -> str:
    """How a test ended in a build, from how it ended in each of the build's jobs."""
    return max(outcomes, key=lambda outcome: SEVERITY.get(outcome, 0))


def _failed(outcome: str) -> bool:
    return outcome in FAILURES
