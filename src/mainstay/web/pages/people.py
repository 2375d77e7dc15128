"""People and their roles, for administrators."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine.access import Identity
from mainstay.model.errors import BadInput, Conflict
from mainstay.model.person import Person, Role, Token, role_named
from mainstay.store import people as store
from mainstay.store import repositories, tokens
from mainstay.store.database import Tx
from mainstay.web.access import admin
from mainstay.web.options import address_of, site_of
from mainstay.web.pages.acting import form_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words

PAGE = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A person in the list, with the roles in single repositories."""

    person: Person
    roles: tuple[tuple[str, str], ...]


def _listed(tx: Tx, after: str) -> tuple[list[Row], str | None]:
    found = store.all_of(tx, after, PAGE + 1)
    rows = [
        Row(each, tuple((name, role.word) for _, name, role, _ in store.roles_of(tx, each.id))) for each in found[:PAGE]
    ]
    return rows, found[PAGE - 1].name if len(found) > PAGE else None


def _heading(words: Words, count: int, more: bool) -> Markup:
    if more:
        return words("More than {n} people can sign in", n=PAGE)
    if not count:
        return words("Nobody has an account yet")
    return words.count(count, "1 person can sign in", "{n} people can sign in")


async def people(request: Request) -> Response:
    """Everybody who can sign in."""
    return await _page(request, await admin(request))


async def _page(request: Request, viewer: Identity, problem: str | None = None) -> Response:
    words, _ = speak(request)
    rows, following = await site_of(request).engine.db.read(_listed, request.query_params.get("after", ""))
    return render(
        request,
        "people.html",
        viewer,
        title=words.plain("People"),
        status=422 if problem else 200,
        crumbs=(Crumb(words.plain("People"), "/people"),),
        heading=_heading(words, len(rows), following is not None),
        rows=rows,
        following=following,
        roles=[role.word for role in Role],
        problem=problem,
    )


async def add(request: Request) -> Response:
    """Let somebody in and show the link to be sent to them."""
    viewer, fields = await form_of(request, Role.ADMIN)
    role = fields.get("role", "")
    try:
        person, link = await site_of(request).engine.accounts.add(
            viewer.actor,
            fields.get("name", "").strip(),
            full_name=fields.get("full_name", ""),
            email=fields.get("email", "").strip() or None,
            role=role_named(role) if role else None,
        )
    except (BadInput, Conflict) as error:
        return await _page(request, viewer, error.message)
    return await _person(request, viewer, person.name, link=link)


@dataclass(frozen=True, slots=True)
class View:
    """What the page of a person shows."""

    person: Person
    roles: tuple[tuple[str, str, str], ...]
    sessions: int
    tokens: tuple[Token, ...]
    repositories: tuple[str, ...]


def _view(tx: Tx, name: str, now: Any) -> View:
    person = store.by_name(tx, name)
    return View(
        person,
        tuple((repository, role.word, origin) for _, repository, role, origin in store.roles_of(tx, person.id)),
        len(tokens.listed(tx, "session", now, person.id)),
        tuple(tokens.listed(tx, "api", now, person.id)),
        tuple(each.name for each in repositories.all_of(tx)),
    )


async def person(request: Request) -> Response:
    """One person."""
    return await _person(request, await admin(request), request.path_params["person"])


async def _person(
    request: Request, viewer: Identity, name: str, *, link: str | None = None, problem: str | None = None
) -> Response:
    words, _ = speak(request)
    engine = site_of(request).engine
    view = await engine.db.read(_view, name, engine.clock.now())
    found = view.person
    heading = words("{name} has no role for all repositories", name=found.name)
    if found.everywhere is not None:
        heading = words("{name} is {role} of all repositories", name=found.name, role=words(found.everywhere.word))
    return render(
        request,
        "person.html",
        viewer,
        title=found.name,
        status=422 if problem else 200,
        crumbs=(Crumb(words.plain("People"), "/people"), Crumb(found.name, f"/people/{found.name}")),
        heading=heading,
        view=view,
        path=f"/people/{found.name}",
        roles=[role.word for role in Role],
        link=None if link is None else address_of(request) + link,
        problem=problem,
    )


async def change(request: Request) -> Response:
    """Set a role or address, give a role in a repository, make a link, sign out, remove: by the field `do`."""
    viewer, fields = await form_of(request, Role.ADMIN)
    name, accounts = request.path_params["person"], site_of(request).engine.accounts
    try:
        match fields.get("do", ""):
            case "set":
                values: dict[str, object] = {"role": fields.get("role") or None}
                values |= {"email": fields.get("email", "").strip() or None, "full_name": fields.get("full_name", "")}
                await accounts.change(viewer.actor, name, values)
            case "give":
                role = fields.get("role", "")
                await accounts.give(
                    viewer.actor, name, fields.get("repository", ""), role_named(role) if role else None
                )
            case "link":
                return await _person(request, viewer, name, link=await accounts.invite(viewer.actor, name))
            case "sign-out":
                found = await site_of(request).engine.db.read(store.by_name, name)
                await accounts.end_sessions(viewer.actor, found.id)
            case "remove":
                await accounts.remove(viewer.actor, name)
                return RedirectResponse("/people", 303)
            case other:
                raise BadInput(f"there is no way to {other[:40]!r} a person")
    except (BadInput, Conflict) as error:
        return await _person(request, viewer, name, problem=error.message)
    return RedirectResponse(f"/people/{name}", 303)
