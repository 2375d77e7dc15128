"""One commit: its verdict, its builds, what changed since the branch was last green, the files it touched."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import NotFound
from mainstay.model.repository import Commit, CommitPolicy, Repository
from mainstay.model.states import BuildState
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import commits as views
from mainstay.web import commits, history, listing
from mainstay.web.access import reader
from mainstay.web.listing import CommitLine
from mainstay.web.options import site_of
from mainstay.web.pages.forms import Forms, branch, sha
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words

NEAR = 200
"""Builds on both sides of a commit's own among which its children are looked for."""
WINDOW = 50
WINDOWS = 4
"""So many windows of earlier builds are looked through for the last green commit."""
JOBS = 60
"""Jobs of a build that are shown as signs."""


@dataclass(frozen=True, slots=True)
class View:
    """What the tables know of a commit."""

    repository: Repository
    line: CommitLine | None
    """None: it is not known here, though it may be in the mirror."""
    refs: tuple[str, ...]
    children: tuple[str, ...]
    green: str | None
    """The last commit before it on its branch that passed."""
    since: tuple[Commit, ...]
    """Commits after that one as their builds tell; git knows better, where it can be asked."""
    push: tuple[str, str | None, Any] | None
    parents: dict[str, BuildState]


def _view(tx: Tx, name: str, commit_name: str) -> View:
    repository = repositories.by_name(tx, name)
    try:
        whole = listing.commit_of(tx, repository, commit_name)
    except NotFound:
        return View(repository, None, (), (), None, (), None, {})
    return _known(tx, repository, whole)


def _known(tx: Tx, repository: Repository, whole: str) -> View:
    lines = listing.commit_lines(tx, repository.id, [whole])
    line = lines[0] if lines else listing.untested(tx, repository.id, whole)
    children: list[str] = []
    green, since = None, list[Commit]()
    if line.builds:
        first, last = line.builds[-1].head, line.builds[0].head
        children = views.children_of(tx, repository.id, whole, first.id - NEAR, last.id + NEAR)
        green, shas = _last_green(tx, repository, first.ref, first.id)
        known = repositories.known_commits(tx, repository.id, [whole, *shas])
        since = [known[each] for each in history.newest_first([whole, *shas], known) if each in known]
    parents = line.commit.parents if line.commit else ()
    return View(
        repository,
        line,
        tuple(views.refs_at(tx, repository.id, whole)),
        tuple(children),
        green,
        tuple(since),
        None if line.builds else views.push_of(tx, repository.id, whole),
        commits.states(tx, repository.id, [*parents, *children]),
    )


def _last_green(tx: Tx, repository: Repository, ref: str, before: int) -> tuple[str | None, list[str]]:
    """The last commit of the ref that passed before that build, and those that were built in between."""
    between: list[str] = []
    edge: int | None = before
    for _ in range(WINDOWS):
        window = views.window(tx, repository.id, ref, before=edge, after=None, size=WINDOW)
        found = commits.states(tx, repository.id, [each for _, each in window.commits])
        for _, each in window.commits:
            if found.get(each) is BuildState.PASSED:
                return each, between
            between.append(each)
        edge = window.edge
        if edge is None:
            break
    return None, between


async def commit(request: Request) -> Response:
    """One commit, tested or not."""
    viewer = await reader(request)
    words, forms = speak(request)
    engine = site_of(request).engine
    name, asked = request.path_params["name"], request.path_params["commit"].lower()
    view = await engine.db.read(_view, name, asked)
    line = view.line
    if line is None or line.commit is None:
        found = await engine.commits.find(view.repository.id, asked if line is None else line.sha)
        if found is None and line is None:
            raise NotFound(f"{name} has no commit {asked[:64]} that is known here")
        builds = line.builds if line else ()
        whole = found.sha if found else line.sha if line else asked
        line = CommitLine(whole, found, builds, line.state if line else BuildState.NEUTRAL)
    touched = await engine.commits.touched(view.repository.id, line.commit) if line.commit else None
    span = await engine.commits.between(view.repository.id, view.green, line.sha) if view.green else None
    since = span.commits if span else view.since
    path = path_of(name)
    return render(
        request,
        "commit.html",
        viewer,
        title=f"{line.sha[:8]} {words.plain(line.state.value)} · {name}" if line.builds else f"{line.sha[:8]} · {name}",
        icon=line.state.value if line.builds else None,
        live=(f"repo:{view.repository.id}",),
        crumbs=(Crumb(name, path), Crumb(line.sha[:8], f"{path}/commits/{line.sha}")),
        line=line,
        view=view,
        name=name,
        path=path,
        heading=_heading(line, words, forms),
        why=None if line.builds else _why_untested(line, view, words, forms),
        touched=touched,
        since=since,
        since_count=span.count if span else len(since),
        people=Counter(each.author for each in since).most_common(8),
        jobs_shown=JOBS,
    )


def _heading(line: CommitLine, words: Words, forms: Forms) -> Markup:
    if not line.builds:
        return words("{commit} was not tested", commit=sha(line.sha))
    ended = line.seconds is not None and line.state not in history.OPEN
    return words(
        "{commit} {state} after {span}" if ended else "{commit} {state}",
        commit=sha(line.sha),
        state=words(_said(line.state)),
        span=forms.span(line.seconds),
    )


def _said(state: BuildState) -> str:
    return f"is {state.value}" if state in (*history.OPEN, BuildState.NEUTRAL) else state.value


def _why_untested(line: CommitLine, view: View, words: Words, forms: Forms) -> Markup:
    """The reason as far as it can be known, most certain first."""
    repository = view.repository
    if view.push is not None:
        ref, note, at = view.push
        text = (
            "The push of {branch} {when} built nothing of it: {note}"
            if note
            else "It came with a push of {branch} {when}; its builds are being planned."
        )
        return words(text, branch=branch(ref), when=forms.ago(at), note=note or "")
    if line.commit is not None and repository.created_at and line.commit.committed_at < repository.created_at:
        return words(
            "It is older than the watching of this repository, which began {when}.",
            when=forms.clock(repository.created_at),
        )
    if repository.commits is CommitPolicy.LATEST:
        return words("Of a push only the newest commit is tested here (policy latest).")
    if repository.commits is CommitPolicy.FIRST_PARENT:
        return words(
            "Of a push only the first-parent line is tested here (policy first-parent); a merge brought this commit."
        )
    patterns = ", ".join(repository.branches)
    return words("No push on a watched branch has brought it. Watched are: {patterns}", patterns=patterns)
