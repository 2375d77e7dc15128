"""Starting a workflow by hand: a form made from the inputs it declares."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine.planning import Startable
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.person import Role
from mainstay.model.repository import Commit
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import commits as commit_views
from mainstay.web.access import reader
from mainstay.web.options import site_of
from mainstay.web.pages.acting import form_of
from mainstay.web.pages.forms import branch
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak

INPUT = "input."
"""What the names of a form's fields for inputs begin with."""


async def start(request: Request) -> Response:
    """The workflows that may be started at `?ref=`, each with its form."""
    await reader(request)
    return await _page(request, request.path_params["name"], request.query_params.get("ref") or None)


async def started(request: Request) -> Response:
    """Start one, and go to its build; or say what is wrong, with the form as it was filled."""
    person, fields = await form_of(request, Role.DEVELOPER)
    name, ref, workflow = request.path_params["name"], fields.get("ref") or None, fields.get("workflow", "")
    inputs = {key.removeprefix(INPUT): value for key, value in fields.items() if key.startswith(INPUT)}
    # A field that was left empty was not given: it gets its default, and is told of where it is required.
    given = {key: value for key, value in inputs.items() if value != ""}
    try:
        builds = await site_of(request).engine.start_workflow(person.actor, name, workflow, ref, given)
    except (BadInput, NotFound) as problem:
        return await _page(request, name, ref, workflow, inputs, problem.message)
    return RedirectResponse(f"/builds/{builds[0]}", 303)


def _refs(tx: Tx, name: str) -> list[str]:
    """Branches and tags of a repository, last moved first."""
    return [ref for ref, _ in commit_views.branches(tx, repositories.by_name(tx, name).id)]


async def _page(
    request: Request,
    name: str,
    ref: str | None,
    workflow: str = "",
    filled: dict[str, str] | None = None,
    problem: str | None = None,
) -> Response:
    viewer = await reader(request)
    words, _ = speak(request)
    engine = site_of(request).engine
    refs = await engine.db.read(_refs, name)
    commit: Commit | None = None
    found: list[Startable] = []
    whole = ref
    if refs or ref is not None:
        try:
            whole, commit, found = await engine.starts.startable(name, ref)
        except NotFound as missing:
            problem = problem or missing.message
    path = path_of(name)
    return render(
        request,
        "start.html",
        viewer,
        title=words.plain("Start a workflow"),
        status=422 if problem is not None and request.method == "POST" else 200,
        crumbs=(Crumb(name, path), Crumb(words.plain("Start a workflow"), f"{path}/start")),
        name=name,
        path=path,
        refs=[(each, branch(each)) for each in refs],
        ref=whole,
        commit=commit,
        found=found,
        workflow=workflow,
        filled=filled or {},
        problem=problem,
    )
