"""Forms that change something: who may send them, and that they come from one of our pages."""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine.access import Identity
from mainstay.model.errors import NotSignedIn
from mainstay.model.person import Role
from mainstay.web import bodies
from mainstay.web.access import COOKIE, check, reader, signed_in
from mainstay.web.guard import check_form, check_origin

HERE = re.compile(r"/(?!/)[!-\[\]-~]{0,2000}")
"""A path on this server: neither `//host` nor what browsers read as that."""


async def actor(request: Request) -> Identity:
    """The person who sends a form. Raises NotSignedIn, or NotAllowed for another site's form."""
    check_origin(request)
    person = await signed_in(request)
    if person is None:
        raise NotSignedIn("sign in to do this")
    return person


async def form_of(
    request: Request, needed: Role | None, limit_bytes: int = bodies.FORM_BYTES
) -> tuple[Identity, dict[str, str]]:
    """The person and the fields of a form that was made for this person's session.

    `needed`: the role it takes in the repository that the path is about, else in all; None: being signed in.
    """
    person = await actor(request)
    fields = await bodies.form(request, limit_bytes)
    check_form(request, request.cookies.get(COOKIE, ""), fields)
    if needed is not None:
        await check(request, person, needed)
    return person, fields


async def who_may(request: Request, needed: Role) -> Identity:
    """Who reads a page that takes a role. Raises NotSignedIn, NotAllowed, NotFound for what is out of sight."""
    person = await reader(request)
    if person is None:
        raise NotSignedIn("sign in to read this")
    await check(request, person, needed)
    return person


async def chosen_of(request: Request, name: str) -> tuple[dict[str, str], list[str]]:
    """The fields of a form, and all values of one that may be there many times. `actor` has been called before."""
    pairs = await bodies.pairs(request)
    fields = dict(pairs)
    check_form(request, request.cookies.get(COOKIE, ""), fields)
    return fields, [value for key, value in pairs if key == name]


def back_to(fields: dict[str, str], otherwise: str) -> Response:
    """Send the reader back to where the form stood; never to another site."""
    back = fields.get("back", "")
    return RedirectResponse(back if HERE.fullmatch(back) else otherwise, 303)
