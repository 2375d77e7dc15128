"""Who is asking: bearer tokens for programs, basic auth for git and feed readers, a session cookie for people.

A session is a row of the tokens table of kind `session`, so it survives a restart and holds on every server; the cookie
carries the random token, the database its hash. A sign-in link is a token of kind `signin` that is good once.
"""

import base64
import binascii

from starlette.requests import Request
from starlette.responses import Response

from mainstay.engine.access import Identity
from mainstay.engine.server import Engine
from mainstay.model.errors import NotAllowed, NotSignedIn
from mainstay.store import sessions, tokens
from mainstay.web.options import site_of

COOKIE = "mainstay_session"

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Headers by which a proxy says that somebody else asks."""


def token_of(request: Request) -> str | None:
    """The token of the Authorization header: a bearer token, or the password (or user name) of basic auth."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip() or None
        case "basic":
            return _basic(value)
    return None


def _basic(value: str) -> str | None:
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return password or user or None


async def signed_in(request: Request) -> Identity | None:
    """The person whose session this is, or None."""
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return None
    identity = await site_of(request).engine.authenticate(cookie)
    return identity if identity is not None and identity.kind == "session" else None


async def api_identity(request: Request) -> Identity:
    """Who calls the API. Raises NotSignedIn without a token that is known, NotAllowed for a runner's."""
    token = token_of(request)
    if token is None:
        if request.method in ("GET", "HEAD") and (person := await signed_in(request)) is not None:
            return person
        raise NotSignedIn("the API needs a token: send the header `Authorization: Bearer TOKEN`")
    identity = await site_of(request).engine.authenticate(token)
    if identity is None or identity.kind in ("session", "signin"):
        raise NotSignedIn("this token is not known (any more)")
    if identity.kind != "api":
        raise NotAllowed(f"this is a {identity.kind} token; the API needs an API token")
    return identity


async def runner_identity(request: Request) -> Identity:
    """Which runner token calls. Raises NotSignedIn or NotAllowed."""
    token = token_of(request)
    identity = None if token is None else await site_of(request).engine.authenticate(token)
    if identity is None:
        raise NotSignedIn("a runner needs a token that is known here; `mainstay runner-token` makes one")
    if identity.kind != "runner":
        raise NotAllowed(f"this is a {identity.kind} token; a runner needs one from `mainstay runner-token`")
    return identity


async def reader(request: Request) -> Identity | None:
    """Who reads a page, badge or feed; None where everybody may. Raises NotSignedIn where nobody else may."""
    if (person := await signed_in(request)) is not None:
        return person
    if token_of(request) is not None:
        return await api_identity(request)
    # Behind a proxy all the world comes from this machine, for which reading was left open.
    through_proxy = any(name in request.headers for name in FORWARDED)
    if through_proxy or not site_of(request).options.public_reading:
        raise NotSignedIn("sign in to read this")
    return None


async def open_session(engine: Engine, name: str) -> str:
    """Make a session and give its token."""
    token = tokens.new_token("session")
    await engine.db.write(sessions.open_session, name, token, engine.clock.now())
    return token


async def sign_in_link(engine: Engine, name: str = "admin") -> str:
    """The path of a link that signs its first visitor in: `/sign-in?code=...`, good once and for half an hour."""
    token = tokens.new_token("signin")
    await engine.db.write(sessions.add_link, name, token, engine.clock.now())
    return f"/sign-in?code={token}"


async def use_link(engine: Engine, link: str) -> str | None:
    """The session that a sign-in link gives; None when it was used before or is too old."""
    if not link.startswith("mst_signin_") or len(link) > 200:
        return None
    session = tokens.new_token("session")
    opened = await engine.db.write(sessions.use_link, link, session, engine.clock.now())
    return session if opened else None


async def end_session(engine: Engine, identity: Identity) -> None:
    """Sign out: the session is worth nothing from now on."""
    await engine.db.write(tokens.revoke, identity.id, engine.clock.now())


def give_cookie(request: Request, response: Response, session: str) -> None:
    """Hand the session to the browser: out of reach for scripts, never sent along from other sites' forms."""
    response.set_cookie(
        COOKIE,
        session,
        max_age=sessions.SESSION_DAYS * 86400,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
