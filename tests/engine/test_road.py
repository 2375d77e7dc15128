"""From a stored build to a verdict, on both databases: claims, leases, lost runners, needs, cancels, re-runs."""

import asyncio

import pytest

from mainstay.engine import enrol, fit, people, results
from mainstay.engine.lease import LEASE_S, Lease
from mainstay.model.errors import Conflict, Gone, NotFound
from mainstay.model.person import Actor
from mainstay.model.plan import PlannedJob, Service, Step
from mainstay.store import runners
from mainstay.store.database import Database
from mainstay.wire.runner import Poll, Progress
from tests.engine.road import Road, plan, road

pytestmark = pytest.mark.anyio


async def test_a_waiting_runner_is_given_a_new_job_and_its_end_is_the_verdict(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        waiting = asyncio.create_task(here.given(runner))
        await asyncio.sleep(0)
        build = await here.build(await here.repository())
        assignment = await waiting
        assert (assignment.build, assignment.source.repository) == (build, "demo")
        assert (await here.finish(runner, assignment.attempt, "passed", exit_code=0)).accepted
        [job] = await here.jobs(build)
        assert (job.state, job.attempts[0].state, job.attempts[0].exit_code) == ("passed", "passed", 0)


async def test_an_end_that_is_delivered_twice_is_stored_once(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository())
        attempt = (await here.given(runner)).attempt
        for _ in range(2):
            stored = await here.finish(runner, attempt, "failed", log_tail=b"no", log_bytes=2)
            assert stored.accepted
        [job] = await here.jobs(build)
        assert (job.state, len(job.attempts), job.attempts[0].log_bytes) == ("failed", 1, 2)


async def test_the_end_of_a_log_that_is_missing_a_part_is_refused_with_the_place_to_go_on(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        await here.build(await here.repository())
        attempt = (await here.given(runner)).attempt
        with pytest.raises(Conflict) as refused:
            await here.finish(runner, attempt, "passed", log_offset=10, log_tail=b"x", log_bytes=11)
        assert refused.value.details == {"stored": 0}


async def test_an_assignment_whose_answer_got_lost_is_given_again(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        await here.build(await here.repository())
        first = await here.given(runner)
        again = await here.given(runner)
        assert again.attempt == first.attempt
        assert again.source.token != first.source.token
        nothing = await here.poll(runner, running=(first.attempt,), wait_s=0)
        assert nothing.assign == ()


async def test_a_runner_started_anew_without_its_attempt_gives_the_job_to_the_next_at_once(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository())
        lost = (await here.given(runner)).attempt
        assert await here.hello(boot="two") == runner
        [job] = await here.jobs(build)
        assert [each.state for each in job.attempts] == ["lost", "queued"]
        assert "retry after lost" in job.attempts[1].cause
        with pytest.raises(Gone):
            await here.poll(runner, boot="one", wait_s=0)
        second = (await here.given(runner, boot="two")).attempt
        assert second != lost


async def test_a_runner_that_says_hello_again_is_still_given_what_was_on_its_way(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository())
        first = (await here.given(runner)).attempt
        await here.hello(labels=("linux", "container"))  # while the answer to its poll is on its way
        assert (await here.given(runner)).attempt == first
        [job] = await here.jobs(build)
        assert [each.state for each in job.attempts] == ["running"]


async def test_a_lost_attempt_that_comes_back_is_taken_and_the_other_called_off(database: Database) -> None:
    async with road(database) as here:
        runner, other = await here.hello(), await here.hello("r2")
        build = await here.build(await here.repository())
        first = (await here.given(runner)).attempt
        here.clock.move(LEASE_S + 1)
        await database.write(enrol.give_up_expired, here.clock.now(), Lease())
        second = (await here.given(other)).attempt
        assert (await here.finish(runner, first, "passed")).accepted
        [job] = await here.jobs(build)
        assert (job.state, job.attempts[0].state) == ("passed", "passed")
        orders = await here.poll(other, running=(second,), wait_s=0)
        assert [cancel.attempt for cancel in orders.cancel] == [second]
        await here.finish(other, second, "failed")
        assert await here.states(build) == ["passed"]


async def test_a_job_is_tried_three_times_before_losing_runners_is_its_verdict(database: Database) -> None:
    async with road(database) as here:
        build = await here.build(await here.repository())
        for boot in ("one", "two", "three"):
            runner = await here.hello(boot=boot)
            attempt = (await here.given(runner, boot=boot)).attempt
            begun = Progress(sequence=1, started_at=here.clock.now())
            await database.write(results.progress, runner, attempt, begun)
        await here.hello(boot="four")
        [job] = await here.jobs(build)
        assert (job.state, len(job.attempts)) == ("failed", 3)
        assert "lost 3 times" in (job.reason or "")


async def test_a_failed_test_is_never_tried_again_by_itself(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository())
        await here.finish(runner, (await here.given(runner)).attempt, "failed", exit_code=1)
        [job] = await here.jobs(build)
        assert (job.state, len(job.attempts)) == ("failed", 1)


async def test_leases_are_renewed_by_polling(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository())
        attempt = (await here.given(runner)).attempt
        for _ in range(5):
            here.clock.move(LEASE_S * 0.8)
            await here.poll(runner, running=(attempt,), wait_s=0)
            await database.write(enrol.give_up_expired, here.clock.now(), Lease())
        assert await here.states(build) == ["running"]


async def test_a_job_starts_the_moment_its_own_needs_have_passed_and_is_skipped_when_they_failed(
    database: Database,
) -> None:
    steps = (Step(run="true"),)
    wanted = plan(
        PlannedJob("a", steps=steps),
        PlannedJob("b", steps=steps),
        PlannedJob("after-a", steps=steps, needs=("a",)),
        PlannedJob("after-b", steps=steps, needs=("b",)),
    )
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository(), wanted)
        given = {each.plan.key: each.attempt for each in (await here.poll(runner, free=2)).assign}
        await here.finish(runner, given["a"], "passed")
        after_a = await here.given(runner, running=(given["b"],))
        assert after_a.plan.key == "after-a"
        await here.finish(runner, given["b"], "failed")
        await here.finish(runner, after_a.attempt, "passed")
        assert await here.states(build) == ["passed", "failed", "passed", "skipped"]


async def test_cancelling_ends_queued_jobs_now_and_running_ones_through_their_runner(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        wanted = plan(PlannedJob("a", steps=(Step(run="true"),)), PlannedJob("b", steps=(Step(run="true"),)))
        build = await here.build(await here.repository(), wanted)
        attempt = (await here.given(runner)).attempt
        waiting = asyncio.create_task(here.poll(runner, free=0, running=(attempt,)))
        await asyncio.sleep(0.05)
        await database.write(people.cancel_build, Actor("ada"), build, "enough", here.clock.now())
        orders = await waiting
        assert [(cancel.attempt, cancel.reason) for cancel in orders.cancel] == [(attempt, "cancelled by ada: enough")]
        assert sorted(await here.states(build)) == ["cancelled", "running"]
        await here.finish(runner, attempt, "cancelled")
        assert await here.states(build) == ["cancelled", "cancelled"]
        with pytest.raises(Conflict):
            await database.write(people.cancel_build, Actor("ada"), build, None, here.clock.now())


async def test_one_job_can_be_cancelled_and_what_needs_it_is_not_run(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        steps = (Step(run="true"),)
        wanted = plan(
            PlannedJob("a", steps=steps), PlannedJob("b", steps=steps), PlannedJob("c", needs=("a",), steps=steps)
        )
        build = await here.build(await here.repository(), wanted)
        await database.write(people.cancel_build, Actor("ada"), build, None, here.clock.now(), "a")
        assert await here.states(build) == ["cancelled", "queued", "skipped"]
        with pytest.raises(Conflict, match="the job a has ended"):
            await database.write(people.cancel_build, Actor("ada"), build, None, here.clock.now(), "a")
        await here.finish(runner, (await here.given(runner)).attempt, "passed")
        assert await here.states(build) == ["cancelled", "passed", "skipped"]


async def test_a_rerun_adds_an_attempt_and_overwrites_nothing(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository())
        await here.finish(runner, (await here.given(runner)).attempt, "failed")
        await database.write(people.rerun_build, Actor("ada"), build, True, None, here.clock.now())
        await here.finish(runner, (await here.given(runner)).attempt, "passed")
        [job] = await here.jobs(build)
        assert [each.state for each in job.attempts] == ["failed", "passed"]
        assert job.state == "passed"


async def test_nobody_speaks_for_another_runners_attempt(database: Database) -> None:
    async with road(database) as here:
        runner, other = await here.hello(), await here.hello("r2")
        await here.build(await here.repository())
        attempt = (await here.given(runner)).attempt
        with pytest.raises(NotFound):
            await here.finish(other, attempt, "passed")


async def test_two_servers_on_one_database_give_every_job_once(database: Database) -> None:
    async with road(database) as here, road(database) as there:
        repository = await here.repository()
        runners = [await here.hello(f"r{n}") for n in range(6)]
        for _ in range(24):
            await here.build(repository)
        polls = [(here if n % 2 else there).poll(runner, free=4) for n, runner in enumerate(runners)]
        given = [each.attempt for orders in await asyncio.gather(*polls) for each in orders.assign]
        assert len(given) == len(set(given)) == 24


async def test_a_job_with_containers_waits_for_a_runner_that_has_an_engine(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        with_engine = PlannedJob("test", steps=(Step(run="true"),), services={"db": Service("postgres:18")})
        build = await here.build(await here.repository(), plan(with_engine))
        assert not (await here.poll(runner, wait_s=0.0)).assign
        await here.database.write(fit.refit, here.clock.now(), Lease())
        [job] = await here.jobs(build)
        assert (job.state, job.reason) == ("waiting", "no connected runner has the label container")
        able = await here.hello("r2", labels=("linux", "container"))
        await here.database.write(fit.refit, here.clock.now(), Lease())
        assert (await here.given(able)).plan.services


async def test_a_runner_that_says_goodbye_is_offline_at_once(database: Database) -> None:
    async def online(here: Road) -> list[bool]:
        return [each.online for each in await database.read(runners.all_of, here.clock.now(), LEASE_S)]

    async with road(database) as here:
        runner = await here.hello()
        assert await online(here) == [True]
        await here.dispatch.poll(runner, Poll("one", 0, (), 0.0, draining=True, leaving=True))
        assert await online(here) == [False]
        await here.poll(runner, free=0, wait_s=0.0)  # an older poll that comes behind
        assert await online(here) == [False]
        await here.hello()
        assert await online(here) == [True]
