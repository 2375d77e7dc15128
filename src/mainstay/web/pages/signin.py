"""Signing in and out, the first account, and what a reader prefers: language, light or dark."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine.access import Identity
from mainstay.engine.signing_in import SignedIn, TurnedAway
from mainstay.model.errors import BadInput, Conflict, NotAllowed, NotFound, NotSignedIn
from mainstay.web import access, bodies
from mainstay.web.access import DEVICE_COOKIE, opener_of
from mainstay.web.guard import check_origin
from mainstay.web.options import address_of, site_of
from mainstay.web.pages.acting import HERE, back_to, form_of
from mainstay.web.pages.rendering import THEME_COOKIE, THEMES, render, speak
from mainstay.web.pages.words import COOKIE as LANGUAGE_COOKIE
from mainstay.web.pages.words import LANGUAGES

RETURN = "/sign-in/openid/return"
YEAR_S = 365 * 86400
USED_LINK = "This link was used before or is too old. Sign in otherwise, or have a new link made."
WRONG = "Name and password do not go together."
WRONG_TOKEN = "This token is not known. An API token is needed, the one that client commands use."  # noqa: S105


async def sign_in(request: Request) -> Response:
    """The form, or with `?code=` what a link that was printed on the server's terminal or made for a person leads to.

    The operator's signs in at once. A person's comes by mail or chat, where programs open it before she does: for them
    it is a page with a button.
    """
    code = request.query_params.get("code")
    if code is None:
        return form(request, None)
    name = await site_of(request).engine.signing_in.invited(code)
    if name is None:
        return await _by_link(request, code)
    words, _ = speak(request)
    return render(request, "invited.html", None, title=words.plain("Sign in"), name=name, code=code)


async def _by_link(request: Request, code: str) -> Response:
    """Use a link up."""
    signing_in = site_of(request).engine.signing_in
    session = await signing_in.by_link(code, opener_of(request))
    if session is None:
        return form(request, USED_LINK)
    identity = await site_of(request).engine.authenticate(session)
    wanting = None if identity is None else await signing_in.wanting(identity)
    response = RedirectResponse("/" if wanting is None else "/welcome", 303)
    await access.let_in(request, response, SignedIn(session))
    return response


def form(request: Request, problem: str | None, status: int | None = None, **values: object) -> Response:
    """The sign-in form. `values` fill places of `problem`."""
    words, _ = speak(request)
    options, openid = site_of(request).options, site_of(request).engine.openid
    path = request.url.path
    back = path + (f"?{request.url.query}" if request.url.query else "") if path != "/sign-in" else "/"
    return render(
        request,
        "signin.html",
        None,
        title=words.plain("Sign in"),
        status=status or (200 if problem is None else 401),
        problem=None if problem is None else words(problem, **values),
        token_file=None if options.data is None else str(options.data / "token"),
        provider=None if openid is None else openid.settings.label,
        back=back if request.method == "GET" else "/",
    )


async def signed_in(request: Request) -> Response:
    """Take the name and password, the token, or the link's code, of the form and open a session."""
    check_origin(request)
    fields = await bodies.form(request)
    if fields.get("code"):
        return await _by_link(request, fields["code"])
    signing_in = site_of(request).engine.signing_in
    response = back_to(fields, "/")
    if fields.get("token"):
        session = await signing_in.by_token(fields["token"].strip(), opener_of(request))
        if session is None:
            return form(request, WRONG_TOKEN)
        await access.let_in(request, response, SignedIn(session))
        return response
    name, password = fields.get("name", ""), fields.get("password", "")
    signed = await signing_in.by_password(name, password, opener_of(request), request.cookies.get(DEVICE_COOKIE))
    if isinstance(signed, TurnedAway):
        if signed.wait_s > 0:
            wait = max(1, round(signed.wait_s))
            answer = form(request, "Too many wrong passwords. Try again in {n} s.", 429, n=wait)
            answer.headers["Retry-After"] = str(wait)
            return answer
        return form(request, WRONG)
    await access.let_in(request, response, signed)
    return response


