"""The queue: what runs where, what comes next, what waits and why; whose share of the places it is; many at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mainstay.engine.access import Identity
from mainstay.engine.server import Engine
from mainstay.flow import permit
from mainstay.model.errors import BadInput, Conflict, NotAllowed, NotFound
from mainstay.model.person import Role
from mainstay.model.states import JobState
from mainstay.store import repositories, runners
from mainstay.store.database import Tx
from mainstay.store.views import queue as views
from mainstay.store.views.queue import OpenJob
from mainstay.web import listing
from mainstay.web.access import reader, sight_of
from mainstay.web.options import site_of
from mainstay.web.pages.acting import actor, chosen_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words

SHOWN = 200
"""Jobs of one state that are read; what they have in common is one row."""
ROWS = 60
"""Rows of one state that are shown."""
FEW = 3
"""Names of jobs in a row; more are counted."""
LOOKED_BACK = 60
"""Passed jobs of a repository that tell how long its jobs usually take,"""
ESTIMATED = 10
"""for so many repositories."""
AT_ONCE = 500
"""Builds that one form changes."""
PRIORITIES = {"first": 1000, "normal": 0, "last": -1000}


@dataclass(frozen=True, slots=True)
class Row:
    """Jobs of one build in one state that wait for the same, or one that runs."""

    jobs: tuple[OpenJob, ...]
    usual_s: float | None
    """How long the longest of them usually takes."""

    @property
    def first(self) -> OpenJob:
        """The one that stands for all."""
        return self.jobs[0]

    @property
    def more(self) -> int:
        """How many are not named."""
        return max(0, len(self.jobs) - FEW)

    @property
    def since(self) -> datetime:
        """Since when it is as it is."""
        return min(each.started_at or each.queued_at or each.since for each in self.jobs)


@dataclass(frozen=True, slots=True)
class Share:
    """What one repository has of the places."""

    name: str
    running: int
    queued: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of the queue is looked at."""

    repository: str | None
    branch: str | None

    @property
    def query(self) -> str:
        """As it stands in the address."""
        found = {"repo": self.repository or "", "branch": self.branch or ""}
        kept = {key: value for key, value in found.items() if value}
        return f"?{urlencode(kept)}" if kept else ""


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows."""

    rows: dict[JobState, list[Row]]
    counts: dict[JobState, int]
    shares: list[Share]
    places: int
    names: list[str]


def _view(tx: Tx, asked: Asked, seen: frozenset[int] | None, now: datetime, lease_s: float) -> View:
    there = {each.id: each.name for each in repositories.all_of(tx, seen)}
    chosen = _narrowed(there, asked, seen)
    ref = listing.ref_of(asked.branch) if asked.branch else None
    found = {state: views.open_jobs(tx, state, SHOWN, chosen, ref) for state in views.OPEN}
    wanted = list(dict.fromkeys(job.repository_id for state in views.OPEN for job in found[state]))[:ESTIMATED]
    usual = {key: views.usual_seconds(tx, key, LOOKED_BACK) for key in wanted}
    by_repository = views.counts_by_repository(tx)
    shares = [
        Share(there[key], *(counts.get(state, 0) for state in views.OPEN))
        for key, counts in by_repository.items()
        if key in there
    ]
    places = sum(each.capacity for each in runners.all_of(tx, now, lease_s) if each.online and not each.draining)
    return View(
        {state: _rows(found[state], usual) for state in views.OPEN},
        views.counts(tx, chosen, ref),
        sorted(shares, key=lambda each: (-each.running, -each.queued, each.name)),
        places,
        sorted(there.values()),
    )


def _narrowed(there: dict[int, str], asked: Asked, seen: frozenset[int] | None) -> frozenset[int] | None:
    if asked.repository is None:
        return seen
    found = frozenset(key for key, name in there.items() if name == asked.repository)
    if not found:
        raise NotFound(f"there is no repository named {asked.repository[:100]!r}")
    return found


def _rows(jobs: Sequence[OpenJob], usual: dict[int, dict[str, float]]) -> list[Row]:
    groups: dict[object, list[OpenJob]] = {}
    for job in jobs:
        alone = job.id if job.state is JobState.RUNNING else (job.build_id, job.reason, job.priority, job.labels)
        groups.setdefault(alone, []).append(job)
    return [Row(tuple(found), _longest(found, usual)) for found in groups.values()]


def _longest(jobs: Iterable[OpenJob], usual: dict[int, dict[str, float]]) -> float | None:
    found = (usual.get(job.repository_id, {}).get(job.name) for job in jobs)
    return max((each for each in found if each is not None), default=None)


async def queue(request: Request) -> Response:
    """What runs where, what comes next, what waits and why."""
    viewer = await reader(request)
    words, _ = speak(request)
    asked = Asked(request.query_params.get("repo") or None, request.query_params.get("branch") or None)
    engine = site_of(request).engine
    view = await engine.db.read(_view, asked, sight_of(request), engine.clock.now(), engine.lease.seconds)
    return render(
        request,
        "queue.html",
        viewer,
        title=words.plain("Queue"),
        live=("queue", "events"),
        crumbs=(Crumb(words.plain("Queue"), "/queue"),),
        view=view,
        found=[(state.value, view.rows[state], view.counts[state]) for state in views.OPEN],
        heading=_heading(view.counts, words),
        asked=asked,
        rows_shown=ROWS,
        few=FEW,
        may_choose=viewer is not None and _may_somewhere(viewer),
        done=_done(request, words),
        total=sum(view.counts.values()),
    )


def _may_somewhere(person: Identity) -> bool:
    highest = permit.highest(person.grants)
    return highest is not None and highest >= Role.DEVELOPER


def _heading(counts: dict[JobState, int], words: Words) -> Markup:
    if not any(counts.values()):
        return words("Nothing runs and nothing waits")
    return words(
        "{running} running, {queued} queued, {waiting} waiting",
        running=counts[JobState.RUNNING],
        queued=counts[JobState.QUEUED],
        waiting=counts[JobState.WAITING],
    )


def _done(request: Request, words: Words) -> Markup | None:
    """What the form that led here did, as its answer's address says it."""
    told = request.query_params.get("done", "")
    verb, _, number = told.partition(":")
    if not number.isascii() or not number.isdigit() or len(number) > 6:
        return None
    one = {"cancel": "1 build is cancelled.", "order": "1 build has a new place in the order."}
    many = {"cancel": "{n} builds are cancelled.", "order": "{n} builds have a new place in the order."}
    return words.count(int(number), one[verb], many[verb]) if verb in one else None


