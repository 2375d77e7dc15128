"""One's own account: password, tokens, where one is signed in."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine.access import Identity
from mainstay.engine.personal_tokens import Listed, Wish
from mainstay.model.errors import BadInput, Conflict, NotAllowed, NotFound, NotSignedIn
from mainstay.model.person import Person, Scope, Token
from mainstay.store import people, repositories, tokens
from mainstay.store.database import Tx
from mainstay.web import access
from mainstay.web.access import opener_of
from mainstay.web.options import address_of, site_of
from mainstay.web.pages.acting import form_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.paths import number

DAYS = (7, 30, 90, 365)


async def account(request: Request) -> Response:
    """The account of whoever is signed in."""
    person = await access.reader(request)
    if person is None:
        raise NotSignedIn("sign in to read this")
    return await _page(request, person)


def _read(tx: Tx, identity: Identity, now: Any) -> tuple[Person | None, list[Token], list[tuple[str, str]]]:
    if identity.person_id is None:
        return None, [], []
    person = people.get(tx, identity.person_id)
    roles = [(name, role.word) for _, name, role, _ in people.roles_of(tx, person.id)]
    return person, tokens.listed(tx, "session", now, person.id), roles


async def _page(request: Request, identity: Identity, **more: Any) -> Response:
    words, _ = speak(request)
    engine = site_of(request).engine
    person, sessions, roles = await engine.db.read(_read, identity, engine.clock.now())
    own: list[Listed] = await engine.tokens.listed(identity, "api") if person is not None else []
    seen = await engine.db.read(repositories.all_of, access.sight_of(request))
    shown: dict[str, Any] = {"fresh": None, "problem": None, **more}
    return render(
        request,
        "account.html",
        identity,
        title=words.plain("Your account"),
        status=422 if shown["problem"] else 200,
        crumbs=(Crumb(words.plain("Your account"), "/account"),),
        heading=words("You are signed in as {name}", name=identity.name),
        person=person,
        roles=roles,
        sessions=[(each, each.id == identity.id) for each in sessions],
        tokens=own,
        scopes=[scope.value for scope in Scope],
        days=DAYS,
        repositories=[each.name for each in seen],
        address=address_of(request),
        **shown,
    )


async def new_token(request: Request) -> Response:
    """Make a token and show it this once."""
    identity, fields = await form_of(request, None)
    await access.reader(request)
    only = fields.get("repository", "").strip()
    days = fields.get("days", "90")
    try:
        wish = Wish(
            fields.get("name", ""),
            _scope(fields.get("scope", "")),
            (only,) if only else None,
            None if days == "none" else int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0,
        )
        _, text = await site_of(request).engine.tokens.create(identity, wish)
    except (BadInput, Conflict, NotAllowed, NotFound) as error:
        return await _page(request, identity, problem=error.message)
    return await _page(request, identity, fresh=text)


def _scope(word: str) -> Scope:
    try:
        return Scope(word)
    except ValueError:
        raise BadInput(f"a scope is one of {', '.join(Scope)}, not {word[:40]!r}") from None


async def revoke_token(request: Request) -> Response:
    """Make one of one's tokens worthless."""
    identity, _ = await form_of(request, None)
    await site_of(request).engine.tokens.revoke(identity, number(request, "token"))
    return RedirectResponse("/account#tokens", 303)


async def set_password(request: Request) -> Response:
    """Change the password; all other browsers are signed out."""
    identity, fields = await form_of(request, None)
    await access.reader(request)
    signing_in = site_of(request).engine.signing_in
    try:
        if fields.get("password", "") != fields.get("again", ""):
            raise BadInput("the two passwords differ")
        signed = await signing_in.set_password(
            identity, fields.get("old", ""), fields.get("password", ""), opener_of(request)
        )
    except (BadInput, Conflict, NotAllowed) as error:
        return await _page(request, identity, problem=error.message)
    response = RedirectResponse("/account", 303)
    await access.let_in(request, response, signed)
    return response


async def end_sessions(request: Request) -> Response:
    """Sign out of all other browsers, or of one."""
    identity, fields = await form_of(request, None)
    accounts = site_of(request).engine.accounts
    if identity.person_id is None:
        raise BadInput("this session belongs to the server and not to a person")
    if identity.limited:
        raise NotAllowed("this session was opened with a token that may not do everything; sign in otherwise")
    chosen = fields.get("session", "")
    if chosen.isascii() and chosen.isdigit() and len(chosen) < 16:
        await accounts.end_session(identity.actor, identity.person_id, int(chosen))
    else:
        await accounts.end_sessions(identity.actor, identity.person_id, identity.id)
    return RedirectResponse("/account#sessions", 303)
