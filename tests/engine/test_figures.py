"""Results of ended attempts are counted into figures: once each, in parts, whatever comes between."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from mainstay.engine.figures import count_some
from mainstay.store import figures, tests
from mainstay.store.database import Database, Tx
from mainstay.store.figures import FigureRow
from mainstay.store.schema import attempts, builds, test_counting, test_days, test_figures, test_results
from mainstay.store.views import tests as views
from mainstay.store.views.tests import Asked
from tests.web.filling import NOON, Filling, JobRow, TestRow, sha_of

pytestmark = pytest.mark.anyio


def row_of(tx: Tx, name: str) -> FigureRow:
    """The figures of a test of the only repository."""
    found = views.by_name(tx, 1, name)
    assert found is not None
    return figures.known(tx, [found.id])[found.id]


async def test_attempts_and_builds_on_one_tree_tell_flaky_tests(database: Database) -> None:
    def fill(tx: Tx) -> list[FigureRow]:
        filling = Filling(tx)
        repository = filling.repository("demo")
        outcomes = [("one", "failed"), ("one", "passed"), ("two", "passed"), ("three", "failed")]
        for number, (tree, outcome) in enumerate(outcomes):
            rows = [TestRow("a", outcome), TestRow("b")]
            at = NOON + timedelta(hours=number)
            filling.build(repository, sha_of(str(number)), [JobRow(tests=rows)], tree=tree * 8, at=at)
        return [row_of(tx, "a"), row_of(tx, "b")]

    a, b = await database.write(fill)
    assert (a.runs, a.failures, a.trees, a.flaky, a.score, a.state) == (4, 2, 3, 1, 0.3333, "failed")
    assert a.broke_at == NOON + timedelta(hours=3, seconds=11)
    assert (b.runs, b.failures, b.flaky, b.state, b.broke_at) == (4, 0, 0, "passed", None)


async def test_jobs_that_disagree_make_no_test_flaky_and_the_worst_of_them_counts(database: Database) -> None:
    def fill(tx: Tx) -> FigureRow:
        filling = Filling(tx)
        repository = filling.repository("demo")
        jobs = [JobRow("test (1)", tests=[TestRow("a", "failed")]), JobRow("test (2)", tests=[TestRow("a")])]
        filling.build(repository, sha_of("x"), jobs)
        return row_of(tx, "a")

    found = await database.write(fill)
    assert (found.state, found.flaky, found.runs, found.trees) == ("failed", 0, 2, 2)


async def test_counting_in_parts_with_reruns_at_the_seams_gives_the_same_as_at_once(database: Database) -> None:
    def count_anew(tx: Tx, limit: int) -> list[tuple[object, ...]]:
        tx.conn.execute(delete(test_figures))
        tx.conn.execute(delete(test_days))
        tx.conn.execute(insert(test_counting).from_select(("attempt_id", "position"), select(attempts.c.id, 0)))
        while count_some(tx, limit):
            pass
        return [tuple(row) for row in tx.conn.execute(select(test_figures).order_by(test_figures.c.test_id))]

    def fill(tx: Tx) -> None:
        filling = Filling(tx)
        repository = filling.repository("demo")
        filling.build(repository, sha_of("x"), [JobRow()])
        results = [
            tests.NewResult(f"t{number}", outcome, 0.25, rerun, None)
            for number in range(5)
            for rerun, outcome in enumerate(("failed", "failed", "passed")[number % 3 :])
        ]
        tests.put(tx, repository, 1, results)

    await database.write(fill)
    at_once = await database.write(count_anew, 500)
    assert len(at_once) == 5
    for limit in (3, 4, 7):
        assert await database.write(count_anew, limit) == at_once


async def test_lists_are_paged_by_their_figures_and_nothing_comes_twice(database: Database) -> None:
    def fill(tx: Tx) -> None:
        filling = Filling(tx)
        repository = filling.repository("demo")
        for number in range(3):
            rows = [TestRow(f"t{n}", "failed" if n % (number + 2) == 0 else "passed", 0.1 * (n % 3)) for n in range(11)]
            filling.build(repository, sha_of(str(number)), [JobRow(tests=rows)], tree="t" * 40)

    await database.write(fill)

    def pages(tx: Tx, sort: str) -> list[str]:
        found, asked = [], Asked(sort)
        while True:
            lines, rest = views.page(tx, 1, asked, 2)
            found += [line.name for line in lines]
            if rest is None:
                return found
            asked = Asked(sort, after=rest)

    for sort in views.SORTS:
        whole = await database.read(
            lambda tx, sort=sort: [line.name for line in views.page(tx, 1, Asked(sort), 100)[0]]
        )
        assert await database.read(pages, sort) == whole, sort
        assert len(set(whole)) == len(whole)
    slow, _ = await database.read(views.page, 1, Asked("slow"), 1)
    assert slow[0].duration_s == pytest.approx(0.2)
    found, _ = await database.read(views.page, 1, Asked(state="failed", search="T1"), 10)
    assert [line.name for line in found] == []
    assert (await database.read(views.totals, 1)).tests == 11


async def test_what_was_cut_from_a_repeated_report_is_gone(database: Database) -> None:
    def fill(tx: Tx) -> int:
        filling = Filling(tx)
        repository = filling.repository("demo")
        filling.build(repository, sha_of("x"), [JobRow("test", "running")])
        long = [tests.NewResult(f"t{number}", "passed", 0.1, 0, None) for number in range(5)]
        tests.put(tx, repository, 1, long)
        tests.put(tx, repository, 1, long[:2])
        return len(tx.conn.execute(select(test_results)).all())

    assert await database.write(fill) == 2


async def test_a_search_for_a_culprit_is_no_history(database: Database) -> None:
    def fill(tx: Tx) -> int:
        filling = Filling(tx)
        repository = filling.repository("demo")
        build = filling.build(repository, sha_of("x"), [JobRow("test", "running", tests=[TestRow("a", "failed")])])
        tx.conn.execute(update(builds).where(builds.c.id == build).values(event="bisect"))
        tx.conn.execute(update(attempts).values(finished_at=NOON, state="failed"))
        tests.to_be_counted(tx, 1)
        while count_some(tx):
            pass
        return len(tx.conn.execute(select(test_figures)).all())

    assert await database.write(fill) == 0
