"""Runners: what they offer, what they run, how they fared; one of them with its last attempts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine import failing, labels
from mainstay.engine.access import Identity
from mainstay.engine.failing import Failing
from mainstay.model.errors import BadInput
from mainstay.model.events import Event, EventKind
from mainstay.model.person import Role
from mainstay.model.runner import Runner
from mainstay.model.states import AttemptState
from mainstay.store import events
from mainstay.store import runners as store
from mainstay.store.database import Tx
from mainstay.store.views import queue as views
from mainstay.store.views.queue import Held
from mainstay.web.access import reader, sight_of
from mainstay.web.options import address_of, site_of
from mainstay.web.pages import marks
from mainstay.web.pages.acting import back_to, form_of
from mainstay.web.pages.load import load
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.strip import Mark
from mainstay.web.pages.words import Words
from mainstay.web.paths import number, place
from mainstay.workflow.labels import Rule

SHOWN = 200
HISTORY = 20
PAGE = 50
DAY = timedelta(days=1)
SPANS = 3000
"""Attempts of one runner that are looked at for its load over the day."""
EVENTS = 2000
FAILED = 3
"""Local runners that could not be started, of the last day, told on top."""


@dataclass(frozen=True, slots=True)
class Row:
    """A runner with its last attempts."""

    runner: Runner
    held: tuple[Held, ...]
    marks: tuple[Mark, ...]

    @property
    def running(self) -> tuple[Held, ...]:
        """What it runs now."""
        return tuple(each for each in self.held if each.finished_at is None and each.state.value == "running")

    @property
    def lost(self) -> int:
        """How many of its last attempts were lost or broken."""
        return sum(each.state.value in ("lost", "broken") for each in self.held)

    @property
    def state(self) -> str:
        """`online`, `draining` or `offline`."""
        return "offline" if not self.runner.online else "draining" if self.runner.draining else "online"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name in `runs-on` means."""

    rule: Rule
    offering: int
    """Runners that are there and offer the labels."""


def _meanings(rules: Iterable[Rule], found: Sequence[Runner]) -> list[Meaning]:
    offered = [frozenset(each.labels) for each in found if each.online and not each.draining]
    return [Meaning(rule, sum(there.issuperset(rule.labels) for there in offered)) for rule in rules]


@dataclass(frozen=True, slots=True)
class _Read:
    """What the page of all runners is made of."""

    found: list[Runner]
    held: dict[int, list[Held]]
    failing: list[Failing]
    failed: list[Event]
    rules: tuple[Rule, ...]


def _read(tx: Tx, now: datetime, lease_s: float, seen: frozenset[int] | None) -> _Read:
    found = store.all_of(tx, now, lease_s)
    held = views.last_of_runners(tx, [each.id for each in found[:SHOWN]], HISTORY)
    if seen is not None:
        held = {key: [each for each in some if each.repository_id in seen] for key, some in held.items()}
    failed = events.last_of_kind(tx, EventKind.RUNNER_FAILED, now - DAY, EVENTS, FAILED)
    return _Read(found, held, failing.listed(tx, now), failed, labels.table(tx))


async def runners(request: Request) -> Response:
    """All runners."""
    viewer = await reader(request, inside=True)
    return await _page(request, viewer, None)


async def _page(request: Request, viewer: Identity | None, token: str | None) -> Response:
    words, forms = speak(request)
    site = site_of(request)
    read = await site.engine.db.read(_read, site.engine.clock.now(), site.engine.lease.seconds, sight_of(request))
    rows = [
        Row(each, tuple(read.held.get(each.id, ())), tuple(marks.of_attempts(read.held.get(each.id, ()), forms)))
        for each in read.found[:SHOWN]
    ]
    return render(
        request,
        "runners.html",
        viewer,
        title=words.plain("Runners"),
        live=("runners", "queue"),
        crumbs=(Crumb(words.plain("Runners"), "/runners"),),
        rows=rows,
        failing=read.failing,
        failed=() if read.failing else read.failed,
        meanings=_meanings(read.rules, read.found),
        more=max(0, len(read.found) - SHOWN),
        heading=_heading(read.found, words),
        token=token,
        address=address_of(request),
    )


