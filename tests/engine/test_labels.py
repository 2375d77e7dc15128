"""What `runs-on` means while builds run: a job keeps the labels that it was given when it became ready."""

import pytest

from mainstay.engine.labels import Labels
from mainstay.model.person import Actor
from mainstay.model.plan import PlannedJob, Step
from mainstay.store.database import Database
from mainstay.workflow.labels import Rule
from tests.engine.road import Road, plan, road
from tests.engine.test_rerun import again

pytestmark = pytest.mark.anyio

STEPS = (Step(run="true"),)
BIG = PlannedJob("big", labels=("big-box",), steps=STEPS)
AFTER = PlannedJob("after", labels=("big-box",), needs=("big",), steps=STEPS)


async def labels_of(here: Road, build: int) -> dict[str, tuple[str, ...]]:
    return {job.name: job.labels for job in await here.jobs(build)}


async def test_a_change_counts_for_jobs_that_become_ready_after_it(database: Database) -> None:
    async with road(database) as here:
        table = Labels(database, here.clock)
        await table.put(Actor("ada"), [Rule("big-*", ("Linux", "gpu"))])
        runner = await here.hello(labels=("linux", "GPU", "huge"))
        build = await here.build(await here.repository(), plan(BIG, AFTER))
        await table.put(Actor("ada"), [Rule("big-box", ("huge",))])
        assert (await labels_of(here, build))["big"] == ("gpu", "linux")
        given = await here.given(runner)
        here.clock.move(1)
        await here.finish(runner, given.attempt, "passed")
        assert await labels_of(here, build) == {"big": ("gpu", "linux"), "after": ("huge",)}
        await table.put(Actor("ada"), None)
        given = await here.given(runner)
        here.clock.move(1)
        await here.finish(runner, given.attempt, "passed")
        await again(here, build)
        assert (await labels_of(here, build))["big"] == ("gpu", "linux")
