"""What a line of commits tells: its order, its verdicts, since when it is broken. Pure."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.model.repository import Commit
from mainstay.model.states import BuildState


def newest_first(shas: Sequence[str], known: Mapping[str, Commit]) -> list[str]:
    """`shas` with every commit before its parents; where that leaves a choice, the later committed first.

    Builds of one push are made tip first, so the order of builds is not the order of commits.
    """
    place = {sha: index for index, sha in enumerate(shas)}
    waiting = dict.fromkeys(place, 0)
    for sha in place:
        for parent in _parents(sha, known):
            if parent in waiting:
                waiting[parent] += 1
    ready = [_rank(sha, known, place) for sha, children in waiting.items() if not children]
    heapq.heapify(ready)
    found: list[str] = []
    while ready:
        sha = heapq.heappop(ready)[2]
        found.append(sha)
        for parent in _parents(sha, known):
            if parent in waiting:
                waiting[parent] -= 1
                if not waiting[parent]:
                    heapq.heappush(ready, _rank(parent, known, place))
    return found


def _parents(sha: str, known: Mapping[str, Commit]) -> tuple[str, ...]:
    commit = known.get(sha)
    return commit.parents if commit else ()


def _rank(sha: str, known: Mapping[str, Commit], place: Mapping[str, int]) -> tuple[float, int, str]:
    commit = known.get(sha)
    return (-commit.committed_at.timestamp() if commit else 0.0, place[sha], sha)


@dataclass(frozen=True, slots=True)
class Tested:
    """A commit of a line with what is known of it."""

    sha: str
    state: BuildState
    at: datetime
    """When its verdict was known; else when its first build was made."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a branch stands."""

    state: BuildState
    """Of the newest commit that has a verdict; of the tip while there is none."""
    since: datetime | None
    """When the present run of the same verdict began."""
    by: str | None
    """The commit it began with."""
    certain: bool
    """False: it may have begun before the commits that were looked at."""
    ahead: int
    """Newer commits without a verdict."""


OPEN = (BuildState.WAITING, BuildState.QUEUED, BuildState.RUNNING)


def standing(line: Sequence[Tested]) -> Standing | None:
    """Where a branch stands, from its commits, newest first. None: no commits."""
    if not line:
        return None
    ahead = next((index for index, each in enumerate(line) if each.state not in OPEN), len(line))
    ended = [each for each in line[ahead:] if each.state not in OPEN]
    if not ended:
        return Standing(line[0].state, line[0].at, line[0].sha, certain=True, ahead=ahead)
    state = ended[0].state
    run = [ended[0]]
    for each in ended[1:]:
        if each.state is not state:
            return Standing(state, run[-1].at, run[-1].sha, certain=True, ahead=ahead)
        run.append(each)
    return Standing(state, run[-1].at, run[-1].sha, certain=False, ahead=ahead)
