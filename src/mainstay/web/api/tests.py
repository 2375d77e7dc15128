"""Tests of a repository: what their last results tell."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from mainstay.model.errors import NotFound
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import tests as views
from mainstay.web import testing
from mainstay.web.api import describe, shapes, shaping
from mainstay.web.api.asking import At, Cursor, Limit, answer, cursor_id, page
from mainstay.web.testing import Digest

router = APIRouter(tags=["tests"])
RECENT = 20
"""How many results of each test a list looks at."""


def listed(tx: Tx, name: str, after: int, limit: int) -> tuple[list[Digest], int | None]:
    """A page of tests with what their last results tell, and the id to go on after."""
    found = views.page(tx, repositories.by_name(tx, name).id, after, limit)
    digests = [testing.digest(test.name, views.history(tx, test.id, RECENT)) for test in found]
    return digests, found[-1].id if len(found) == limit else None


def one(tx: Tx, name: str, test: str, limit: int) -> Digest:
    """One test with its last results. Raises NotFound."""
    found = views.by_name(tx, repositories.by_name(tx, name).id, test)
    if found is None:
        raise NotFound(f"{name} has no test {test[:200]!r}; `mainstay tests {name}` lists those there are")
    return testing.digest(found.name, views.history(tx, found.id, limit))


@router.get("/repositories/{name}/tests", responses=describe.gives_page(shapes.TestShape, "Tests."))
async def list_tests(site: At, name: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The tests of a repository in the order they were first seen, judged by their last results."""
    found, rest = await site.engine.db.read(listed, name, cursor_id(cursor) or 0, limit)
    return page([_shape(each) for each in found], rest)


@router.get("/repositories/{name}/tests/{test:path}", responses=describe.gives(shapes.TestHistory, "The test."))
async def show_test(site: At, name: str, test: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """One test by its whole name, with its last results, newest first."""
    found = await site.engine.db.read(one, name, test, limit)
    shape = _shape(found)
    runs = [shaping.test_run(each) for each in found.history]
    return answer(
        shapes.TestHistory(shape.name, shape.state, shape.runs, shape.failures, shape.flakiness, shape.duration_s, runs)
    )


def _shape(found: Digest) -> shapes.TestShape:
    return shapes.TestShape(
        found.name, found.state, len(found.history), found.failures, found.flakiness, found.duration_s
    )