async def act(request: Request) -> Response:
    """Cancel builds, or let them go first or last: those that were chosen, or all that are looked at."""
    person = await actor(request)
    if not _may_somewhere(person):
        raise NotAllowed("this needs the role developer in the repository of each build")
    fields, chosen = await chosen_of(request, "build")
    verb = fields.get("do", "")
    if verb not in ("cancel", *PRIORITIES):
        raise BadInput("say what is to be done: cancel, first, normal or last")
    asked = Asked(fields.get("repo") or None, fields.get("branch") or None)
    engine = site_of(request).engine
    builds = await _builds(person, engine, asked, chosen, all_of=fields.get("of") == "all")
    done = 0
    for build_id in builds:
        try:
            if verb == "cancel":
                await engine.cancel_build(person.actor, build_id, None)
            else:
                await engine.prioritise_build(person.actor, build_id, PRIORITIES[verb])
            done += 1
        except (Conflict, NotFound):
            continue  # It ended, or was deleted, while the form was looked at.
    told = f"{'cancel' if verb == 'cancel' else 'order'}:{done}"
    return RedirectResponse(f"/queue{asked.query}{'&' if asked.query else '?'}done={told}", 303)


async def _builds(person: Identity, engine: Engine, asked: Asked, chosen: Sequence[str], *, all_of: bool) -> list[int]:
    """The builds that are meant. All of them must be ones that this person may command."""
    if all_of:
        found = await engine.db.read(_all_asked, asked, permit.sight(person.grants))
        return [key for key, repository in found if permit.may(person.grants, Role.DEVELOPER, repository)]
    if not chosen:
        raise BadInput("no build was chosen; tick those that are meant")
    if len(chosen) > AT_ONCE or not all(each.isascii() and each.isdigit() and len(each) < 16 for each in chosen):
        raise BadInput(f"at most {AT_ONCE} builds can be chosen at once, by their ids")
    ids = sorted({int(each) for each in chosen})
    where = await engine.db.read(views.repositories_of, ids)
    for build_id in ids:
        if permit.role_in(person.grants, where.get(build_id)) is None or build_id not in where:
            raise NotFound(f"there is no build {build_id}; it may have been deleted meanwhile")
        if not permit.may(person.grants, Role.DEVELOPER, where[build_id]):
            raise NotAllowed(f"build {build_id} is of a repository in which you lack the role developer")
    return ids


def _all_asked(tx: Tx, asked: Asked, seen: frozenset[int] | None) -> list[tuple[int, int]]:
    there = {each.id: each.name for each in repositories.all_of(tx, seen)}
    ref = listing.ref_of(asked.branch) if asked.branch else None
    return views.open_builds(tx, views.OPEN, _narrowed(there, asked, seen), ref, AT_ONCE)
