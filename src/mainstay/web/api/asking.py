"""What API routes share: who asks, bodies, paging, answers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Query, Request
from starlette.responses import Response

from mainstay.engine.access import Identity
from mainstay.model.errors import BadInput, NotAllowed
from mainstay.model.person import Role
from mainstay.web import bodies
from mainstay.web.access import api_identity, check
from mainstay.web.api.shapes import Page
from mainstay.web.listing import LONGEST_PAGE, PAGE
from mainstay.web.options import Site, site_of
from mainstay.web.problems import decoded

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer, not to be kept by anybody on the way."""
    return Response(_encode(value), status, {"Cache-Control": "no-store"}, media_type="application/json")


def page(items: Sequence[Any], following: object | None) -> Response:
    """A page of a list."""
    return answer(Page(items, None if following is None else str(following)))


async def body_of(request: Request, kind: type[T], limit_bytes: int = bodies.REQUEST_BYTES) -> T:
    """The request's body; an empty one is an empty object."""
    body = await bodies.whole(request, limit_bytes)
    value: T = decoded(body or b"{}", kind, "the body")
    return value


async def known_parameters(request: Request) -> None:
    """Refuse a query parameter that the route does not know: it was meant to do something.

    Async, as all dependencies here: FastAPI takes others to a thread and back, for each request.
    """
    route = request.scope.get("route")
    dependant = getattr(route, "dependant", None)
    known = {field.alias for field in dependant.query_params} if dependant is not None else set()
    for name in request.query_params:
        if name not in known:
            there_are = f"; it knows {', '.join(sorted(known))}" if known else ""
            raise BadInput(f"the parameter {name[:80]!r} is not known here{there_are}")


def cursor_id(cursor: str | None) -> int | None:
    """The id that a cursor holds."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadInput("the cursor is not one that this list has given out")
    return int(cursor)


def _commander(needed: Role) -> Callable[[Request], Awaitable[Identity]]:
    async def commander(request: Request) -> Identity:
        identity = await api_identity(request)
        if identity.kind == "session":
            raise NotAllowed("a browser's session may only read the API; commands need an API token")
        await check(request, identity, needed)
        return identity

    return commander


async def _site(request: Request) -> Site:
    return site_of(request)


At = Annotated[Site, Depends(_site)]
Developer = Annotated[Identity, Depends(_commander(Role.DEVELOPER))]
"""Who gives a command that needs this role in the repository that the path is about, else in all."""
Maintainer = Annotated[Identity, Depends(_commander(Role.MAINTAINER))]
Admin = Annotated[Identity, Depends(_commander(Role.ADMIN))]


async def _reading_admin(request: Request) -> Identity:
    """An administrator, who may read with a browser's session as well."""
    identity = await api_identity(request)
    await check(request, identity, Role.ADMIN)
    return identity


async def _self(request: Request) -> Identity:
    identity = await api_identity(request)
    if identity.kind == "session" and request.method != "GET":
        raise NotAllowed("a browser's session may only read the API; commands need an API token")
    return identity


ServerAdmin = Annotated[Identity, Depends(_reading_admin)]
"""An administrator of everything, on a path that names no repository."""
Self = Annotated[Identity, Depends(_self)]
"""Whoever has a token, for what is their own."""
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description=f"Items of a page; {PAGE} if it is not given.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]
