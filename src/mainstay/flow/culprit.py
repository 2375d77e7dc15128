"""Who broke a branch: what is to be tested next, or what can be said. Plans over what is known; may be asked again.

The range runs from the last good commit to the first that was seen to be bad, along first parents. While commits of it
have builds that run, their end is awaited. Commits that were skipped are tested by halving the range, with the failing
tests only. Whoever is named by such a test, or by tests that are known to be flaky, is named only after a second
answer of the commit and of the one before it: a test that says both yes and no of one commit blames nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, log2
from typing import TypeAlias

MAX_CANDIDATES = 1000
"""Commits of a range that is searched."""
MAX_TESTS = 100
"""Failing tests that are run again."""
CONFIRMATIONS = 4
"""Probes beyond those that halve the range."""


class Answer(StrEnum):
    """What a build or a probe says of a commit."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"
    """It has not ended."""
    VOID = "void"
    """It says nothing: the job broke before the tests, the runner was lost, it ran out of time."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is known. `answers` are by commit, also of `good`; a commit without any was not tested."""

    good: str
    candidates: Sequence[str]
    """Oldest first; the last one is bad."""
    answers: Mapping[str, Sequence[Answer]]
    probes: int
    """Tests that were started for this search."""
    may_probe: bool
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Commits of the range are being tested."""

    reason: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Run the failing tests at this commit."""

    commit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Name:
    """This commit is to blame."""

    commit: str


@dataclass(frozen=True, slots=True)
class Range:
    """One of these commits is to blame."""

    commits: Sequence[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Flaky:
    """Nobody is to blame."""

    reason: str


Decision: TypeAlias = Wait | Probe | Name | Range | Flaky


def plan(search: Search) -> Decision:
    """What to do next."""
    told = {commit: _told(given) for commit, given in search.answers.items()}
    both = next((commit for commit in (search.good, *search.candidates) if told.get(commit) == "both"), None)
    if both is not None:
        return Flaky(f"the same tests passed and failed at {both[:8]}: nobody is blamed")
    line = [search.good, *search.candidates]
    good, bad = _edges(line, told)
    gap = line[good + 1 : bad]
    running = [commit for commit in gap if Answer.OPEN in search.answers.get(commit, ())]
    if running:
        many = "1 commit" if len(running) == 1 else f"{len(running)} commits"
        return Wait(f"{many} between {line[good][:8]} and {line[bad][:8]} have builds that have not ended")
    if gap:
        return _halve(search, line, good, bad)
    if search.probes or search.suspect:
        return _confirmed(search, line[good], line[bad])
    return Name(line[bad])


def _edges(line: Sequence[str], told: Mapping[str, str]) -> tuple[int, int]:
    """Places of the last good commit before the present run of bad ones, and of the first bad one after it."""
    bad = len(line) - 1
    for place in range(len(line) - 1, 0, -1):
        if told.get(line[place]) == Answer.BAD:
            bad = place
        elif told.get(line[place]) == Answer.GOOD:
            return place, bad
    return 0, bad


def _halve(search: Search, line: Sequence[str], good: int, bad: int) -> Decision:
    gap = line[good + 1 : bad]
    untested = [commit for commit in gap if not search.answers.get(commit)]
    commits = line[good + 1 : bad + 1]
    if not untested:
        return Range(commits, f"the {len(gap)} before {line[bad][:8]} cannot be tested")
    if not search.may_probe:
        return Range(commits, f"{len(untested)} of them were not tested")
    if search.probes >= most_probes(len(search.candidates)):
        return Range(commits, f"{search.probes} tries did not tell")
    middle = min(untested, key=lambda commit: abs(line.index(commit) - (good + bad) / 2))
    return Probe(middle, f"between {line[good][:8]} (good) and {line[bad][:8]} (bad)")


def _confirmed(search: Search, good: str, bad: str) -> Decision:
    """Name `bad` when it and the commit before it have said the same twice."""
    for commit, wanted in ((bad, Answer.BAD), (good, Answer.GOOD)):
        given = search.answers.get(commit, ())
        if Answer.OPEN in given:
            return Wait(f"{commit[:8]} is tested once more")
        if sum(each == wanted for each in given) < 2 and not (commit == search.good and Answer.VOID in given):
            if not search.may_probe or search.probes >= most_probes(len(search.candidates)):
                if search.suspect:
                    return Flaky("the tests that failed are known to be flaky: nobody is blamed")
                return Name(bad)
            return Probe(commit, f"a second answer, before {bad[:8]} is blamed")
    return Name(bad)


def most_probes(candidates: int) -> int:
    """How many tests a search may start."""
    return 2 * ceil(log2(max(2, candidates))) + CONFIRMATIONS


def _told(given: Sequence[Answer]) -> str:
    """What the answers of one commit come to: `good`, `bad`, `both`, or nothing."""
    found = {answer for answer in given if answer in (Answer.GOOD, Answer.BAD)}
    return "both" if len(found) == 2 else next(iter(found), "")
