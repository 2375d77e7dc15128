"""Who is asking, and whether they may: tokens for programs, basic auth for git, a session cookie for people.

A session is a row of the tokens table of kind `session`, so it survives a restart and holds on every server; the cookie
carries the random token, the database its hash. A sign-in link is a token of kind `signin` that is good once.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from mainstay.engine.access import Identity
from mainstay.engine.accounts import path_of
from mainstay.engine.server import Engine
from mainstay.engine.signing_in import SignedIn
from mainstay.flow import permit
from mainstay.git.source import local_path
from mainstay.model.errors import NotAllowed, NotFound, NotSignedIn
from mainstay.model.person import Grants, Role, Scope
from mainstay.store import sessions
from mainstay.store.database import Tx
from mainstay.store.sessions import Opener
from mainstay.store.views import places
from mainstay.web.options import site_of

COOKIE = "mainstay_session"
DEVICE_COOKIE = "mainstay_device"
OPENID_COOKIE = "mainstay_openid"

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
    return _from(request, identity) if identity is not None and identity.kind == "session" else None


async def api_identity(request: Request) -> Identity:
    """Who calls the API. Raises NotSignedIn without a token that is known, NotAllowed for a runner's."""
    token = token_of(request)
    if token is None:
        if request.method in ("GET", "HEAD") and (person := await signed_in(request)) is not None:
            return person
        raise NotSignedIn("the API needs a token: send the header `Authorization: Bearer TOKEN`")
    identity = await site_of(request).engine.authenticate(token)
    if identity is None or identity.kind not in ("api", "runner"):
        raise NotSignedIn("this token is not known (any more)")
    if identity.kind != "api":
        raise NotAllowed(f"this is a {identity.kind} token; the API needs an API token")
    return _from(request, identity)


def _from(request: Request, identity: Identity) -> Identity:
    return replace(identity, address=request.client.host if request.client else None)


async def runner_identity(request: Request) -> Identity:
    """Which runner token calls. Raises NotSignedIn or NotAllowed."""
    token = token_of(request)
    identity = None if token is None else await site_of(request).engine.authenticate(token)
    if identity is None:
        raise NotSignedIn("a runner needs a token that is known here; `mainstay runner-token` makes one")
    if identity.kind != "runner":
        raise NotAllowed(f"this is a {identity.kind} token; a runner needs one from `mainstay runner-token`")
    return identity


async def reader(request: Request, *, inside: bool = False) -> Identity | None:
    """Who reads a page, badge or feed; None where everybody may.

    What the path names (a repository, build, job or artifact) must be within sight: NotFound, as if it were not there.
    `inside`: what belongs to no repository (runners, figures) is for those who have a role anywhere. Raises
    NotSignedIn where signing in may help.
    """
    person = await signed_in(request)
    if person is None and token_of(request) is not None:
        person = await api_identity(request)
    grants = await _reading(request, person)
    if person is None and permit.highest(grants) is None:
        raise NotSignedIn("sign in to read this")
    await _see(request, person, grants)
    if inside:
        insider(request)
    return person


async def grants_now(request: Request) -> Grants:
    """What may be read, for answers that stay open: looked up again. Raises NotSignedIn once the token or session is
    worth nothing any more. `reader` or `check` must have been called."""
    found = asking(request)
    if found is None:
        raise RuntimeError("nobody was asked who they are before a stream was opened")
    if found.person is None:
        return found.grants
    token = token_of(request) if found.person.kind == "api" else request.cookies.get(COOKIE)
    identity = await site_of(request).engine.authenticate(token or "")
    if identity is None:
        raise NotSignedIn("this session has ended")
    return await _reading(request, identity)


async def sight_now(request: Request) -> frozenset[int] | None:
    """The repositories that may be seen by now; as `sight_of`."""
    return permit.sight(await grants_now(request))


async def still_seen(request: Request) -> bool:
    """Whether what the path names is within sight still, for answers that stay open."""
    found = asking(request)
    try:
        seen = await sight_now(request)
    except NotSignedIn:
        return False
    return seen is None or (found is not None and found.repository_id in seen)


