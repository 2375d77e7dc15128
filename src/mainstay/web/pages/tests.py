"""Tests of a repository, and one test with its history."""

from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mainstay.flow.flaky import WINDOW_DAYS
from mainstay.flow.quarantine import entry_for
from mainstay.model.errors import NotFound
from mainstay.model.plan import Quarantined
from mainstay.store import figures, repositories
from mainstay.store.database import Tx
from mainstay.store.figures import DayRow
from mainstay.store.views import commits as commit_views
from mainstay.store.views import tests as views
from mainstay.store.views import tests_on
from mainstay.store.views.tests import Asked, Outcome, Totals
from mainstay.web import culprits, quarantine, testing
from mainstay.web.access import reader
from mainstay.web.culprits import Told
from mainstay.web.options import site_of
from mainstay.web.pages import marks
from mainstay.web.pages.forms import Forms, branch
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.trend import Trend, trend
from mainstay.web.pages.words import Words
from mainstay.web.quarantine import Held
from mainstay.web.testing import Digest
from mainstay.web.tests_asked import asked_of, cursor_of

PAGE = 30
RECENT = 20
HISTORY = 100
LISTS = {
    "newest": "Newest failures",
    "failing": "Most failures",
    "flaky": "Flakiest",
    "slow": "Slowest",
    "unrun": "Longest not run",
    "quarantine": "Quarantine",
    "all": "All",
}
QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class _Listed:
    """A page of a list."""

    digests: list[Digest]
    held: list[Held]
    following: str | None
    totals: Totals
    branches: list[str]
    """Refs that can be chosen, last moved first."""
    failing: int
    """On the branch that was asked for, else on any."""
    on_branch: bool = False
    """Whether tests have ended on the branch that was asked for."""


def _listed(tx: Tx, name: str, asked: Asked | None) -> _Listed:
    """A page of a list; None: the quarantine."""
    repository = repositories.by_name(tx, name)
    repository_id = repository.id
    totals = views.totals(tx, repository_id)
    if asked is None:
        return _Listed([], quarantine.held(tx, repository), None, totals, [], totals.failing)
    on = tests_on.of_branch(tx, repository_id, asked.ref) if asked.ref is not None else None
    found, rest = views.page(tx, repository_id, asked, PAGE, on)
    within = on.attempts if on is not None else None
    histories = views.histories(tx, [line.id for line in found], RECENT, within)
    digests = [Digest(line, tuple(histories[line.id])) for line in found]
    failing = tests_on.count_failing(tx, on.tip) if on is not None else totals.failing
    branches = [each for each, _ in commit_views.branches(tx, repository_id)]
    return _Listed(digests, [], cursor_of(rest), totals, branches, failing, bool(on and on.tip))


async def tests(request: Request) -> Response:
    """The tests of a repository, in one of its lists."""
    viewer = await reader(request)
    words, forms = speak(request)
    name = request.path_params["name"]
    given = request.query_params
    kept = {key: given[key] for key in ("list", "branch", "state", "search") if given.get(key)}
    sort = kept.get("list", "newest")
    asked = None
    if sort != QUARANTINE:
        asked = asked_of(sort, kept.get("state"), kept.get("search"), given.get("after"), kept.get("branch"))
    path = path_of(name, "tests")
    found = await site_of(request).engine.db.read(_listed, name, asked)
    if not found.digests and not kept and found.totals.tests:  # nothing has ever failed: then all of them
        sort, asked = "all", Asked("all")
        found = await site_of(request).engine.db.read(_listed, name, asked)
    return render(
        request,
        "tests.html",
        viewer,
        title=f"{words.plain('Tests')} {name}",
        crumbs=(Crumb(name, path_of(name)), Crumb(words.plain("Tests"), path)),
        name=name,
        path=path,
        rows=[
            (each, marks.of_outcomes(each.history, forms), path_of(name, "tests", each.name)) for each in found.digests
        ],
        heading=_list_heading(found, name, asked, words),
        branches=found.branches,
        filtered=any(kept.get(key) for key in ("branch", "state", "search")),
        totals=found.totals,
        outcome_state=marks.state_of_outcome,
        sort=sort,
        asked=asked or Asked(),
        held=found.held,
        today=site_of(request).engine.clock.now().date(),
        lists=[(each, words(title), _address(path, kept, list=each)) for each, title in LISTS.items()],
        following=found.following and _address(path, {**kept, "list": sort}, after=found.following),
        window=WINDOW_DAYS,
    )


