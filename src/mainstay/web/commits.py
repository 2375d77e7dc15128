"""Pages of a repository's commits: what is asked for, where a page stands, how its commits hang together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mainstay.flow import build as build_flow
from mainstay.model.repository import Repository
from mainstay.model.states import BuildState, JobState
from mainstay.store.database import Tx
from mainstay.store.views import builds as build_views
from mainstay.store.views import commits as views
from mainstay.web import listing
from mainstay.web.history import newest_first
from mainstay.web.listing import CommitLine

FEW = 120
"""Builds that are looked at for a page where nothing is searched for,"""
WINDOW = 400
"""and in one go where something is,"""
ROUNDS = 8
"""and how often at most for one page: a filter that hits rarely gives a short page, from which one may look on."""
LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """Which commits are asked for. Empty: all."""

    branch: str | None = None
    state: BuildState | None = None
    author: str = ""
    """A part of the author's name or address, in any case."""
    text: str = ""
    """A part of the message, or the first digits of the commit."""

    @property
    def ref(self) -> str | None:
        """The whole name of the branch."""
        return listing.ref_of(self.branch) if self.branch else None

    @property
    def searches(self) -> bool:
        """Whether what commits say decides."""
        return bool(self.author or self.text)

    def fitting(self, tx: Tx, repository_id: int, shas: set[str]) -> set[str]:
        """Those that say what is asked for."""
        if not self.searches:
            return shas
        author, text = self.author.casefold(), self.text.casefold()
        return {
            sha
            for sha, by, message in views.said(tx, repository_id, shas)
            if author in by.casefold() and (text in message.casefold() or sha.startswith(text))
        }


@dataclass(frozen=True, slots=True)
class CommitPage:
    """Some commits, newest first, and where the pages on both sides begin."""

    lines: tuple[CommitLine, ...]
    older: int | None
    """Pages with older commits begin before this build; None: there are none."""
    newer: int | None
    """Pages with newer commits begin after this build; None: this is the newest."""
    looked_short: bool = False
    """Whether the search was ended before it had found a page full, with more to look at."""


def page(
    tx: Tx, repository: Repository, wanted: Filter, before: int | None, after: int | None, limit: int
) -> CommitPage:
    """The commits that stand next before or after a build. They stand where their newest build is."""
    found: list[tuple[int, CommitLine]] = []
    edge = before if after is None else after
    for _ in range(ROUNDS):
        window = _window(tx, repository, wanted, edge, backward=after is not None)
        part = list(window.commits) if after is None else list(reversed(window.commits))
        for place, line in _fitting(tx, repository, wanted, part):
            found.append((place, line))
            if len(found) > limit:
                break
        edge = window.edge
        if edge is None or len(found) > limit:
            break
    more = len(found) > limit
    shown = sorted(found[:limit], key=lambda each: each[0], reverse=True)
    places = [place for place, _ in shown]
    onward = places[-1 if after is None else 0] if more else edge
    if after is None:
        older = onward
        newest = places[0] if places else before
        newer = newest if before is not None and newest and _any_newer(tx, repository, wanted, newest) else None
    else:
        older, newer = (places[-1] if places else after + 1), onward
    by_sha = {line.sha: line for _, line in shown}
    order = newest_first(list(by_sha), {sha: each.commit for sha, each in by_sha.items() if each.commit})
    return CommitPage(tuple(by_sha[sha] for sha in order), older, newer, not more and edge is not None)


def _any_newer(tx: Tx, repository: Repository, wanted: Filter, build_id: int) -> bool:
    return views.any_newer(tx, repository.id, wanted.ref, build_id)