def insider(request: Request) -> None:
    """Let nobody pass who has no role anywhere. `reader` (or its kin) must have been called."""
    found = asking(request)
    if found is None or not permit.belongs(found.grants):
        if found is None or found.person is None:
            raise NotSignedIn("sign in to read this")
        raise NotAllowed("this is for those who have a role in a repository; an administrator can give you one")


async def admin(request: Request) -> Identity:
    """An administrator of everything, who reads what concerns the server. Raises NotSignedIn, NotAllowed."""
    person = await reader(request)
    if person is None:
        raise NotSignedIn("sign in to read this")
    await check(request, person, Role.ADMIN)
    return person


async def api_reader(request: Request) -> Identity:
    """Who calls the API; what the path names must be within their sight. For every route of it."""
    identity = await api_identity(request)
    await _see(request, identity, await _reading(request, identity))
    return identity


async def _reading(request: Request, person: Identity | None) -> Grants:
    """What may be read with a request: by its person, and by everybody."""
    site = site_of(request)
    # Behind a proxy all the world comes from this machine, for which reading was left open.
    through_proxy = any(name in request.headers for name in FORWARDED)
    open_to_all = site.options.public_reading and not through_proxy and _by_our_name(request)
    if person is None:
        public = await site.engine.access.public() if site.options.public_repositories else frozenset()
        return Grants(Role.READER if open_to_all else None, public=public)
    if open_to_all and person.kind == "session" and person.grants.everywhere is None:
        return replace(person.grants, everywhere=Role.READER)
    return person.grants


def _by_our_name(request: Request) -> bool:
    names = site_of(request).options.open_hosts
    try:
        return names is None or urlsplit(f"//{request.headers.get('host', '')}").hostname in names
    except ValueError:
        return False


async def _see(request: Request, person: Identity | None, grants: Grants) -> Role | None:
    """The role in what the path names (None: for the server as a whole). Raises NotFound for what is out of sight."""
    place = await place_of(request, grants)
    role = permit.role_in(grants, place.repository_id)
    request.state.asking = Asking(person, grants, place.repository_id, role)
    if place.words is not None and role is None:
        if person is None:
            raise NotSignedIn("sign in to read this")
        raise NotFound(place.words)
    return role


async def check(request: Request, person: Identity, needed: Role) -> None:
    """Let a command pass only for those who may give it. Raises NotFound for what is out of sight, NotAllowed.

    Where it counts is told by the path: the repository of what it names, else the server as a whole.
    """
    place = await place_of(request, person.grants)
    if permit.may(person.grants, needed, place.repository_id):
        request.state.asking = Asking(
            person, person.grants, place.repository_id, permit.role_in(person.grants, place.repository_id)
        )
        return
    role = await _see(request, person, await _reading(request, person))
    where = "in all repositories" if place.words is None else "in this repository"
    raise NotAllowed(f"this needs the role {needed.word} {where}; {_has(person, role)}")


def address_is_judged(person: Identity, url: object) -> bool:
    """Whether an address that somebody gives must be within MAINSTAY_REACH: not that of administrators of everything.

    Only they let a folder of this machine be watched: the mirrors of all others lie there too. Raises NotAllowed, and
    BadInput for what is no address.
    """
    judged = not permit.may(person.grants, Role.ADMIN, None)
    if judged and url and local_path(str(url)) is not None:
        raise NotAllowed(
            "a repository that lies on the server's machine is watched by an administrator of all repositories only; "
            "give an ssh or https address"
        )
    return judged


