"""Logs as bytes: whole, by range, or followed until the attempt has ended."""

import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mainstay.model.errors import NotFound
from mainstay.store.views import builds as views
from mainstay.store.views.builds import AttemptPlace
from mainstay.web.access import still_seen
from mainstay.web.options import Site, site_of
from mainstay.web.streams import BEAT_S

RANGE = re.compile(r"bytes=(\d{0,40})-(\d{0,40})", re.ASCII)
CHUNK = 1 << 20


async def place_of(site: Site, job_id: int, number: int | None) -> AttemptPlace:
    """The attempt that a path names. Raises NotFound."""
    place = await site.engine.db.read(views.attempt_place, job_id, number)
    if place is None:
        what = "has no attempt yet" if number is None else f"has no attempt {number}"
        raise NotFound(f"there is no job with the id {job_id}, or it {what}")
    return place


async def answer(request: Request, job_id: int, number: int, *, follow: bool) -> Response:
    """The log's bytes as they were printed."""
    site = site_of(request)
    place = await place_of(site, job_id, number)
    size, ended = await site.engine.log_size(place.id)
    asked = request.headers.get("range")
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "no-store", "Content-Disposition": _disposition(place)}
    if follow and (start := followed_from(asked, size)) is not None:
        return StreamingResponse(followed(request, place.id, start), media_type="text/plain", headers=headers)
    span = wanted_range(asked, size)
    if span is None:
        headers["Content-Range"] = f"bytes */{size}"
        return Response(status_code=416, headers=headers)
    start, end = span
    headers["Content-Length"] = str(end - start)
    if _range(asked) is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size if ended else '*'}"
    status = 206 if "Content-Range" in headers else 200
    body = site.engine.log_range(place.id, start, end)
    return StreamingResponse(body, status, headers, media_type="text/plain")


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes that a Range header asks for as (start, end); everything for none or one we do not read; None: no such.

    Only one range is given out; a request for several gets the whole, as the standard allows.
    """
    asked = _range(header)
    if asked is None:
        return 0, size
    first, last = asked
    if not first:
        length = min(int(last), size)
        return (size - length, size) if length else None
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    return (start, end) if start < end else None


def followed_from(header: str | None, size: int) -> int | None:
    """Where to follow from: the present end counts as a place, for more may come there. None: a range with an end."""
    asked = _range(header)
    if asked is None:
        return 0
    first, last = asked
    if not first:
        return max(0, size - int(last))
    return None if last or int(first) > size else int(first)


def _range(header: str | None) -> tuple[str, str] | None:
    """First and last byte of the one range that a header asks for, either may be empty; None: none that we read."""
    match = RANGE.fullmatch(header.strip()) if header else None
    return None if match is None or not any(match.groups()) else (match[1], match[2])


async def followed(request: Request, attempt_id: int, start: int) -> AsyncIterator[bytes]:
    """The bytes from `start` on, and all that come.

    Until the attempt has ended, the server stops, or the reader may not read them any more.
    """
    site = site_of(request)
    with site.streams.watch(site.engine.wake, f"log:{attempt_id}", f"attempt:{attempt_id}") as grown:
        while site.streams.going():
            size, ended = await site.engine.log_size(attempt_id)
            if not await still_seen(request):
                return
            async for piece in site.engine.log_range(attempt_id, start, size):
                start += len(piece)
                yield piece
            if ended and start >= size:
                return
            if start >= size:
                await grown.wait(BEAT_S)


async def read(site: Site, attempt_id: int, start: int, end: int) -> bytes:
    """A part of a log in memory; keep it small."""
    return b"".join([piece async for piece in site.engine.log_range(attempt_id, start, end)])


def _disposition(place: AttemptPlace) -> str:
    return f'inline; filename="job-{place.job_id}-attempt-{place.number}.log"'
