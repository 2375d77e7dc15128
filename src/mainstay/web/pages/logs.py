"""An attempt's log: folded by steps, opened at the first failing line, read in small parts whatever its size."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mainstay.flow import failure
from mainstay.flow.failure import Part
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.job import Attempt, Job
from mainstay.model.states import OPEN_ATTEMPT
from mainstay.store import jobs
from mainstay.store.database import Tx
from mainstay.store.views import builds as views
from mainstay.store.views.builds import BuildHead
from mainstay.web import logs, streams
from mainstay.web.access import reader
from mainstay.web.options import Site, site_of
from mainstay.web.pages import ansi
from mainstay.web.pages.ansi import LogLine
from mainstay.web.pages.forms import Forms
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, environment, render, speak
from mainstay.web.pages.words import Words
from mainstay.web.paths import number

SCREEN_BYTES = 40 << 10
"""What one part of a log holds at most."""
SCREEN_LINES = 400
BEFORE_BYTES = 4 << 10
"""What is shown before the line that a page opens at."""
NUMBERED_BYTES = 2 << 20
"""Lines are numbered up to here; counting further would make a page of a large log slow."""
TAIL_BYTES = 64 << 10
BEHIND_BYTES = 1 << 20
"""A reader that is further behind than this is taken to the end."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A part of a log, as lines."""

    lines: tuple[LogLine, ...]
    start: int
    end: int
    first: int | None
    """The number of its first line; None in the depth of a large log."""


async def screen(site: Site, attempt_id: int, start: int, end: int) -> Screen:
    """The lines from `start`, where a line begins, to at most `end`."""
    data = await logs.read(site, attempt_id, start, min(end, start + SCREEN_BYTES))
    cut = len(data)
    if start + cut < end:
        whole = data.rfind(b"\n") + 1
        cut = whole or cut  # a line longer than a screen goes on in the next
    found = list(ansi.lines(data[:cut], start))
    stop = start + cut
    if len(found) > SCREEN_LINES:
        stop = found[SCREEN_LINES].offset
        found = found[:SCREEN_LINES]
    return Screen(tuple(found), start, stop, await _line_number(site, attempt_id, start))


async def _line_number(site: Site, attempt_id: int, start: int) -> int | None:
    if start > NUMBERED_BYTES:
        return None
    return 1 + sum([piece.count(b"\n") async for piece in site.engine.log_range(attempt_id, 0, start)])


async def line_start(site: Site, attempt_id: int, at: int, lowest: int) -> int:
    """Where the line begins that is some lines before byte `at`."""
    low = max(lowest, at - BEFORE_BYTES)
    if low == lowest:
        return low
    data = await logs.read(site, attempt_id, low, at)
    return low + data.find(b"\n") + 1 if b"\n" in data else low


@dataclass(frozen=True, slots=True)
class View:
    """The attempt with what stands around it."""

    job: Job
    attempt: Attempt
    head: BuildHead
    notice: str | None


def _view(tx: Tx, job_id: int, number: int) -> View:
    job = jobs.get(tx, job_id)
    attempt = next((each for each in job.attempts if each.number == number), None)
    head = views.head(tx, job.build_id)
    if attempt is None or head is None:
        raise NotFound(f"job {job.name} has no attempt {number}; it has {len(job.attempts)}")
    notes = views.notes(tx, [attempt.id]).get(attempt.id)
    return View(job, attempt, head, notes.log_notice if notes else None)


async def log(request: Request) -> Response:
    """The log's page, or with `?part=1` only the lines of a further part."""
    viewer = await reader(request)
    words, forms = speak(request)
    site = site_of(request)
    view = await site.engine.db.read(_view, number(request, "job"), number(request, "attempt"))
    parts = failure.parts(view.attempt)
    if "part" in request.query_params:
        return await _further(request, view)
    part, at = await _opened(request, site, view, parts)
    begin = part.start if at is None else await line_start(site, view.attempt.id, at, part.start)
    shown = await screen(site, view.attempt.id, begin, part.end)
    job, attempt, head = view.job, view.attempt, view.head
    path = f"/jobs/{job.id}/attempts/{attempt.number}"
    return render(
        request,
        "log.html",
        viewer,
        title=f"{job.name} {head.repository}#{head.number}",
        live=(f"build:{head.id}", f"attempt:{attempt.id}"),
        crumbs=(
            Crumb(head.repository, path_of(head.repository)),
            Crumb(f"#{head.number}", f"/builds/{head.id}"),
            Crumb(job.name, path),
        ),
        view=view,
        job=job,
        attempt=attempt,
        head=head,
        path=path,
        parts=parts,
        part=part,
        at=at,
        screen=shown,
        heading=_heading(job, attempt, words, forms),
        earlier=await line_start(site, attempt.id, begin - SCREEN_BYTES + BEFORE_BYTES, part.start)
        if begin > part.start
        else None,
        open=attempt.state in OPEN_ATTEMPT,
        at_end=part is parts[-1] and shown.end >= part.end,
    )


