"""Tests of a repository, and one test with its history."""

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mainstay.model.errors import BadInput, NotFound
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import tests as views
from mainstay.web import testing
from mainstay.web.access import reader
from mainstay.web.options import site_of
from mainstay.web.pages import marks
from mainstay.web.pages.forms import Forms
from mainstay.web.pages.marks import path_of
from mainstay.web.pages.rendering import Crumb, render, speak
from mainstay.web.pages.words import Words
from mainstay.web.testing import Digest

PAGE = 50
RECENT = 20
HISTORY = 100


def _listed(tx: Tx, name: str, after: int) -> tuple[list[Digest], int | None]:
    found = views.page(tx, repositories.by_name(tx, name).id, after, PAGE)
    digests = [testing.digest(test.name, views.history(tx, test.id, RECENT)) for test in found]
    return digests, found[-1].id if len(found) == PAGE else None


async def tests(request: Request) -> Response:
    """The tests of a repository; on each page the failing ones first."""
    viewer = await reader(request)
    words, forms = speak(request)
    name = request.path_params["name"]
    after = request.query_params.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise BadInput("the place to go on from is not one that this page has given out")
    found, rest = await site_of(request).engine.db.read(_listed, name, int(after))
    found.sort(key=lambda each: (each.state not in testing.FAILURES, not each.flaky, each.name))
    bad = sum(each.state in testing.FAILURES for each in found)
    return render(
        request,
        "tests.html",
        viewer,
        title=f"{words.plain('Tests')} {name}",
        crumbs=(Crumb(name, path_of(name)), Crumb(words.plain("Tests"), path_of(name, "tests"))),
        name=name,
        path=path_of(name, "tests"),
        rows=[(each, marks.of_outcomes(each.history, forms), path_of(name, "tests", each.name)) for each in found],
        heading=words.count(bad, "1 test of {name} fails", "{n} tests of {name} fail", name=name)
        if bad
        else words("No test of {name} fails", name=name)
        if found
        else words("{name} has no test results yet", name=name),
        following=rest,
    )


def _one(tx: Tx, name: str, test: str) -> Digest:
    found = views.by_name(tx, repositories.by_name(tx, name).id, test)
    if found is None:
        raise NotFound(f"{name} has no test {test[:200]!r}")
    return testing.digest(found.name, views.history(tx, found.id, HISTORY))


async def test(request: Request) -> Response:
    """One test: how it stands, its history, its last failure."""
    viewer = await reader(request)
    words, forms = speak(request)
    name = request.path_params["name"]
    found = await site_of(request).engine.db.read(_one, name, request.path_params["test"])
    failures = [each for each in found.history if each.outcome in testing.FAILURES]
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
        found=found,
        marks=marks.of_outcomes(found.history, forms),
        last=failures[0] if failures else None,
        heading=_heading(found, words, forms),
        outcomes=marks.OUTCOMES,
    )


def _heading(found: Digest, words: Words, forms: Forms) -> Markup:
    """Since when it is in its present state, as far as its history is looked at."""
    if found.state is None:
        return words("The test has no results yet")
    run = testing.run(found.history)
    when = forms.clock(run[-1].at)
    if found.state in testing.FAILURES:
        return words("The test fails since {when}, in {n} builds", when=when, n=len(run))
    if found.flaky:
        return words("The test passes, but it is flaky")
    return words(
        "The test passes since {when}" if found.state == "passed" else "The test is skipped since {when}", when=when
    )
