"""Signing in and out, and what a reader prefers: language, light or dark."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.model.errors import NotSignedIn
from mainstay.web import access, bodies
from mainstay.web.guard import check_origin
from mainstay.web.options import site_of
from mainstay.web.pages.acting import back_to, form_of
from mainstay.web.pages.rendering import THEME_COOKIE, THEMES, render, speak
from mainstay.web.pages.words import COOKIE as LANGUAGE_COOKIE
from mainstay.web.pages.words import LANGUAGES

YEAR_S = 365 * 86400


async def sign_in(request: Request) -> Response:
    """The form, or with `?code=` the use of a link that was printed on the server's terminal."""
    code = request.query_params.get("code")
    if code is not None:
        session = await access.use_link(site_of(request).engine, code)
        if session is None:
            return form(request, "This link was used before or is too old. Sign in with a token, or print a new link.")
        response = RedirectResponse("/", 303)
        access.give_cookie(request, response, session)
        return response
    return form(request, None)


def form(request: Request, problem: str | None, status: int | None = None) -> Response:
    """The sign-in form."""
    words, _ = speak(request)
    data = site_of(request).options.data
    path = request.url.path
    back = path + (f"?{request.url.query}" if request.url.query else "") if path != "/sign-in" else "/"
    return render(
        request,
        "signin.html",
        None,
        title=words.plain("Sign in"),
        status=status or (200 if problem is None else 401),
        problem=problem,
        token_file=None if data is None else str(data / "token"),
        back=back if request.method == "GET" else "/",
    )


async def signed_in(request: Request) -> Response:
    """Take the token of the form and open a session."""
    check_origin(request)
    fields = await bodies.form(request)
    engine = site_of(request).engine
    identity = await engine.authenticate(fields.get("token", "").strip())
    if identity is None or identity.kind != "api":
        return form(request, "This token is not known. An API token is needed, the one that client commands use.")
    response = back_to(fields, "/")
    access.give_cookie(request, response, await access.open_session(engine, identity.name))
    return response


async def sign_out(request: Request) -> Response:
    """End the session."""
    person, _ = await form_of(request, None)
    await access.end_session(site_of(request).engine, person)
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
