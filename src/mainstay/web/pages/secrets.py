"""Forms that set and remove secrets and variables, of a repository and of all."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.model.errors import BadInput
from mainstay.model.person import Actor, Role
from mainstay.model.secret import MAX_VALUE_BYTES, Secret, Variable
from mainstay.store import secrets as store
from mainstay.store import variables
from mainstay.store.database import Tx
from mainstay.web.options import site_of
from mainstay.web.pages.acting import form_of, who_may
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak

FORM_BYTES = 4 * MAX_VALUE_BYTES
"""A value with every sign of it written as %XX, and the other fields."""


async def of_repository(request: Request) -> Response:
    """Set or remove a secret or variable of a repository or one of its environments."""
    person, fields = await form_of(request, Role.MAINTAINER, FORM_BYTES)
    name = request.path_params["name"]
    await _do(request, person.actor, name, fields)
    return RedirectResponse(path_of(name, "settings") + f"#{request.path_params['kind']}", 303)


async def of_all(request: Request) -> Response:
    """The same for all repositories."""
    person, fields = await form_of(request, Role.ADMIN, FORM_BYTES)
    await _do(request, person.actor, None, fields)
    return RedirectResponse(f"/settings#{request.path_params['kind']}", 303)


async def _do(request: Request, actor: Actor, repository: str | None, fields: dict[str, str]) -> None:
    secrets = site_of(request).engine.secrets
    name, value = fields.get("name", "").strip(), fields.get("value", "").replace("\r\n", "\n")
    environment = fields.get("environment", "").strip() or None
    match request.path_params["kind"], fields.get("do", "set"):
        case "secrets", "set":
            await secrets.put(actor, repository, environment, name, value)
        case "secrets", "remove":
            await secrets.remove(actor, repository, environment, name)
        case "variables", "set":
            await secrets.put_variable(actor, repository, environment, name, value)
        case "variables", "remove":
            await secrets.remove_variable(actor, repository, environment, name)
        case _, do:
            raise BadInput(f"secrets and variables can be set or removed, not {do[:40]!r}")


def _view(tx: Tx) -> tuple[list[Secret], list[Variable]]:
    return store.listed(tx, None), variables.listed(tx, None)


async def settings(request: Request) -> Response:
    """What jobs of all repositories are given."""
    person = await who_may(request, Role.ADMIN)
    words, _ = speak(request)
    secrets, found = await site_of(request).engine.db.read(_view)
    return render(
        request,
        "server_settings.html",
        person,
        title=words.plain("Settings"),
        crumbs=(Crumb(words.plain("Settings"), "/settings"),),
        heading=words("Secrets and variables that jobs of all repositories are given"),
        secrets=secrets,
        variables=found,
        path="/settings",
    )