async def to_provider(request: Request) -> Response:
    """Send somebody to the identity provider."""
    openid = site_of(request).engine.openid
    if openid is None:
        raise NotFound("this server knows no identity provider")
    back = request.query_params.get("back", "/")
    begun = await openid.begin(f"{address_of(request)}{RETURN}", back if HERE.fullmatch(back) else "/")
    response = RedirectResponse(begun.url, 303)
    access.keep_going(request, response, begun.kept)
    return response


async def from_provider(request: Request) -> Response:
    """Take somebody back from the identity provider."""
    openid, asked = site_of(request).engine.openid, request.query_params
    if openid is None:
        raise NotFound("this server knows no identity provider")
    if "error" in asked:
        return form(request, "The identity provider did not sign you in. Try again.")
    kept = request.cookies.get(access.OPENID_COOKIE, "")
    redirect = f"{address_of(request)}{RETURN}"
    try:
        signed, back = await openid.finish(
            asked.get("code", "")[:4000], asked.get("state", "")[:400], kept, redirect, opener_of(request)
        )
    except NotAllowed as error:
        answer = form(request, error.message)
        answer.delete_cookie(access.OPENID_COOKIE)
        return answer
    response = RedirectResponse(back, 303)
    await access.let_in(request, response, signed)
    response.delete_cookie(access.OPENID_COOKIE)
    return response


async def welcome(request: Request) -> Response:
    """The first thing for somebody who came by a link: make the first account, or set a password."""
    person = await access.signed_in(request)
    if person is None:
        raise NotSignedIn("sign in to do this")
    wanting = await site_of(request).engine.signing_in.wanting(person)
    if wanting is None:
        return RedirectResponse("/", 303)
    return _welcome(request, person, wanting, None)


def _welcome(request: Request, person: Identity, wanting: str, problem: str | None, name: str = "") -> Response:
    words, _ = speak(request)
    heading = words("Make the first account" if wanting == "admin" else "Set your password")
    return render(
        request,
        "welcome.html",
        person,
        title=words.plain("Welcome"),
        status=200 if problem is None else 422,
        heading=heading,
        wanting=wanting,
        problem=problem,
        name=name or ("" if wanting == "admin" else person.name),
    )


async def welcomed(request: Request) -> Response:
    """Make the account, or set the password, and go on as this person."""
    person, fields = await form_of(request, None)
    signing_in = site_of(request).engine.signing_in
    wanting = await signing_in.wanting(person)
    if wanting is None:
        return RedirectResponse("/", 303)
    name, password = fields.get("name", "").strip(), fields.get("password", "")
    try:
        if password != fields.get("again", ""):
            raise BadInput("the two passwords differ")
        if wanting == "admin":
            signed = await signing_in.make_first(person, name, password, opener_of(request))
        else:
            signed = await signing_in.set_password(person, None, password, opener_of(request))
    except (BadInput, Conflict, NotAllowed) as error:
        return _welcome(request, person, wanting, error.message, name)
    response = RedirectResponse("/", 303)
    await access.let_in(request, response, signed)
    return response


async def sign_out(request: Request) -> Response:
    """End the session."""
    person, _ = await form_of(request, None)
    await site_of(request).engine.signing_in.sign_out(person)
    response = RedirectResponse("/", 303)
    response.delete_cookie(access.COOKIE)
    return response


async def prefer(request: Request) -> Response:
    """Keep the language and the theme in cookies."""
    check_origin(request)
    fields = await bodies.form(request)
    response = back_to(fields, "/")
    if fields.get("language") in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, fields["language"], max_age=YEAR_S, samesite="lax", httponly=True)
    if fields.get("theme") in THEMES:
        response.set_cookie(THEME_COOKIE, fields["theme"], max_age=YEAR_S, samesite="lax", httponly=True)
    return response


def asked(request: Request, error: NotSignedIn) -> Response:
    """The sign-in form in the place of a page that cannot be read without."""
    return form(request, error.message if request.method != "GET" else None, 401)