def _address(path: str, kept: dict[str, str], **more: str) -> str:
    return f"{path}?{urlencode({**kept, **more})}"


def _list_heading(found: _Listed, name: str, asked: Asked | None, words: Words) -> Markup:
    if not found.totals.tests:
        return words("{name} has no test results yet", name=name)
    if asked is not None and asked.ref is not None:
        values = {"name": name, "branch": branch(asked.ref)}
        if not found.on_branch:
            return words("No tests have ended on {branch} of {name}", **values)
        if not found.failing:
            return words("No test fails on {branch} of {name}", **values)
        one, many = "1 test fails on {branch} of {name}", "{n} tests fail on {branch} of {name}"
        return words.count(found.failing, one, many, **values)
    if found.failing:
        return words.count(found.failing, "1 test of {name} fails", "{n} tests of {name} fail", name=name)
    return words("No test of {name} fails", name=name)


@dataclass(frozen=True, slots=True)
class _One:
    digest: Digest
    failure: Outcome | None
    entry: Quarantined | None
    told: list[Told]
    days: list[DayRow]


def _one(tx: Tx, name: str, test: str) -> _One:
    repository = repositories.by_name(tx, name)
    found = views.by_name(tx, repository.id, test)
    if found is None:
        raise NotFound(f"{name} has no test {test[:200]!r}")
    history = tuple(views.history(tx, found.id, HISTORY, bare=True))
    entry = entry_for(quarantine.entries_of(tx, repository), found.name)
    return _One(
        Digest(found, history),
        views.last_failure(tx, found.id),
        entry,
        culprits.of_test(tx, repository.id, found.name),
        figures.days(tx, found.id),
    )


async def test(request: Request) -> Response:
    """One test: how it stands, its history, its last failure."""
    viewer = await reader(request)
    words, forms = speak(request)
    name = request.path_params["name"]
    one = await site_of(request).engine.db.read(_one, name, request.path_params["test"])
    found = one.digest
    run = testing.run(found.history)
    return render(
        request,
        "test.html",
        viewer,
        title=found.name,
        crumbs=(
            Crumb(name, path_of(name)),
            Crumb(words.plain("Tests"), path_of(name, "tests")),
            Crumb(found.name, path_of(name, "tests", found.name)),
        ),
        name=name,
        path=path_of(name),
        found=found,
        line=found.line,
        marks=marks.of_outcomes(found.history, forms),
        trend=_trend(one.days),
        last=one.failure,
        entry=one.entry,
        told=one.told,
        first_bad=run[-1] if run and found.state in testing.FAILURES else None,
        heading=_heading(found, words, forms),
        outcome_state=marks.state_of_outcome,
        window=WINDOW_DAYS,
    )


def _trend(days: list[DayRow]) -> Trend | None:
    """The mean duration of each day, oldest first; None: too few days to see anything."""
    points = [
        (day, each.seconds / each.runs, each.failures > 0) for day, each in testing.days_as_dates(days) if each.runs
    ]
    return trend(points[::-1]) if len(points) > 1 else None


def _heading(found: Digest, words: Words, forms: Forms) -> Markup:
    """Since when it is in its present state, as far as its history is looked at."""
    if found.state is None:
        return words("The test has no results yet")
    run = testing.run(found.history)
    when = forms.clock(run[-1].at if run else found.line.ran_at)
    if found.state in testing.FAILURES:
        return words("The test fails since {when}, in {n} builds", when=when, n=len(run))
    if found.line.flaky:
        return words("The test passes, but it is flaky")
    return words(
        "The test passes since {when}" if found.state == "passed" else "The test is skipped since {when}", when=when
    )
