"""What protects every answer and every form: security headers, same-origin checks, form tokens."""

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mainstay.model.errors import NotAllowed

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # of what does not say otherwise
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

SALT_DIGITS = 16
"""Of a form's token, hex: what makes it another one on each page."""


class SecurityHeaders:
    """Puts the headers on every answer; one that is there already is left as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)


def form_token(session: str) -> str:
    """What a form of this session must carry. It tells nothing of the session.

    It is another one each time: what stays the same in compressed pages can be guessed from their sizes.
    """
    return _salted(session, secrets.token_hex(SALT_DIGITS // 2))


def _salted(session: str, salt: str) -> str:
    return salt + hmac.new(session.encode(), b"mainstay form " + salt.encode(), hashlib.sha256).hexdigest()


def check_origin(request: Request) -> None:
    """Refuse a request that another site's page has sent."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise NotAllowed("this form was sent from another site, so nothing was done")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAllowed(
            "this form was sent from another address than the server's, so nothing was done; a proxy in front of the "
            "server must pass the Host header on"
        )


def check_form(request: Request, session: str, fields: dict[str, str]) -> None:
    """Refuse a form that was not made for this session."""
    check_origin(request)
    given = fields.get("form_token", "")
    if not hmac.compare_digest(given.encode(), _salted(session, given[:SALT_DIGITS]).encode()):
        raise NotAllowed("the form is out of date; load the page again and repeat what you did")