def _has(person: Identity, role: Role | None) -> str:
    limit = f", and this token has the scope {person.scope}" if person.token and person.scope != Scope.ADMIN else ""
    return f"{person.name} has {f'the role {role.word}' if role else 'none'} there{limit}"


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, as far as a handler has found out."""

    person: Identity | None
    grants: Grants
    repository_id: int | None
    """What the path is about; None: the server as a whole, or not looked up as the role is the same everywhere."""
    role: Role | None
    """In that repository, or everywhere."""


def asking(request: Request) -> Asking | None:
    """What `reader` or `check` found out of this request; None: neither was called."""
    return getattr(request.state, "asking", None)


def sight_of(request: Request) -> frozenset[int] | None:
    """The repositories that this request may see, for lists; None: all. `reader` or `check` must have been called."""
    found = asking(request)
    if found is None:
        raise RuntimeError("nobody was asked who they are before a list was read")
    return permit.sight(found.grants)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads."""

    repository_id: int | None
    words: str | None
    """What is said where it leads to nothing that may be seen; None: it is about the server as a whole."""


async def place_of(request: Request, grants: Grants) -> Place:
    """Where a path leads. Not looked up where every place is the same."""
    path = request.path_params
    key = next((key for key in _PLACES if key in path), None)
    if key is None:
        return Place(None, None)
    find, words = _PLACES[key]
    value = str(path[key])
    if permit.highest(grants) == grants.everywhere is not None:
        return Place(None, words.format(value[:100]))
    return Place(await site_of(request).engine.db.read(find, value), words.format(value[:100]))


def _build(tx: Tx, name: str) -> int | None:
    """By id or `R#NUMBER`."""
    repository, hash_sign, _ = name.rpartition("#")
    if hash_sign:
        return places.of_repository(tx, repository)
    return places.of_build(tx, int(name)) if _is_number(name) else None


def _job(tx: Tx, name: str) -> int | None:
    return places.of_job(tx, int(name)) if _is_number(name) else None


def _artifact(tx: Tx, name: str) -> int | None:
    return places.of_artifact(tx, int(name)) if _is_number(name) else None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 16


_PLACES: dict[str, tuple[Callable[[Tx, str], int | None], str]] = {
    "name": (places.of_repository, "there is no repository named {!r}; `mainstay repo list` shows those there are"),
    "build": (_build, "there is no build {}; `mainstay builds` shows the newest"),
    "job": (_job, "there is no job with the id {}"),
    "artifact": (_artifact, "there is no artifact with the id {}; it may have been deleted by its retention"),
}
"""By a path's parameter: how its repository is found, and what is said where there is none to be seen."""


async def sign_in_link(engine: Engine, name: str = "operator") -> str:
    """The path of a link that signs its first visitor in: `/sign-in?code=...`, good once and for half an hour."""
    return path_of(await engine.signing_in.operator_link(name))


def opener_of(request: Request) -> Opener:
    """From where a session is opened."""
    agent = request.headers.get("user-agent")
    return Opener(request.client.host if request.client else None, agent and "".join(filter(str.isprintable, agent)))


async def let_in(request: Request, response: Response, signed: SignedIn) -> None:
    """Hand a fresh session to the browser; one that it had before is worth nothing from now on."""
    before = request.cookies.get(COOKIE)
    if before:
        await site_of(request).engine.signing_in.end_token(before)
    give_cookie(request, response, signed.session)
    if signed.device is not None:
        _set(request, response, DEVICE_COOKIE, signed.device, sessions.DEVICE_DAYS)


def give_cookie(request: Request, response: Response, session: str) -> None:
    """Hand the session to the browser: out of reach for scripts, never sent along from other sites' forms."""
    _set(request, response, COOKIE, session, sessions.SESSION_DAYS)


def keep_going(request: Request, response: Response, kept: str) -> None:
    """What a browser keeps, sealed, while it is with the identity provider."""
    _set(request, response, OPENID_COOKIE, kept, 1)


def _set(request: Request, response: Response, name: str, value: str, days: int) -> None:
    ours = urlsplit(site_of(request).options.address or "")
    # Under the address that others use, whatever a proxy says of it; on the machine itself people come without TLS.
    secure = request.url.scheme == "https" or (ours.scheme == "https" and ours.netloc == request.url.netloc)
    response.set_cookie(name, value, max_age=days * 86400, httponly=True, samesite="lax", secure=secure)
