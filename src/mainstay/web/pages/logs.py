"""An attempt's log: folded by steps, opened at the first failing line, read in small parts whatever its size."""

from dataclasses import dataclass
from typing import Any

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
from mainstay.web.pages import log_search, screens
from mainstay.web.pages.forms import Forms
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, environment, render, speak
from mainstay.web.pages.screens import Opened
from mainstay.web.pages.tails import TAIL_BYTES, Tail
from mainstay.web.pages.words import Words
from mainstay.web.paths import number

WRAP_COOKIE = "mainstay_wrap"
"""`no`: the reader wants long lines as they are, to be scrolled sideways."""


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
    """The log's page; with `?part=1` only the lines of a further part, with `?q=` what a search finds."""
    viewer = await reader(request)
    words, forms = speak(request)
    site = site_of(request)
    view = await site.engine.db.read(_view, number(request, "job"), number(request, "attempt"))
    if "part" in request.query_params:
        return await _further(request, view)
    job, attempt, head = view.job, view.attempt, view.head
    path = f"/jobs/{job.id}/attempts/{attempt.number}"
    wanted = request.query_params.get("q", "").strip()
    values = await _searched(request, view, wanted) if wanted else await _steps(request, view)
    return render(
        request,
        "log.html",
        viewer,
        title=f"{job.name[:80]} {words.plain(attempt.state.value.replace('_', ' '))} · {head.repository}#{head.number}",
        icon=attempt.state.value,
        live=() if wanted else (f"build:{head.id}", f"attempt:{attempt.id}"),
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
        heading=_heading(job, attempt, words, forms),
        open=attempt.state in OPEN_ATTEMPT,
        wanted=wanted,
        regex="regex" in request.query_params,
        wrapped=request.cookies.get(WRAP_COOKIE) != "no",
        **values,
    )


async def _steps(request: Request, view: View) -> dict[str, Any]:
    """The steps, and the lines of the one that is opened."""
    site, attempt = site_of(request), view.attempt
    parts = failure.parts(attempt)
    part, opened = await _opened(request, site, view, parts)
    begin = part.start
    if opened.at is not None:
        begin = await screens.some_before(site, attempt.id, opened.at, part.start)
    last = attempt.state in OPEN_ATTEMPT and part is parts[-1]
    shown = await screens.screen(site, attempt.id, begin, part.end, opened, growing=last)
    earlier = None
    if begin > part.start:
        back = begin - screens.SCREEN_BYTES + screens.BEFORE_BYTES
        earlier = await screens.some_before(site, attempt.id, back, part.start)
    growing = last and part.end - shown.end < TAIL_BYTES
    return {
        "found": None,
        "parts": parts,
        "part": part,
        "screen": shown,
        "folds": screens.folded(shown.lines, growing=growing),
        "earlier": earlier,
        "growing": growing,
        "further": not growing and shown.end < part.end,
        "last": await _last_line(site, attempt.id, part) if attempt.state in OPEN_ATTEMPT and not last else None,
    }


async def _last_line(site: Site, attempt_id: int, part: Part) -> int | None:
    """The number of a part's last line: what a page that followed it has got beyond that belongs to another step."""
    breaks = await site.engine.logs.breaks_before(attempt_id, part.end)
    if breaks is None or part.end == part.start:
        return breaks
    return breaks + (await logs.read(site, attempt_id, part.end - 1, part.end) != b"\n")


async def _searched(request: Request, view: View, wanted: str) -> dict[str, Any]:
    """What a search in the whole log finds, a page of it; or why it cannot be searched for."""
    asked = request.query_params
    start = min(_number(asked.get("from"), "from") or 0, view.attempt.log_bytes)
    try:
        match = log_search.matcher(wanted, regex="regex" in asked)
        found = await log_search.search(site_of(request), view.attempt.id, match, start, view.attempt.log_bytes)
    except BadInput as problem:
        return {"found": log_search.Found(), "refused": problem.message, "searched_from": 0}
    return {"found": found, "refused": None, "searched_from": start}


async def _opened(request: Request, site: Site, view: View, parts: list[Part]) -> tuple[Part, Opened]:
    """Which part of the log to open, and at which lines: as asked, else where the failure is."""
    asked, attempt = request.query_params, view.attempt
    opened = screens.NOWHERE
    if "lines" in asked:
        first, last = _range(asked["lines"])
        at = await site.engine.logs.line_start(attempt.id, first)
        opened = Opened(at, first, last) if at is not None else screens.NOWHERE
    elif (at := _number(asked.get("at"), "at")) is not None:
        opened = Opened(min(at, max(0, attempt.log_bytes - 1)))
    if opened.at is not None:
        return next((each for each in reversed(parts) if each.start <= (opened.at or 0)), parts[0]), opened
    if "step" in asked:
        return next((each for each in parts if each.key == asked["step"]), parts[0]), opened
    part = failure.telling(parts)
    if attempt.state in OPEN_ATTEMPT:
        late = part.end - part.start > screens.SCREEN_BYTES
        return part, Opened(part.end - screens.SCREEN_BYTES // 2, marked=False) if late else opened
    if part.step is not None and part.step.state not in failure.BAD_STEPS:
        return part, opened
    start = max(part.start, part.end - failure.LOOKED_AT)
    place = failure.first_failing_line(await logs.read(site, attempt.id, start, part.end))
    bad = attempt.state.value in ("failed", "timed_out", "broken", "lost")
    return part, Opened(start + place) if bad and place is not None else opened


def _range(value: str) -> tuple[int, int]:
    """`120` or `120-140`, as first and last line."""
    low, dash, high = value.partition("-")
    first = _number(low, "lines") or 1
    last = _number(high, "lines") if dash else first
    return (first, last) if last is not None and last >= first else (first, first)


def _number(value: str | None, name: str) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise BadInput(f"{name} must be a number, of at most 15 digits")
    return int(value)


async def _further(request: Request, view: View) -> Response:
    """The lines from `?from=` to at most `?to=`, as a piece of HTML; the header Log-Next says where to go on."""
    start = _number(request.query_params.get("from"), "from") or 0
    end = min(_number(request.query_params.get("to"), "to") or view.attempt.log_bytes, view.attempt.log_bytes)
    shown = await screens.screen(site_of(request), view.attempt.id, min(start, end), end)
    template = environment().get_template("lines.html")
    text = template.render(folds=screens.folded(shown.lines), t=speak(request)[0])
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
    return streams.events(Tail(request, place.id, speak(request)[0]).events(start))


async def raw(request: Request) -> Response:
    """The log's bytes as they were printed."""
    await reader(request)
    job, attempt = number(request, "job"), number(request, "attempt")
    response = await logs.answer(request, job, attempt, follow=False)
    if "download" in request.query_params:
        response.headers["Content-Disposition"] = f'attachment; filename="job-{job}-attempt-{attempt}.log"'
    return response