def _window(tx: Tx, repository: Repository, wanted: Filter, edge: int | None, *, backward: bool) -> views.Window:
    """The next candidates. Those in a rare state are found by the index over states, in the usual direction."""
    if wanted.state is None or backward:
        where = {"before": None, "after": edge} if backward else {"before": edge, "after": None}
        return views.window(
            tx,
            repository.id,
            wanted.ref,
            **where,
            size=WINDOW if wanted.searches or wanted.state else FEW,
            fitting=lambda shas: wanted.fitting(tx, repository.id, shas),
        )
    holding = listing.holding(wanted.state)
    asked = build_views.Wanted((repository.id,), wanted.ref, None, holding)
    ids, rest = build_views.candidates(tx, asked, edge, listing.PAGE)
    newest: dict[str, int] = {}
    for head in build_views.heads(tx, ids):
        newest.setdefault(head.commit, head.id)
    fitting = wanted.fitting(tx, repository.id, set(newest))
    return views.Window(tuple((build_id, sha) for sha, build_id in newest.items() if sha in fitting), rest)


def _fitting(
    tx: Tx, repository: Repository, wanted: Filter, part: Sequence[tuple[int, str]]
) -> Iterable[tuple[int, CommitLine]]:
    """The lines of those that fit, in the order given; jobs are read of no more than a page at a time."""
    for start in range(0, len(part), listing.PAGE):
        some = part[start : start + listing.PAGE]
        lines = {line.sha: line for line in listing.commit_lines(tx, repository.id, [s for _, s in some], wanted.ref)}
        for place, sha in some:
            line = lines.get(sha)
            if line is not None and wanted.state in (None, line.state):
                yield place, line


@dataclass(frozen=True, slots=True)
class Group:
    """A commit of the line that is followed, with the commits that it merged; or one that stands beside the line."""

    line: CommitLine
    merged: tuple[CommitLine, ...]
    beside: bool
    """Whether it is not on the line: of another branch, not merged yet."""


def groups(lines: Sequence[CommitLine], start: str | None) -> tuple[list[Group], str | None]:
    """Lines, newest first, as the first-parent line from commit `start` and what was merged into it.

    Merged commits stand under their merge. Also gives the commit with which the line goes on below.
    """
    by_sha = {line.sha: line for line in lines}
    parents = {line.sha: line.commit.parents if line.commit else () for line in lines}
    trunk, below = _trunk(parents, start if start in by_sha else _first(lines, parents))
    merges: dict[str, list[str]] = {}
    taken: set[str] = set(trunk)
    for sha in reversed(trunk):  # An older merge brought what is reachable from both.
        merges[sha] = _side(parents, parents[sha][1:], taken)
    place = {line.sha: index for index, line in enumerate(lines)}
    found = []
    for line in lines:
        if line.sha in merges:
            merged = sorted(merges[line.sha], key=place.__getitem__)
            found.append(Group(line, tuple(by_sha[sha] for sha in merged), beside=False))
        elif line.sha not in taken:
            found.append(Group(line, (), beside=True))
    return found, below


def _first(lines: Sequence[CommitLine], parents: Mapping[str, tuple[str, ...]]) -> str | None:
    """Where the line most likely begins: with the first commit that no merge here has brought in from the side."""
    side: set[str] = set()
    for found in parents.values():
        _side(parents, found[1:], side)
    return next((line.sha for line in lines if line.sha not in side), None)


def _trunk(parents: Mapping[str, tuple[str, ...]], start: str | None) -> tuple[list[str], str | None]:
    found: list[str] = []
    at = start
    while at is not None and at in parents and at not in found:
        found.append(at)
        at = parents[at][0] if parents[at] else None
    return found, at


def _side(parents: Mapping[str, tuple[str, ...]], begin: Sequence[str], taken: set[str]) -> list[str]:
    """What is reachable from `begin` and was not taken before; it is taken now."""
    found = []
    waiting = list(begin)
    while waiting:
        sha = waiting.pop()
        if sha in parents and sha not in taken:
            taken.add(sha)
            found.append(sha)
            waiting.extend(parents[sha])
    return found


def states(tx: Tx, repository_id: int, shas: Sequence[str]) -> dict[str, BuildState]:
    """The verdicts of many commits; those without builds are left out."""
    found = views.job_states(tx, repository_id, list(dict.fromkeys(shas)))
    return {
        sha: build_flow.verdict(build_flow.fold(JobState(state) for state in states) for states in by_build.values())
        for sha, by_build in found.items()
    }
