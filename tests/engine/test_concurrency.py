"""Concurrency groups: however a job leaves its group or a build is cancelled for another, nobody waits for ever."""

import asyncio
from dataclasses import replace

import pytest

from mainstay.engine import people
from mainstay.model.events import EventKind
from mainstay.model.person import Actor
from mainstay.model.plan import Concurrency, Plan, PlannedJob, Step
from mainstay.store import events
from mainstay.store.database import Database, Tx
from tests.engine.road import Road, plan, road

pytestmark = pytest.mark.anyio

STEPS = (Step(run="true"),)
ALONE = PlannedJob("ship", concurrency=Concurrency("one"), steps=STEPS)
AFTER = PlannedJob("after", needs=("ship",), steps=STEPS)


async def cancel(here: Road, build: int) -> None:
    await here.database.write(people.cancel_build, Actor("ada"), build, None, here.clock.now())


async def ends(here: Road, build: int) -> int:
    """How often the end of a build was told."""

    def count(tx: Tx) -> int:
        return sum(each.kind == EventKind.BUILD_ENDED for each in events.of_build(tx, build))

    return await here.database.read(count)


async def test_a_job_that_is_cancelled_before_it_ran_lets_the_next_of_its_group_go(database: Database) -> None:
    async with road(database) as here:
        repository = await here.repository()
        first, second = await here.build(repository, plan(ALONE)), await here.build(repository, plan(ALONE))
        assert await here.states(second) == ["waiting"]
        await cancel(here, first)
        assert await here.states(first) == ["cancelled"]
        assert await here.states(second) == ["queued"]


async def test_a_job_that_gives_way_to_a_newer_one_takes_its_build_to_its_end(database: Database) -> None:
    async with road(database) as here:
        runner, repository = await here.hello(), await here.repository()
        first = await here.build(repository, plan(ALONE))
        given = await here.given(runner)
        second = await here.build(repository, plan(ALONE, AFTER))
        third = await here.build(repository, plan(ALONE))
        assert await here.states(second) == ["cancelled", "skipped"]
        assert await ends(here, second) == 1
        assert await here.states(third) == ["waiting"]
        await here.finish(runner, given.attempt, "passed")
        assert await here.states(first) == ["passed"]
        assert await here.states(third) == ["queued"]


@pytest.mark.parametrize("running", [False, True])
async def test_the_end_of_a_build_that_gives_way_is_told_once(database: Database, running: bool) -> None:
    def group(wanted: Plan) -> Plan:
        return replace(wanted, concurrency=Concurrency("deploy", cancel_in_progress="true"))

    async with road(database) as here:
        runner, repository = await here.hello(), await here.repository()
        first = await here.build(repository, group(plan()))
        given = await here.given(runner) if running else None
        second = await here.build(repository, group(plan()))
        if given is not None:
            assert (await ends(here, first), await here.states(second)) == (0, ["waiting"])
            await here.finish(runner, given.attempt, "cancelled")
        assert await here.states(first) == ["cancelled"]
        assert await ends(here, first) == 1
        assert await here.states(second) == ["queued"]


async def test_who_comes_into_a_group_while_another_leaves_it_is_let_go(database: Database) -> None:
    """On PostgreSQL both look at the group at the same time."""
    async with road(database) as here:
        runner, repository = await here.hello(), await here.repository()
        for _ in range(8):
            await here.build(repository, plan(ALONE))
            given = await here.given(runner)
            _, next_one = await asyncio.gather(
                here.finish(runner, given.attempt, "passed"), here.build(repository, plan(ALONE))
            )
            assert await here.states(next_one) == ["queued"]
            await cancel(here, next_one)
