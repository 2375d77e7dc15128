"""Schedules, of one repository or of all: when they start next, what came of the last start, what was missed."""

from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine.access import Identity
from mainstay.model.person import Role
from mainstay.store import repositories, schedules
from mainstay.store.database import Tx
from mainstay.store.schedules import Scheduled
from mainstay.store.views import builds as views
from mainstay.web import listing
from mainstay.web.access import reader, sight_of
from mainstay.web.listing import Line
from mainstay.web.options import site_of
from mainstay.web.pages.acting import form_of
from mainstay.web.pages.cron_words import said
from mainstay.web.pages.forms import Forms
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words
from mainstay.web.paths import place

PAGE = 100
LATE_S = 120.0
"""A start that is overdue for longer than this is called late: something keeps the server from starting it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of cron with its last build."""

    name: str
    scheduled: Scheduled
    build: Line | None

    def late(self, now: datetime) -> bool:
        """Whether it should have been started by now."""
        at = self.scheduled.next_at
        return at is not None and (now - at).total_seconds() > LATE_S


def _with_builds(tx: Tx, found: list[tuple[str, Scheduled]]) -> list[Row]:
    ids = [each.build_id for _, each in found if each.build_id is not None]
    lines = {line.head.id: line for line in listing.lines(tx, views.heads(tx, ids))} if ids else {}
    return [Row(name, each, lines.get(each.build_id or 0)) for name, each in found]


def _all(tx: Tx, seen: frozenset[int] | None, skip: int) -> list[Row]:
    return _with_builds(tx, schedules.all_of(tx, seen, skip, PAGE))


def _of_one(tx: Tx, name: str) -> list[Row]:
    repository = repositories.by_name(tx, name)
    return _with_builds(tx, [(name, each) for each in schedules.of_repository(tx, repository.id)])


async def all_schedules(request: Request) -> Response:
    """The schedules of all repositories, the next to come first."""
    viewer = await reader(request)
    skip = place(request, "skip") or 0
    rows = await site_of(request).engine.db.read(_all, sight_of(request), skip)
    return _page(request, viewer, rows, None, skip)


async def of_repository(request: Request) -> Response:
    """The schedules of one repository."""
    viewer = await reader(request)
    name = request.path_params["name"]
    return _page(request, viewer, await site_of(request).engine.db.read(_of_one, name), name, 0)


def _page(request: Request, viewer: Identity | None, rows: list[Row], name: str | None, skip: int) -> Response:
    words, forms = speak(request)
    title = words.plain("Schedules")
    crumbs: tuple[Crumb, ...] = (Crumb(title, "/schedules"),)
    if name is not None:
        crumbs = (Crumb(name, path_of(name)), Crumb(title, path_of(name, "schedules")))
    return render(
        request,
        "schedules.html",
        viewer,
        title=title,
        live=("events",),
        crumbs=crumbs,
        rows=[(row, said(row.scheduled.cron, words), row.late(forms.now)) for row in rows],
        name=name,
        heading=_heading(rows, words, forms),
        following=f"/schedules?skip={skip + PAGE}" if name is None and len(rows) == PAGE else None,
    )


def _heading(rows: list[Row], words: Words, forms: Forms) -> Markup:
    late = sum(row.late(forms.now) for row in rows)
    if late:
        return words.count(late, "1 schedule is late", "{n} schedules are late")
    due = [row.scheduled.next_at for row in rows if row.scheduled.next_at]
    if not due:
        return words("Nothing starts by itself")
    return words.count(
        len(rows), "1 schedule, next at {when}", "{n} schedules, the next at {when}", when=forms.clock(min(due))
    )


async def start(request: Request) -> Response:
    """Start one out of turn, and go to its build."""
    person, fields = await form_of(request, Role.DEVELOPER)
    name = request.path_params["name"]
    engine = site_of(request).engine
    build_id = await engine.start_schedule(person.actor, name, fields.get("source", ""), fields.get("cron", ""))
    return RedirectResponse(f"/builds/{build_id}", 303)
