"""A repository: its commits with the jobs of their builds, found by branch, state, author and text; its branches."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import BadInput
from mainstay.model.person import Role
from mainstay.model.repository import Push, Repository
from mainstay.model.states import BuildState
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import commits as commit_views
from mainstay.store.views.commits import Ref
from mainstay.web import commits, culprits, history, listing
from mainstay.web.access import reader
from mainstay.web.columns import columns
from mainstay.web.commits import CommitPage, Filter
from mainstay.web.culprits import Told
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
from mainstay.web.paths import place

PAGE = 30
FEW_BRANCHES = 10
"""Branches on the repository's own page."""
CHOICE = 100
"""Branches that can be chosen from a list; any other can be written into the address."""
REFS_PAGE = 100
PUSHES = 10
STALE = timedelta(days=30)
"""A branch that has not moved for so long is folded away."""


@dataclass(frozen=True, slots=True)
class View:
    """What the page of a repository shows."""

    repository: Repository
    refs: tuple[Ref, ...]
    ref: str | None
    page: CommitPage
    recent: tuple[CommitLine, ...]
    standing: Standing | None
    branches: tuple[tuple[Ref, BuildState | None], ...]
    counts: tuple[int, int]
    """How many branches and tags there are."""
    pushes: tuple[Push, ...]
    culprits: list[Told]


def _view(tx: Tx, name: str, wanted: Filter, before: int | None, after: int | None) -> View:
    repository = repositories.by_name(tx, name)
    refs = commit_views.moved_refs(tx, repository.id, "", 0, CHOICE)
    ref = wanted.ref or listing.main_branch(commit_views.branches(tx, repository.id))
    recent = branch_lines(tx, repository.id, ref, LOOKED_AT) if ref else []
    return View(
        repository,
        tuple(refs),
        ref,
        commits.page(tx, repository, wanted, before, after, PAGE),
        tuple(recent),
        history.standing([line.tested for line in recent]),
        tuple(_with_states(tx, repository.id, _branches(refs)[:FEW_BRANCHES])),
        tuple(commit_views.count_of_refs(tx, repository.id, prefix) for prefix in ("refs/heads/", "refs/tags/")),  # type: ignore[arg-type]
        tuple(repositories.pushes_of(tx, repository.id, PUSHES)),
        culprits.of_branch(tx, repository.id, ref),
    )


def _branches(refs: list[Ref]) -> list[Ref]:
    return [each for each in refs if each.name.startswith("refs/heads/")]


def _with_states(tx: Tx, repository_id: int, refs: list[Ref]) -> list[tuple[Ref, BuildState | None]]:
    found = commits.states(tx, repository_id, [each.commit for each in refs])
    return [(each, found.get(each.commit)) for each in refs]


async def repository(request: Request) -> Response:
    """The newest commits of a repository with their jobs."""
    viewer = await reader(request)
    words, forms = speak(request)
    name, asked = request.path_params["name"], request.query_params
    wanted, before, after = _filter(asked), place(request, "before"), place(request, "after")
    view = await site_of(request).engine.db.read(_view, name, wanted, before, after)
    lines = view.page.lines
    tip = next((each.commit for each in view.refs if each.name == view.ref), None)
    found, below = commits.groups(lines, asked.get("line") or tip)
    path = path_of(name)
    kept = {key: asked[key] for key in ("branch", "state", "author", "text", "jobs") if asked.get(key)}

    def link(**more: object) -> str:
        chosen = {key: str(value) for key, value in {**kept, **more}.items() if value}
        return f"{path}?{urlencode(chosen)}" if chosen else path

    return render(
        request,
        "repository.html",
        viewer,
        title=f"{name} {words.plain(view.standing.state.value)}" if view.standing else name,
        icon=view.standing.state.value if view.standing else None,
        live=(f"repo:{view.repository.id}",),
        crumbs=(Crumb(name, path),),
        view=view,
        heading=_heading(view, words, forms),
        marks=marks.of_commits(view.recent, name, forms),
        path=path,
        wanted=wanted,
        filtered=bool(wanted.state or wanted.author or wanted.text),
        states=[each.value for each in BuildState],
        groups=found,
        grid=columns(lines, asked.get("jobs") or None),
        opened=asked.get("jobs", "")[:200],
        older=link(before=view.page.older, line=below) if view.page.older else None,
        newer=link(after=view.page.newer) if view.page.newer else None,
        newest=link() if before or after else None,
        link=link,
        address=address_of(request),
    )


def _filter(asked: QueryParams) -> Filter:
    word = asked.get("state", "")
    try:
        state = BuildState(word) if word else None
    except ValueError:
        raise BadInput(f"{word[:40]!r} is no state of a build") from None
    texts = {key: asked.get(key, "").strip() for key in ("author", "text")}
    for key, text in texts.items():
        if len(text) > commits.LONGEST_TEXT:
            raise BadInput(f"the {key} to look for has {len(text)} characters; at most {commits.LONGEST_TEXT}")
    return Filter(asked.get("branch") or None, state, **texts)


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


async def refs(request: Request) -> Response:
    """The branches and tags of a repository with the states of their commits, last moved first."""
    viewer = await reader(request)
    words, forms = speak(request)
    name, asked = request.path_params["name"], request.query_params
    tags, skip = asked.get("kind") == "tags", place(request, "skip") or 0
    repository, found, count = await site_of(request).engine.db.read(_refs, name, tags, skip)
    path = path_of(name, "refs")
    kind = "kind=tags&" if tags else ""
    return render(
        request,
        "refs.html",
        viewer,
        title=words.plain("Branches and tags"),
        live=(f"repo:{repository.id}",),
        crumbs=(Crumb(name, path_of(name)), Crumb(words.plain("Branches and tags"), path)),
        heading=words.count(count, "1 tag", "{n} tags") if tags else words.count(count, "1 branch", "{n} branches"),
        name=name,
        path=path_of(name),
        tags=tags,
        fresh=[each for each in found if not _stale(each[0], forms.now)],
        stale=[each for each in found if _stale(each[0], forms.now)],
        following=f"{path}?{kind}skip={skip + REFS_PAGE}" if skip + REFS_PAGE < count else None,
    )


def _stale(ref: Ref, now: datetime) -> bool:
    return now - ref.moved_at > STALE


def _refs(tx: Tx, name: str, tags: bool, skip: int) -> tuple[Repository, list[tuple[Ref, BuildState | None]], int]:
    repository = repositories.by_name(tx, name)
    prefix = "refs/tags/" if tags else "refs/heads/"
    found = commit_views.moved_refs(tx, repository.id, prefix, skip, REFS_PAGE)
    return (
        repository,
        _with_states(tx, repository.id, found),
        commit_views.count_of_refs(tx, repository.id, prefix),
    )


async def look(request: Request) -> Response:
    """Look at the remote now."""
    _, fields = await form_of(request, Role.DEVELOPER)
    name = request.path_params["name"]
    await site_of(request).engine.look(name)
    return back_to(fields, path_of(name))
