"""Tests of a repository: lists by their figures, and one test with its history."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mainstay.flow.flaky import WINDOW_DAYS
from mainstay.model.breakage import Break
from mainstay.model.errors import NotFound
from mainstay.model.repository import Commit
from mainstay.store import breaks, durations, figures, repositories
from mainstay.store.database import Tx
from mainstay.store.figures import DayRow
from mainstay.store.views import tests as views
from mainstay.store.views.tests import Asked, Outcome, TestLine
from mainstay.web import quarantine, testing
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import At, Cursor, Limit, answer, cursor_id, page
from mainstay.web.testing import Digest
from mainstay.web.tests_asked import asked_of, cursor_of

router = APIRouter(tags=["tests"])
Sorted = Annotated[
    str,
    Query(
        alias="list",
        max_length=20,
        description="`all` in the order they were first seen, `newest` failures first, `flaky`, `failing` (most"
        " failures), `slow`, or `unrun` (not run for the longest time).",
    ),
]
State = Annotated[str | None, Query(max_length=20, description="`failed`, `passed`, `skipped` or `flaky`.")]
Search = Annotated[str | None, Query(max_length=200, description="A part of the name, whatever its case.")]

Branch = Annotated[
    str | None,
    Query(
        max_length=4096,
        description="Only tests that the last builds of this branch ran; `state` is then how they stand there. The"
        " figures are of all branches.",
    ),
]


def listed(tx: Tx, name: str, asked: Asked, limit: int) -> tuple[list[TestLine], str | None]:
    """A page of tests, and the cursor to go on with."""
    found, rest = views.page(tx, repositories.by_name(tx, name).id, asked, limit)
    return found, cursor_of(rest)


def one(tx: Tx, name: str, test: str, limit: int) -> tuple[Digest, Outcome | None, list[DayRow]]:
    """One test with its last results, its last failure and its days. Raises NotFound."""
    found = views.by_name(tx, repositories.by_name(tx, name).id, test)
    if found is None:
        raise NotFound(f"{name} has no test {test[:200]!r}; `mainstay tests {name}` lists those there are")
    history = tuple(views.history(tx, found.id, limit))
    return Digest(found, history), views.last_failure(tx, found.id), figures.days(tx, found.id)


@router.get("/repositories/{name}/tests", responses=describe.gives_page(shapes.TestShape, "Tests."))
async def list_tests(
    site: At,
    name: str,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sorted = "all",
    state: State = None,
    search: Search = None,
    branch: Branch = None,
) -> Response:
    """The tests of a repository with their figures over the last 30 days that they ran in."""
    asked = asked_of(sort, state, search, cursor, branch)
    found, rest = await site.engine.db.read(listed, name, asked, limit)
    return page([shaping.test_line(each) for each in found], rest)


@router.get("/repositories/{name}/durations", responses=describe.gives(shapes.DurationsShape, "Durations."))
async def show_durations(site: At, name: str) -> Response:
    """How long each test takes, for dividing a suite by time. Jobs need not ask: they are given them."""
    found = await site.engine.db.read(lambda tx: durations.of_repository(tx, repositories.by_name(tx, name).id))
    return answer(shapes.DurationsShape(found))


def _breaks(tx: Tx, name: str, before: int | None, limit: int) -> tuple[list[Break], dict[str, Commit]]:
    repository_id = repositories.by_name(tx, name).id
    found = breaks.page(tx, repository_id, before, limit)
    return found, repositories.known_commits(tx, repository_id, [each.culprit for each in found if each.culprit])


@router.get("/repositories/{name}/culprits", responses=describe.gives_page(shapes.BreakShape, "Breaks."))
async def list_culprits(site: At, name: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The jobs that went red on branches, newest first, and the commit that did it as far as it is known."""
    found, known = await site.engine.db.read(_breaks, name, cursor_id(cursor), limit)
    rest = found[-1].id if len(found) == limit else None
    return page([shaping.breakage(each, name, known.get(each.culprit or "")) for each in found], rest)


@router.get("/repositories/{name}/quarantine", responses=describe.gives_page(shapes.QuarantinedShape, "Entries."))
async def list_quarantine(site: At, name: str) -> Response:
    """The tests in quarantine, as the newest build of the default branch has them."""
    found = await site.engine.db.read(lambda tx: quarantine.held(tx, repositories.by_name(tx, name)))
    today = site.engine.clock.now().date()
    return page([shaping.quarantined(each, today) for each in found], None)


@router.get("/repositories/{name}/tests/{test:path}", responses=describe.gives(shapes.TestHistory, "The test."))
async def show_test(site: At, name: str, test: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """One test by its whole name: its figures, its days, its last failure, and its last results, newest first."""
    found, failure, days = await site.engine.db.read(one, name, test, limit)
    run = testing.run(found.history)
    broken = bool(run) and found.state in testing.FAILURES
    return answer(
        shapes.TestHistory(
            **shaping.fields_of(shaping.test_line(found.line)),
            window_days=WINDOW_DAYS,
            failing_since=shaping.moment(run[-1].at) if broken else None,
            first_bad_commit=run[-1].commit if broken else None,
            last_failure=None if failure is None else shaping.test_run(failure),
            days=[shaping.test_day(day, each) for day, each in testing.days_as_dates(days)],
            history=[shaping.test_run(each) for each in found.history],
        )
    )
