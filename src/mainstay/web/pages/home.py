"""Home: all repositories, how each main branch stands, what waits."""

from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

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
from mainstay.web.listing import CommitLine
from mainstay.web.options import site_of
from mainstay.web.pages import marks
from mainstay.web.pages.forms import Forms, sha
from mainstay.web.pages.rendering import render, speak
from mainstay.web.pages.words import Words

LOOKED_AT = 40
"""Builds of each main branch that are looked at."""
SHOWN = 100
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
    def broken(self) -> bool:
        """Whether its main branch fails."""
        return self.standing is not None and self.standing.state is BuildState.FAILED


def branch_lines(tx: Tx, repository_id: int, ref: str, count: int, before: int | None = None) -> list[CommitLine]:
    """The last commits of a ref that have builds, newest first; or the last ones before a build."""
    heads = views.last_of_ref(tx, repository_id, ref, count, before)
    return listing.commit_lines(tx, repository_id, list(dict.fromkeys(head.commit for head in heads)), ref)


def _row(tx: Tx, repository: Repository, open_jobs: dict[JobState, int]) -> Row:
    ref = listing.main_branch(commit_views.branches(tx, repository.id))
    lines = branch_lines(tx, repository.id, ref, LOOKED_AT) if ref else []
    return Row(repository, ref, tuple(lines), history.standing([line.tested for line in lines]), open_jobs)


def _rows(tx: Tx, after: str, seen: frozenset[int] | None) -> tuple[list[Row], str | None, dict[JobState, int]]:
    found = [each for each in repositories.all_of(tx, seen) if each.name > after]
    by_repository = queue.counts_by_repository(tx)
    rows = [_row(tx, each, by_repository.get(each.id, {})) for each in found[:SHOWN]]
    following = found[SHOWN - 1].name if len(found) > SHOWN else None
    return rows, following, queue.counts(tx, seen)


async def home(request: Request) -> Response:
    """All repositories; broken ones first."""
    viewer = await reader(request)
    words, forms = speak(request)
    after = request.query_params.get("after", "")
    rows, following, counts = await site_of(request).engine.db.read(_rows, after, sight_of(request))
    rows.sort(key=lambda row: (not row.broken, row.repository.name))
    return render(
        request,
        "home.html",
        viewer,
        title="Mainstay",
        live=("events",),
        heading=_heading(rows, words, forms),
        rows=[
            (row, marks.of_commits(row.commits, row.repository.name, forms), sentence(row, words, forms))
            for row in rows
        ],
        state=_worst(rows),
        following=following,
        counts={state.value: count for state, count in counts.items()},
    )


def _worst(rows: list[Row]) -> str | None:
    if any(row.broken for row in rows):
        return "failed"
    judged = [row for row in rows if row.standing is not None]
    if judged and all(row.standing and row.standing.state is BuildState.PASSED for row in judged):
        return "passed"
    return None


def _heading(rows: list[Row], words: Words, forms: Forms) -> Markup:
    """One sentence of fact."""
    broken = [row for row in rows if row.broken]
    if len(broken) == 1:
        row = broken[0]
        return Markup("{} {}").format(row.repository.name, sentence(row, words, forms))
    if broken:
        return words("{n} of {all} repositories are broken", n=len(broken), all=len(rows))
    if not rows:
        return words("No repository is watched yet")
    judged = [row for row in rows if row.standing and row.standing.state not in history.OPEN]
    if judged and len(judged) == len(rows) and _worst(rows) == "passed":
        return words.count(len(rows), "The one repository passes", "All {n} repositories pass")
    return words.count(len(rows), "One repository, nothing is broken", "{n} repositories, nothing is broken")


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
    }.get(standing.state, "is {state} since {when}")
    if standing.state is BuildState.FAILED and not standing.certain:
        text = "is broken since {when} or earlier"
    return words(text, when=forms.clock(standing.since), commit=sha(standing.by or ""), state=words(state))
