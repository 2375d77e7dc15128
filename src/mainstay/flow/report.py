"""When a branch has changed its state, and what is told of it. A branch is as its newest decided commit is.

A commit decides once all its builds on the branch have ended and say something; one that still runs, or whose builds
were cancelled, is passed over. What was found moves along the branch and never back, so a build of an older commit that
ends late changes nothing, and neither does one that runs again while it is open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mainstay.flow import build as build_flow
from mainstay.model.report import Light, ReportKind, Standing
from mainstay.model.states import ENDED_BUILD, BuildState

REMIND = timedelta(days=1)
"""A red branch is spoken of again after this at the earliest."""

_LIGHTS = {BuildState.PASSED: Light.GREEN, BuildState.ALLOWED: Light.GREEN, BuildState.FAILED: Light.RED}


@dataclass(frozen=True, slots=True)
class Seen:
    """A commit of the branch and what its builds say."""

    commit: str
    light: Light


@dataclass(frozen=True, slots=True)
class Step:
    """How a branch stands from now on, and what is told; `kind` is None when nothing is."""

    standing: Standing
    kind: ReportKind | None = None


def light(states: Iterable[BuildState]) -> Light:
    """What the builds of a commit say together."""
    found = list(states)
    if any(state not in ENDED_BUILD for state in found):
        return Light.OPEN
    return _LIGHTS.get(build_flow.verdict(found), Light.NONE)


def judge(line: Sequence[Seen], standing: Standing | None, own: Light, gone: bool, now: datetime) -> Step | None:
    """What follows for a branch; None: nothing.

    `line`: the branch's commits that are newer than the one which decided last, newest first; all of them when nothing
    was decided yet, or when that commit is not on the branch any more (`gone`, after a force-push). `own`: what the
    builds of that commit say today.
    """
    found = _newest(line, wait=gone)
    if found is None and standing is not None and not gone and own in (Light.GREEN, Light.RED):
        found = Seen(standing.commit, own)
    if found is None:
        return None
    if standing is None or found.light != standing.light:
        return _changed(found, standing, now)
    if found.light == Light.RED and standing.told_at is not None and now - standing.told_at >= REMIND:
        return Step(replace(standing, commit=found.commit, told_at=now), ReportKind.STILL_BROKEN)
    return None if found.commit == standing.commit else Step(replace(standing, commit=found.commit))


def _newest(line: Sequence[Seen], wait: bool) -> Seen | None:
    """The newest commit that decides. `wait`: none does while a newer one is open.

    After a force-push the commits below the new ones are old news: what was pushed in their place will tell.
    """
    for seen in line:
        if seen.light in (Light.GREEN, Light.RED):
            return seen
        if wait and seen.light == Light.OPEN:
            return None
    return None


def _changed(found: Seen, standing: Standing | None, now: datetime) -> Step:
    if found.light == Light.RED:
        return Step(Standing(Light.RED, found.commit, now, told_at=now), ReportKind.BROKEN)
    return Step(Standing(Light.GREEN, found.commit, now), None if standing is None else ReportKind.FIXED)
