"""Reading what clients send, never more than is allowed: limits hold while the body streams in, not after."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from mainstay.model.errors import BadInput, TooLarge

T = TypeVar("T")

MESSAGE_BYTES = 4 << 20
"""A message of the runner protocol: the longest is an attempt's end with its summary and annotations."""
REQUEST_BYTES = 64 << 10
"""What people and their scripts send."""
FORM_BYTES = 32 << 10
FIELDS = 700


def announced(request: Request) -> int | None:
    """The size that the client has announced. Raises BadInput when it is no number."""
    value = request.headers.get("content-length")
    if value is None:
        return None
    if not value.isascii() or not value.isdigit():
        raise BadInput("the header Content-Length is not a number")
    return int(value)


async def pieces(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body in pieces. Raises TooLarge as soon as it is known to be over the limit."""
    size = announced(request)
    if size is not None and size > limit_bytes:
        raise _too_large(limit_bytes)
    seen = 0
    async for piece in request.stream():
        seen += len(piece)
        if seen > limit_bytes:
            raise _too_large(limit_bytes)
        if piece:
            yield piece


async def whole(request: Request, limit_bytes: int) -> bytes:
    """The whole body in memory."""
    return b"".join([piece async for piece in pieces(request, limit_bytes)])


async def checked(stream: AsyncIterator[bytes], digest: str | None) -> AsyncIterator[bytes]:
    """The same pieces; raises BadInput at their end when `digest` (`sha256:HEX`) is not theirs."""
    if digest is None:
        async for piece in stream:
            yield piece
        return
    algorithm, _, expected = digest.partition(":")
    if algorithm != "sha256" or len(expected) != 64:
        raise BadInput("the header Digest must be sha256: and 64 hex digits")
    found = hashlib.sha256()
    async for piece in stream:
        found.update(piece)
        yield piece
    if found.hexdigest() != expected.lower():
        raise BadInput(
            f"the bytes that arrived have the digest sha256:{found.hexdigest()}, not {digest}; send them again"
        )


async def form(request: Request, limit_bytes: int = FORM_BYTES) -> dict[str, str]:
    """The fields of a form as pages send it. A field that is there twice keeps its last value."""
    return dict(await pairs(request, limit_bytes))


async def pairs(request: Request, limit_bytes: int = FORM_BYTES) -> list[tuple[str, str]]:
    """The same with every value of a field that is there several times, as boxes that are ticked are."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadInput("a form must be sent as application/x-www-form-urlencoded")
    body = await whole(request, limit_bytes)
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise BadInput("the form cannot be read") from None


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do `work` unless the client goes away, which calls it off. The body must have been read before."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for each in (task, gone):
            if not each.done():
                each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit_bytes} bytes, which is the limit here", limit_bytes=limit_bytes)