def _heading(found: list[Runner], words: Words) -> Markup:
    online = [each for each in found if each.online]
    if not found:
        return words("No runner has said hello yet")
    slots, busy = sum(each.capacity for each in online), sum(each.running for each in online)
    if not online:
        return words.count(len(found), "The one runner is offline", "All {n} runners are offline")
    return words.count(
        len(online),
        "1 runner online, {busy} of {slots} places busy",
        "{n} runners online, {busy} of {slots} places busy",
        busy=busy,
        slots=slots,
    )


@dataclass(frozen=True, slots=True)
class View:
    """One runner with what it did."""

    runner: Runner
    held: tuple[Held, ...]
    older: int | None
    spans: tuple[tuple[datetime, datetime | None, AttemptState], ...]


def _one(
    tx: Tx, runner_id: int, before: int | None, now: datetime, lease_s: float, seen: frozenset[int] | None
) -> View:
    found = store.one(tx, runner_id, now, lease_s)
    held = views.last_of_runners(tx, [runner_id], PAGE, before).get(runner_id, [])
    older = held[-1].attempt_id if len(held) == PAGE else None
    if seen is not None:
        held = [each for each in held if each.repository_id in seen]
    return View(found, tuple(held), older, tuple(views.spans_of_runner(tx, runner_id, now - DAY, SPANS)))


async def runner(request: Request) -> Response:
    """One runner: what it is, how busy it was, its attempts."""
    viewer = await reader(request, inside=True)
    words, forms = speak(request)
    engine = site_of(request).engine
    runner_id = number(request, "runner")
    before = place(request, "before")
    view = await engine.db.read(_one, runner_id, before, engine.clock.now(), engine.lease.seconds, sight_of(request))
    row = Row(view.runner, view.held, tuple(marks.of_attempts(view.held, forms)))
    lost = sum(state in (AttemptState.LOST, AttemptState.BROKEN) for _, _, state in view.spans)
    return render(
        request,
        "runner.html",
        viewer,
        title=view.runner.name,
        live=("runners", "queue", f"runner:{runner_id}"),
        crumbs=(Crumb(words.plain("Runners"), "/runners"), Crumb(view.runner.name, f"/runners/{runner_id}")),
        row=row,
        heading=_one_heading(row, words),
        load=load([(start, end) for start, end, _ in view.spans], view.runner.capacity, engine.clock.now()),
        attempts=len(view.spans),
        lost=lost,
        older=f"/runners/{runner_id}?before={view.older}" if view.older else None,
        newest=f"/runners/{runner_id}" if before else None,
    )


def _one_heading(row: Row, words: Words) -> Markup:
    text = {
        "online": "{name} is online and runs {busy} of {places}",
        "draining": "{name} takes no new work and still runs {busy} of {places}",
        "offline": "{name} is offline",
    }[row.state]
    return words(text, name=row.runner.name, busy=row.runner.running, places=row.runner.capacity)


async def new_token(request: Request) -> Response:
    """Make a token and show it this once."""
    person, fields = await form_of(request, Role.ADMIN)
    name = fields.get("name", "").strip() or "runner"
    if len(name) > 100:
        raise BadInput("a token's name has at most 100 characters")
    token = await site_of(request).engine.new_runner_token(person.actor, name)
    return await _page(request, person, token)


async def act(request: Request) -> Response:
    """Drain, resume or remove a runner."""
    person, fields = await form_of(request, Role.ADMIN)
    engine = site_of(request).engine
    runner_id = number(request, "runner")
    match request.path_params["action"]:
        case "drain":
            await engine.drain_runner(person.actor, runner_id)
        case "resume":
            await engine.resume_runner(person.actor, runner_id)
        case "remove":
            await engine.remove_runner(person.actor, runner_id)
        case other:
            raise BadInput(f"a runner can be drained, resumed or removed, not {other[:40]!r}")
    gone = request.path_params["action"] == "remove"
    return RedirectResponse("/runners", 303) if gone else back_to(fields, "/runners")
