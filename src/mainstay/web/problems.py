"""Errors on their way out: `application/problem+json` for programs. Pages have their own words (`pages.errors`)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mainstay.model.errors import BadInput, MainstayError, NotFound

log = logging.getLogger(__name__)

CODES = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large", 422: "bad-input"}


CLIENT_GONE = 499
"""What proxies write to their logs for a client that did not wait."""


def problem(
    status: int, code: str, detail: str, details: Mapping[str, object] = {}, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer as RFC 9457 has it. `details` become members of their own (`stored` of a log's conflict)."""
    body: dict[str, Any] = {key: _plain(value) for key, value in details.items()}
    body |= {"type": f"urn:mainstay:{code}", "title": _title(status), "status": status, "code": code, "detail": detail}
    content = msgspec.json.encode(body)
    return Response(content, status, headers, media_type="application/problem+json")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | dict | tuple | None) else str(value)


def of_error(error: Exception) -> Response:
    """The answer that says what an error means."""
    if isinstance(error, MainstayError):
        headers = {"WWW-Authenticate": 'Bearer realm="mainstay"'} if error.status == 401 else None
        if error.status == 503:
            headers = {"Retry-After": "2"}
        return problem(error.status, error.code, error.message, error.details, headers)
    if isinstance(error, HTTPException):
        code = CODES.get(error.status_code, "failed")
        return problem(error.status_code, code, str(error.detail), headers=error.headers)
    # The server (uvicorn) writes it to the log: Starlette raises it again after this answer.
    return problem(500, "failed", "The server made a mistake and has written it to its log. Trying again may help.")


async def answer(request: Request, error: Exception) -> Response:
    """The same as an exception handler of an application."""
    if isinstance(error, HTTPException) and error.status_code == 404:
        return of_error(NotFound(f"there is nothing at {request.url.path[:200]}"))
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "other methods")
        detail = f"{request.method[:20]} is not possible here, only {allowed}"
        return problem(405, CODES[405], detail, headers=error.headers)
    return of_error(error)


async def gone(request: Request, error: Exception) -> Response:
    """The client went away before it was answered, which is no error of anybody. Nobody reads what is given here."""
    assert isinstance(error, ClientDisconnect)
    log.debug("The client of %s %s went away", request.method, request.url.path)
    return Response(status_code=CLIENT_GONE)


def decoded(body: bytes, kind: Any, what: str) -> Any:
    """A JSON body as a value of `kind`. Raises BadInput that says what is wrong and where."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{what} cannot be read: {error}") from None
