"""Home: all repositories, how each main branch stands, what waits."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import BadInput
from mainstay.model.repository import Commit, Repository
from mainstay.model.states import BuildState, JobState
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import builds as views
from mainstay.store.views import commits as commit_views
from mainstay.store.views import queue
from mainstay.web import history, listing
from mainstay.web.access import reader, sight_of
from mainstay.web.history import Standing
from mainstay.web.listing import MAIN_BRANCHES, CommitLine, Line
from mainstay.web.options import site_of
from mainstay.web.pages import marks
from mainstay.web.pages.forms import Forms, sha
from mainstay.web.pages.rendering import render, speak
from mainstay.web.pages.words import Words

LOOKED_AT = 40
"""Builds of a main branch that its own page looks at."""
BUILDS = 20
"""Builds of each main branch that home shows."""
GLANCE = 3
"""Builds that tell which repositories are broken: of hundreds only few are shown."""
SHOWN = 50
"""Repositories on one page."""


@dataclass(frozen=True, slots=True)
class Row:
    """A repository on the home page."""

    repository: Repository
    ref: str | None
    commits: tuple[CommitLine, ...]
    standing: Standing | None
    open: dict[JobState, int]

    @property
    def culprit(self) -> Commit | None:
        """The commit with which its present state began."""
        by = self.standing.by if self.standing else None
        return next((line.commit for line in self.commits if line.sha == by), None)

    @property
    def red(self) -> int | None:
        """The newest build that failed, by its id: what failed stands on its page."""
        return next(
            (
                build.head.id
                for line in self.commits
                if line.state is BuildState.FAILED
                for build in line.builds
                if build.state is BuildState.FAILED
            ),
            None,
        )

    @property
    def undecided(self) -> str | None:
        """Why its main branch has no verdict, where its newest build says so."""
        if self.standing is None or self.standing.state is not BuildState.NEUTRAL:
            return None
        return next(
            (build.head.reason for line in self.commits[:1] for build in line.builds if build.head.reason), None
        )

    @property
    def broken(self) -> bool:
        """Whether its main branch fails."""
        return self.standing is not None and self.standing.state is BuildState.FAILED


def branch_lines(tx: Tx, repository_id: int, ref: str, count: int, before: int | None = None) -> list[CommitLine]:
    """The last commits of a ref that have builds, newest first; or the last ones before a build."""
    heads = views.last_of_ref(tx, repository_id, ref, count, before)
    return listing.commit_lines(tx, repository_id, list(dict.fromkeys(head.commit for head in heads)), ref)


@dataclass(frozen=True, slots=True)
class View:
    """What the home page shows: one page of the repositories that fit."""

    rows: tuple[Row, ...]
    broken: int
    fitting: int
    watched: int
    """How many repositories the reader may see at all."""
    judged: bool
    """Whether every one that fits passes."""
    open: dict[JobState, int]
    first: Row | None
    """The broken one, when there is one only."""


def _view(tx: Tx, text: str, only_broken: bool, skip: int, seen: frozenset[int] | None) -> View:
    known = repositories.all_of(tx, seen)
    found = [each for each in known if text.lower() in each.name.lower()]
    rows = sorted(_standings(tx, found), key=lambda row: (not row.broken, row.repository.name))
    broken = [row for row in rows if row.broken]
    passing = all(row.standing and row.standing.state is BuildState.PASSED for row in rows)
    fitting = broken if only_broken else rows
    shown = [row.repository for row in fitting[skip : skip + SHOWN]]
    first = broken[0].repository if len(broken) == 1 else None
    whole = {row.repository.id: row for row in _rows(tx, [*shown, *([first] if first else [])], BUILDS)}
    return View(
        tuple(whole[each.id] for each in shown),
        len(broken),
        len(fitting),
        len(known),
        bool(rows) and passing,
        queue.counts(tx, seen),
        whole[first.id] if first else None,
    )


def _standings(tx: Tx, found: Sequence[Repository]) -> list[Row]:
    """How the main branches stand, by their last few builds; by more where none of those has a verdict."""
    rows = _rows(tx, found, GLANCE)
    unsure = [row.repository for row in rows if row.standing is not None and row.standing.state in history.OPEN]
    sure = {row.repository.id: row for row in _rows(tx, unsure, BUILDS)}
    return [sure.get(row.repository.id, row) for row in rows]


def _rows(tx: Tx, found: Sequence[Repository], count: int) -> list[Row]:
    """Repositories with the last builds of their main branches; those of all of them are read together."""
    open_jobs = queue.counts_by_repository(tx) if found else {}
    usual = commit_views.usual_branches(tx, [each.id for each in found], MAIN_BRANCHES)
    refs = {
        each.id: listing.main_branch(
            [(ref, "") for ref in usual.get(each.id, ())] or commit_views.branches(tx, each.id)
        )
        for each in found
    }
    heads = {key: views.last_of_ref(tx, key, ref, count) for key, ref in refs.items() if ref is not None}
    lines: dict[int, list[Line]] = {each.id: [] for each in found}
    for line in listing.lines(tx, [head for these in heads.values() for head in these]):
        lines[line.head.repository_id].append(line)
    rows = []
    for each in found:
        commits = tuple(listing.by_commit(tx, each.id, lines[each.id]))
        standing = history.standing([line.tested for line in commits])
        rows.append(Row(each, refs[each.id], commits, standing, open_jobs.get(each.id, {})))
    return rows


async def home(request: Request) -> Response:
    """All repositories, broken ones first; `?q=` those with that in their name, `?broken=1` only broken ones."""
    viewer = await reader(request)
    words, forms = speak(request)
    asked = request.query_params
    text, only_broken = asked.get("q", "").strip()[:100], "broken" in asked
    skip = _number(asked.get("from", "0"))
    view = await site_of(request).engine.db.read(_view, text, only_broken, skip, sight_of(request))
    rows = view.rows
    return render(
        request,
        "home.html",
        viewer,
        title=f"{words.plain('{n} broken', n=view.broken)} · Mainstay" if view.broken else "Mainstay",
        icon="failed" if view.broken else "passed" if view.judged else None,
        live=("events",),
        view=view,
        text=text,
        only_broken=only_broken,
        skip=skip,
        following=skip + SHOWN if skip + SHOWN < view.fitting else None,
        heading=_heading(view, words, forms),
        rows=[
            (row, marks.of_commits(row.commits, row.repository.name, forms), sentence(row, words, forms))
            for row in rows
        ],
        state="failed" if view.broken else "passed" if view.judged else None,
        counts={state.value: count for state, count in view.open.items()},
    )


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 7):
        raise BadInput("from must be a number")
    return int(value)


def _heading(view: View, words: Words, forms: Forms) -> Markup:
    """One sentence of fact."""
    if view.first is not None:
        return Markup("{} {}").format(view.first.repository.name, sentence(view.first, words, forms))
    if view.broken:
        return words("{n} of {all} repositories are broken", n=view.broken, all=view.watched)
    if not view.watched:
        return words("No repository is watched yet")
    if view.judged and view.fitting == view.watched:
        return words.count(view.watched, "The one repository passes", "All {n} repositories pass")
    return words.count(view.watched, "One repository, nothing is broken", "{n} repositories, nothing is broken")


def sentence(row: Row, words: Words, forms: Forms) -> Markup:
    """How a main branch stands, since when, by which commit."""
    standing = row.standing
    if standing is None or row.ref is None:
        if row.repository.seen_at is None and row.repository.error is None:
            return words("is being looked at for the first time")
        return words("has no builds yet")
    state = standing.state.value
    if standing.state in history.OPEN:
        return words("is {state}, no verdict yet", state=words(state))
    text = {
        BuildState.FAILED: "is broken since {when}, by {commit}",
        BuildState.PASSED: "passes since {when}",
        BuildState.ALLOWED: "passes with allowed failures since {when}",
    }.get(standing.state, "is {state} since {when}")
    if standing.state is BuildState.FAILED and not standing.certain:
        text = "is broken since {when} or earlier"
    return words(text, when=forms.clock(standing.since), commit=sha(standing.by or ""), state=words(state))
