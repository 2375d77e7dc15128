"""A repository that a person lets be watched from a page: its address, and what it is called here."""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mainstay.engine.access import Identity
from mainstay.model.errors import MainstayError
from mainstay.model.person import Role
from mainstay.web.options import site_of
from mainstay.web.pages.acting import form_of, who_may
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak

LONGEST_NAME = 100
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")


async def watch(request: Request) -> Response:
    """The form."""
    return _page(request, await who_may(request, Role.ADMIN), {}, None)


async def watched(request: Request) -> Response:
    """Watch it; what is wrong with it stands above the form, which keeps what was written."""
    person, fields = await form_of(request, Role.ADMIN)
    url = fields.get("url", "").strip()
    name = fields.get("name", "").strip() or name_of(url)
    try:
        added = await site_of(request).engine.add_repository(person.actor, name, url or None)
    except MainstayError as problem:
        return _page(request, person, fields, problem)
    return RedirectResponse(path_of(added.name), 303)


def name_of(url: str) -> str:
    """What a repository is called when nobody says it: the last part of its address."""
    last = re.split(r"[/:\\]", url.rstrip("/"))[-1].removesuffix(".git")
    return _STRANGE.sub("-", last).strip("-.")[:LONGEST_NAME]


def _page(request: Request, person: Identity, fields: dict[str, str], problem: MainstayError | None) -> Response:
    words, _ = speak(request)
    title = words.plain("Watch a repository")
    return render(
        request,
        "watch.html",
        person,
        title=title,
        crumbs=(Crumb(words.plain("Repositories"), "/"), Crumb(title, "/watch")),
        status=problem.status if problem else 200,
        problem=problem.message if problem else None,
        url=fields.get("url", ""),
        name=fields.get("name", ""),
    )


routes = [Route("/watch", watch), Route("/watch", watched, methods=["POST"])]