async def _opened(request: Request, site: Site, view: View, parts: list[Part]) -> tuple[Part, int | None]:
    """Which part of the log to open, and at which line: as asked, else where the failure is."""
    asked = request.query_params
    at = _number(asked.get("at"), "at")
    if at is not None:
        part = next((each for each in reversed(parts) if each.start <= at), parts[0])
        return part, min(at, part.end)
    if "step" in asked:
        part = next((each for each in parts if each.key == asked["step"]), parts[0])
        return part, None
    part = failure.telling(parts)
    if view.attempt.state in OPEN_ATTEMPT:
        return part, max(part.start, part.end - SCREEN_BYTES // 2) if part.end - part.start > SCREEN_BYTES else None
    if part.step is not None and part.step.state not in failure.BAD_STEPS:
        return part, None
    start = max(part.start, part.end - failure.LOOKED_AT)
    place = failure.first_failing_line(await logs.read(site, view.attempt.id, start, part.end))
    bad = view.attempt.state.value in ("failed", "timed_out", "broken", "lost")
    return part, start + place if bad and place is not None else None


def _number(value: str | None, name: str) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise BadInput(f"{name} must be a number of bytes")
    return int(value)


async def _further(request: Request, view: View) -> Response:
    """The lines from `?from=` to at most `?to=`, as a piece of HTML; the header Log-Next says where to go on."""
    start = _number(request.query_params.get("from"), "from") or 0
    end = min(_number(request.query_params.get("to"), "to") or view.attempt.log_bytes, view.attempt.log_bytes)
    shown = await screen(site_of(request), view.attempt.id, min(start, end), end)
    path = f"/jobs/{view.job.id}/attempts/{view.attempt.number}"
    template = environment().get_template("lines.html")
    text = template.render(screen=shown, path=path, at=None)
    following = {"Log-Next": str(shown.end)} if shown.end < end else {}
    return HTMLResponse(text, headers={"Cache-Control": "no-store", **following})


def _heading(job: Job, attempt: Attempt, words: Words, forms: Forms) -> Markup:
    span = forms.between(attempt.started_at, attempt.finished_at)
    names = {"job": job.name, "n": attempt.number, "span": span, "state": words(attempt.state.value.replace("_", " "))}
    if attempt.state in OPEN_ATTEMPT:
        return words("{job} has been running for {span}" if span else "{job} is {state}", **names)
    text = {
        "passed": "{job} passed in {span}",
        "failed": "{job} failed after {span}",
        "cancelled": "{job} was cancelled after {span}",
        "timed_out": "{job} ran out of time after {span}",
        "lost": "{job}: the runner vanished after {span}",
        "broken": "{job} could not be run, which is not the code's fault",
    }.get(attempt.state.value, "{job} is {state}")
    return words(text if span or "{span}" not in text else "{job}: {state}", **names)


async def tail(request: Request) -> Response:
    """The lines that come, as server-sent events, from `?from=` on until the attempt has ended."""
    await reader(request)
    site = site_of(request)
    place = await logs.place_of(site, number(request, "job"), number(request, "attempt"))
    last = request.headers.get("last-event-id")
    start = _number(last if last is not None else request.query_params.get("from"), "from") or 0
    return streams.events(_tail(site, place.id, start))


async def _tail(site: Site, attempt_id: int, start: int) -> AsyncIterator[bytes]:
    yield streams.OPENING
    look = ansi.Look()
    with site.streams.watch(site.engine.wake, f"log:{attempt_id}", f"attempt:{attempt_id}") as grown:
        while site.streams.going():
            size, ended = await site.engine.log_size(attempt_id)
            if size - start > BEHIND_BYTES:
                start = await line_start(site, attempt_id, size - TAIL_BYTES, start)
                yield streams.message("skipped", {"to": start}, str(start))
            data = await logs.read(site, attempt_id, start, min(size, start + TAIL_BYTES))
            cut = len(data) if ended and start + len(data) >= size else data.rfind(b"\n") + 1
            if not cut and len(data) >= TAIL_BYTES:
                cut = len(data)
            if cut:
                lines = _tailed(data[:cut], start, look)
                start += cut
                yield streams.message("lines", {"lines": lines, "end": start}, str(start))
                continue
            if ended:
                yield streams.message("ended", {"size": size})
                return
            if not await grown.wait(streams.BEAT_S):
                yield streams.BEAT


def _tailed(data: bytes, start: int, look: ansi.Look) -> list[tuple[int, str]]:
    found = []
    place = 0
    while place < len(data):
        end = data.find(b"\n", place)
        stop = len(data) if end < 0 else end
        found.append((start + place, str(ansi.line(data[place:stop], look))))
        place = stop + 1
    return found


async def raw(request: Request) -> Response:
    """The log's bytes as they were printed."""
    await reader(request)
    job, attempt = number(request, "job"), number(request, "attempt")
    response = await logs.answer(request, job, attempt, follow=False)
    if "download" in request.query_params:
        response.headers["Content-Disposition"] = f'attachment; filename="job-{job}-attempt-{attempt}.log"'
    return response
