"""Running jobs of a build again: what needs them follows, in its order, by their new ends."""

from dataclasses import replace

import pytest

from mainstay.engine import people
from mainstay.model.person import Actor
from mainstay.model.plan import Concurrency, Matrix, PlannedJob, Step
from mainstay.store.database import Database
from tests.engine.road import Road, plan, road

pytestmark = pytest.mark.anyio

STEPS = (Step(run="true"),)
TEST = PlannedJob("test", steps=STEPS)
SHIP = PlannedJob("ship", needs=("test",), steps=STEPS)
TELL = PlannedJob("tell", needs=("ship",), steps=STEPS)
LINT = PlannedJob("lint", steps=STEPS)


async def run(here: Road, build: int, runner: int, ends: dict[str, str]) -> list[str]:
    """Run all that is queued, job by job; the names in their order."""
    names = []
    while "queued" in await here.states(build):
        given = await here.given(runner)
        here.clock.move(1)
        names.append(given.name)
        await here.finish(runner, given.attempt, ends.get(given.name, "passed"))
    return names


async def again(here: Road, build: int, failed_only: bool = False, name: str | None = None) -> tuple[str, ...]:
    here.clock.move(1)
    return await here.database.write(people.rerun_build, Actor("ada"), build, failed_only, name, here.clock.now())


async def states(here: Road, build: int) -> dict[str, tuple[str, int]]:
    """State and number of attempts of each job."""
    return {job.name: (str(job.state), len(job.attempts)) for job in await here.jobs(build)}


async def test_what_was_skipped_because_of_a_failed_job_follows_when_that_passes(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository(), plan(TEST, SHIP, TELL, LINT))
        await run(here, build, runner, {"test": "failed"})
        assert (await states(here, build))["tell"] == ("skipped", 0)
        assert await again(here, build, failed_only=True) == ("test", "ship", "tell")
        assert await run(here, build, runner, {}) == ["test", "ship", "tell"]
        expected = {"test": ("passed", 2), "ship": ("passed", 1), "tell": ("passed", 1), "lint": ("passed", 1)}
        assert await states(here, build) == expected


async def test_a_job_that_runs_again_waits_for_what_it_needs_and_is_skipped_with_it(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository(), plan(TEST, SHIP, TELL))
        await run(here, build, runner, {})
        await again(here, build)
        assert await here.states(build) == ["queued", "waiting", "waiting"]
        assert await run(here, build, runner, {"test": "failed"}) == ["test"]
        assert await states(here, build) == {"test": ("failed", 2), "ship": ("skipped", 1), "tell": ("skipped", 1)}
        await again(here, build)
        assert await run(here, build, runner, {}) == ["test", "ship", "tell"]
        assert await states(here, build) == {"test": ("passed", 3), "ship": ("passed", 2), "tell": ("passed", 2)}


async def test_one_job_of_a_matrix_runs_again_though_another_of_it_has_failed(database: Database) -> None:
    matrix = PlannedJob("test", matrix=Matrix({"n": [1, 2]}), steps=STEPS)
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository(), plan(matrix, SHIP))
        await run(here, build, runner, {"test (1)": "failed"})
        assert (await states(here, build))["test (2)"] == ("cancelled", 1)
        await again(here, build, name="test (2)")
        assert await run(here, build, runner, {}) == ["test (2)"]
        await again(here, build, name="test (1)")
        assert await run(here, build, runner, {}) == ["test (1)", "ship"]
        assert await states(here, build) == {
            "test (1)": ("passed", 2),
            "test (2)": ("passed", 2),
            "ship": ("passed", 1),
        }


async def test_a_matrix_that_needs_something_runs_again_leg_by_leg(database: Database) -> None:
    matrix = PlannedJob("legs", needs=("test",), matrix=Matrix({"n": [1, 2]}), steps=STEPS)
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository(), plan(TEST, matrix))
        await run(here, build, runner, {})
        await again(here, build)
        assert sorted(await run(here, build, runner, {})) == ["legs (1)", "legs (2)", "test"]
        assert await states(here, build) == {
            "test": ("passed", 2),
            "legs (1)": ("passed", 2),
            "legs (2)": ("passed", 2),
        }
        await again(here, build, name="legs (2)")
        assert await run(here, build, runner, {}) == ["legs (2)"]


async def test_what_ran_always_runs_again_after_the_job_it_needs(database: Database) -> None:
    report = PlannedJob("report", needs=("test",), condition="always()", steps=STEPS)
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository(), plan(TEST, report, LINT))
        assert await run(here, build, runner, {"test": "failed"}) == ["test", "report", "lint"]
        assert await again(here, build, failed_only=True) == ("test", "report")
        assert await run(here, build, runner, {}) == ["test", "report"]
        expected = {"test": ("passed", 2), "report": ("passed", 2), "lint": ("passed", 1)}
        assert await states(here, build) == expected


@pytest.mark.parametrize("in_order", [False, True])
async def test_a_build_that_runs_again_takes_its_turn_in_its_group(database: Database, in_order: bool) -> None:
    group = replace(plan(TEST, SHIP), concurrency=Concurrency("deploy", in_order=in_order))
    async with road(database) as here:
        runner, repository = await here.hello(), await here.repository()
        first = await here.build(repository, group)
        await run(here, first, runner, {})
        second = await here.build(repository, group)
        given = await here.given(runner)
        await again(here, first)
        assert await here.states(first) == ["waiting", "waiting"]
        here.clock.move(1)
        await here.finish(runner, given.attempt, "passed")
        assert await run(here, second, runner, {}) == ["ship"]
        assert await run(here, first, runner, {}) == ["test", "ship"]
        assert await states(here, first) == {"test": ("passed", 2), "ship": ("passed", 2)}


async def test_a_job_that_runs_again_takes_its_turn_in_its_group(database: Database) -> None:
    alone = PlannedJob("test", concurrency=Concurrency("one"), steps=STEPS)
    async with road(database) as here:
        runner, repository = await here.hello(), await here.repository()
        first = await here.build(repository, plan(alone))
        await run(here, first, runner, {})
        second = await here.build(repository, plan(alone))
        given = await here.given(runner)
        await again(here, first)
        assert await here.states(first) == ["waiting"]
        here.clock.move(1)
        await here.finish(runner, given.attempt, "passed")
        assert await here.states(second) == ["passed"]
        assert await run(here, first, runner, {}) == ["test"]
