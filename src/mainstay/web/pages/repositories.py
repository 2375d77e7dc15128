"""A repository: its commits with the jobs of their builds, filtered by branch and state; one commit; settings."""

from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import BadInput
from mainstay.model.person import Role
from mainstay.model.repository import Push, Repository
from mainstay.model.states import BuildState
from mainstay.store import repositories, schedules
from mainstay.store.database import Tx
from mainstay.store.schedules import Scheduled
from mainstay.store.views import commits as commit_views
from mainstay.web import history, listing
from mainstay.web.access import reader
from mainstay.web.history import Standing
from mainstay.web.listing import CommitLine
from mainstay.web.options import address_of, site_of
from mainstay.web.pages import marks
from mainstay.web.pages.acting import back_to, form_of
from mainstay.web.pages.forms import Forms, branch, sha
from mainstay.web.pages.home import LOOKED_AT, branch_lines
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words

PAGE = 30
COLUMNS = 24
"""Jobs that get a column of their own; more are counted."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Commits by jobs: the names of the columns, and for every commit the jobs in them."""

    columns: tuple[str, ...]
    more: int
    """Job names that got no column."""
    rows: tuple[tuple[CommitLine, tuple[object | None, ...]], ...]


def grid(lines: list[CommitLine]) -> Grid:
    """Lay commits out; columns in the order in which the newest commits name their jobs."""
    names: dict[str, None] = {}
    cells: list[dict[str, object]] = []
    for line in lines:
        row: dict[str, object] = {}
        for build in line.builds:
            for job in build.jobs:
                row.setdefault(job.name, job)
                names.setdefault(job.name)
        cells.append(row)
    columns = tuple(names)[:COLUMNS]
    rows = tuple((line, tuple(row.get(name) for name in columns)) for line, row in zip(lines, cells, strict=True))
    return Grid(columns, len(names) - len(columns), rows)


@dataclass(frozen=True, slots=True)
class View:
    """What the page of a repository shows."""

    repository: Repository
    refs: tuple[tuple[str, str], ...]
    ref: str | None
    lines: tuple[CommitLine, ...]
    rest: int | None
    recent: tuple[CommitLine, ...]
    standing: Standing | None
    pushes: tuple[Push, ...]
    schedules: tuple[Scheduled, ...]


def _view(tx: Tx, name: str, branch_name: str | None, state: BuildState | None, before: int | None) -> View:
    repository = repositories.by_name(tx, name)
    refs = commit_views.branches(tx, repository.id)
    ref = listing.ref_of(branch_name) if branch_name else listing.main_branch(refs)
    recent = branch_lines(tx, repository.id, ref, LOOKED_AT) if ref else []
    if state is None:
        lines, rest = listing.commits(tx, repository, branch_name, before, PAGE)
    else:
        found, rest = listing.page(tx, listing.Query(name, branch=branch_name, state=state), before, PAGE)
        shas = list(dict.fromkeys(line.head.commit for line in found))
        lines = listing.commit_lines(tx, repository.id, shas, listing.ref_of(branch_name) if branch_name else None)
    standing = history.standing([line.tested for line in recent])
    pushes = repositories.pushes_of(tx, repository.id, 5)
    planned = schedules.of_repository(tx, repository.id)
    return View(
        repository, tuple(refs), ref, tuple(lines), rest, tuple(recent), standing, tuple(pushes), tuple(planned)
    )


async def repository(request: Request) -> Response:
    """The newest commits of a repository with their jobs."""
    viewer = await reader(request)
    words, forms = speak(request)
    name, asked = request.path_params["name"], request.query_params
    state, before = _state(asked.get("state", "")), _before(asked.get("before"))
    view = await site_of(request).engine.db.read(_view, name, asked.get("branch") or None, state, before)
    kept = {key: asked[key] for key in ("branch", "state") if asked.get(key)}
    return render(
        request,
        "repository.html",
        viewer,
        title=name,
        live=(f"repo:{view.repository.id}",),
        crumbs=(Crumb(name, path_of(name)),),
        view=view,
        grid=grid(list(view.lines)),
        heading=_heading(view, words, forms),
        marks=marks.of_commits(view.recent, name, forms),
        path=path_of(name),
        asked_branch=asked.get("branch", ""),
        asked_state=state.value if state else "",
        states=[each.value for each in BuildState],
        following=f"{path_of(name)}?{urlencode({**kept, 'before': view.rest})}" if view.rest else None,
        address=address_of(request),
    )


def _state(word: str) -> BuildState | None:
    try:
        return BuildState(word) if word else None
    except ValueError:
        raise BadInput(f"{word[:40]!r} is no state of a build") from None


def _before(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise BadInput("the place to go on from is not one that this page has given out")
    return int(value)


def _heading(view: View, words: Words, forms: Forms) -> Markup:
    standing = view.standing
    if standing is None or view.ref is None:
        return words("{name} has no builds yet", name=view.repository.name)
    names = {"name": view.repository.name, "branch": branch(view.ref), "when": forms.clock(standing.since)}
    if standing.state is BuildState.FAILED:
        text = (
            "{branch} of {name} is broken since {when}, by {commit}"
            if standing.certain
            else "{branch} of {name} is broken since {when} or earlier"
        )
        return words(text, commit=sha(standing.by or ""), **names)
    if standing.state is BuildState.PASSED:
        return words("{branch} of {name} passes since {when}", **names)
    return words("{branch} of {name} is {state} since {when}", state=words(standing.state.value), **names)


async def commit(request: Request) -> Response:
    """One commit: its verdict, its builds, what it says."""
    viewer = await reader(request)
    words, forms = speak(request)
    name = request.path_params["name"]
    found = await site_of(request).engine.db.read(_commit, name, request.path_params["commit"].lower())
    line, repository_id, refs = found
    return render(
        request,
        "commit.html",
        viewer,
        title=f"{line.sha[:8]} {name}",
        live=(f"repo:{repository_id}",),
        crumbs=(Crumb(name, path_of(name)), Crumb(line.sha[:8], path_of(name, "commits", line.sha))),
        line=line,
        refs=refs,
        name=name,
        heading=words(
            "{commit} {state}"
            if line.seconds is None or line.state in history.OPEN
            else "{commit} {state} after {span}",
            commit=sha(line.sha),
            state=words(_said(line.state)),
            span=forms.span(line.seconds),
        ),
    )


def _said(state: BuildState) -> str:
    return f"is {state.value}" if state in (*history.OPEN, BuildState.NEUTRAL) else state.value


def _commit(tx: Tx, name: str, commit_name: str) -> tuple[CommitLine, int, list[str]]:
    found = repositories.by_name(tx, name)
    whole = listing.commit_of(tx, found, commit_name)
    lines = listing.commit_lines(tx, found.id, [whole])
    line = lines[0] if lines else listing.untested(tx, found.id, whole)
    return line, found.id, commit_views.refs_at(tx, found.id, whole)


async def look(request: Request) -> Response:
    """Look at the remote now."""
    _, fields = await form_of(request, Role.DEVELOPER)
    name = request.path_params["name"]
    await site_of(request).engine.look(name)
    return back_to(fields, path_of(name))
