"""From a template and values to an answer: everything that all pages share."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mainstay import __version__
from mainstay.engine.access import Identity
from mainstay.flow import permit
from mainstay.model.errors import NotFound
from mainstay.model.person import Role
from mainstay.web.access import COOKIE, asking
from mainstay.web.guard import form_token
from mainstay.web.options import site_of
from mainstay.web.pages import forms
from mainstay.web.pages.forms import Forms, forms_of
from mainstay.web.pages.strip import strip
from mainstay.web.pages.words import LANGUAGES, Words, words_of

HERE = Path(__file__).parent
THEME_COOKIE = "mainstay_theme"
SMALL_BYTES = 2000
"""A page of this size is sent as it is."""
THEMES = ("auto", "light", "dark")
ASSETS = {
    "style.css": "text/css",
    "script.js": "text/javascript",
    "log.js": "text/javascript",
    "keys.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "icon-passed.svg": "image/svg+xml",
    "icon-failed.svg": "image/svg+xml",
    "icon-allowed.svg": "image/svg+xml",
    "icon-running.svg": "image/svg+xml",
}
ICONS = {
    **dict.fromkeys(("passed",), "icon-passed.svg"),
    **dict.fromkeys(("failed", "timed_out"), "icon-failed.svg"),
    **dict.fromkeys(("allowed", "lost", "broken"), "icon-allowed.svg"),
    **dict.fromkeys(("running", "queued", "waiting"), "icon-running.svg"),
}
"""What a browser's tab shows of the state that a page is about."""


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of the way to a page."""

    text: str
    href: str


CONTROLS = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), "�")
"""What steers terminals and has no place on a page: all control characters but tab and line ends."""


def _printable(value: object) -> object:
    """What a template prints, without control characters; whatever it comes from is hostile."""
    return value.translate(CONTROLS) if isinstance(value, str) else value


@cache
def environment() -> Environment:
    """The templates. Everything is escaped, and a name that is not there is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_printable,
    )
    made.filters.update(branch=forms.branch, sha=forms.sha, shown=forms.shown)
    made.globals.update(strip=strip, asset=asset_path, version=__version__, languages=LANGUAGES, themes=THEMES)
    return made


def render(
    request: Request,
    template: str,
    viewer: Identity | None,
    *,
    title: str,
    live: tuple[str, ...] = (),
    crumbs: tuple[Crumb, ...] = (),
    status: int = 200,
    icon: str | None = None,
    **values: Any,
) -> Response:
    """A page. `live`: the topics on which it is out of date; `icon`: the state that its tab shows."""
    words = words_of(request)
    session = request.cookies.get(COOKIE, "")
    theme = request.cookies.get(THEME_COOKIE, "auto")

    if isinstance(problem := values.get("problem"), str):
        values["problem"] = words.refusal(problem)

    def glyph(state: str) -> Markup:
        return forms.glyph(state, words)

    text = (
        environment()
        .get_template(template)
        .render(
            t=words,
            f=forms_of(request, words, site_of(request).engine.clock.now()),
            glyph=glyph,
            viewer=viewer,
            **_may(request, viewer),
            form_token=form_token(session) if viewer is not None and session else "",
            title=title,
            icon=ICONS.get(icon or "", "icon.svg"),
            live=" ".join(live),
            crumbs=crumbs,
            language=words.language,
            theme=theme if theme in THEMES else "auto",
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            **values,
        )
    )
    headers = {"Cache-Control": "no-store", "Vary": "Cookie, Accept-Language, Accept-Encoding"}
    body = text.encode("utf-8", "replace")
    # The size of a page tells nothing of what is secret in it: a form's token is another one each time.
    if len(body) > SMALL_BYTES and takes_gzip(request):
        body = gzip.compress(body, 4, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return HTMLResponse(body, status, headers)


def takes_gzip(request: Request) -> bool:
    """Whether the reader says that it unpacks gzip."""
    offered = [part.strip().partition(";") for part in request.headers.get("accept-encoding", "")[:500].split(",")]
    return any(name == "gzip" and weight.replace(" ", "") not in ("q=0", "q=0.0") for name, _, weight in offered)


def _may(request: Request, viewer: Identity | None) -> dict[str, bool]:
    """Which buttons a page has: `may_act` those of developers, `may_maintain`, `may_admin`; where the page is about."""
    found = asking(request)
    role = found.role if found is not None and viewer is not None else None
    return {
        "may_act": role is not None and role >= Role.DEVELOPER,
        "may_maintain": role is not None and role >= Role.MAINTAINER,
        "may_admin": role is not None and role >= Role.ADMIN,
        "is_admin": viewer is not None and permit.may(viewer.grants, Role.ADMIN, None),
    }


def speak(request: Request) -> tuple[Words, Forms]:
    """The reader's words and forms, for handlers that make sentences."""
    words = words_of(request)
    return words, forms_of(request, words, site_of(request).engine.clock.now())


@cache
def _asset(name: str) -> tuple[bytes, str]:
    body = (HERE / "assets" / name).read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:12]


@cache
def _packed(name: str) -> bytes:
    """An asset made small, once."""
    return gzip.compress(_asset(name)[0], mtime=0)


def asset_path(name: str) -> str:
    """An asset's path; it changes with its content, so browsers may keep it for ever."""
    return f"/assets/{_asset(name)[1]}/{name}"


async def asset(request: Request) -> Response:
    """The stylesheet, the script, the icon."""
    name = request.path_params["name"]
    if name not in ASSETS:
        raise NotFound(f"there is no file {name[:80]!r} here")
    body, digest = _asset(name)
    kept = "public, max-age=31536000, immutable" if request.path_params["digest"] == digest else "no-cache"
    headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
    if takes_gzip(request):
        body, headers["Content-Encoding"] = _packed(name), "gzip"
    return Response(body, headers=headers, media_type=ASSETS[name])


routes = [Route("/assets/{digest}/{name}", asset)]
