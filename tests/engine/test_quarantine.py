"""Tests in quarantine on the road: the job is allowed to fail by them alone, and an expired entry fails the build."""

from datetime import date, timedelta

import pytest

from mainstay.engine import results
from mainstay.model.job import StepResult
from mainstay.model.plan import Plan, PlannedJob, Quarantined, Step
from mainstay.model.states import StepState
from mainstay.runner.zstd import compress
from mainstay.store.database import Database
from tests.engine.road import START, Road, plan, road

pytestmark = pytest.mark.anyio

FAILED = (StepResult(1, "Run pytest", StepState.FAILED, 1),)


def quarantined(until: date) -> Plan:
    base = plan(PlannedJob("test", steps=(Step(run="pytest"),)))
    entry = Quarantined("t::known", "races", until.isoformat(), "ada", ".mainstay/quarantine.yml", 2)
    return Plan(base.workflow, base.source, base.jobs, quarantine=(entry,))


async def outcome_of(here: Road, *names: str, complete: bool = True) -> tuple[str, str | None]:
    """The state and reason of a job whose tests of these names failed."""
    repository = await here.repository()
    build = await here.build(repository, quarantined(START.date()))
    runner = await here.hello()
    given = await here.given(runner)
    lines = [f'{{"id": "{name}", "outcome": "failed"}}' for name in names]
    body = compress("\n".join(lines).encode(), 1)
    await results.take_tests(here.database, runner, given.attempt, body, "zstd")
    counts = {"failed": len(names)}
    await here.finish(runner, given.attempt, "failed", steps=FAILED, tests=counts, tests_complete=complete)
    [job] = await here.jobs(build)
    return str(job.state), job.reason


async def test_a_job_that_failed_by_tests_in_quarantine_alone_is_allowed(database: Database) -> None:
    async with road(database) as here:
        assert await outcome_of(here, "t::known") == ("allowed", "the only failed test is in quarantine: t::known")


@pytest.mark.parametrize(("names", "complete"), [(("t::known", "t::other"), True), (("t::known",), False), ((), True)])
async def test_any_other_failure_fails_the_job(database: Database, names: tuple[str, ...], complete: bool) -> None:
    async with road(database) as here:
        assert (await outcome_of(here, *names, complete=complete))[0] == "failed"


async def test_an_entry_that_has_expired_fails_the_build_whose_jobs_run_all_the_same(database: Database) -> None:
    async with road(database) as here:
        build = await here.build(await here.repository(), quarantined(START.date() - timedelta(days=1)))
        runner = await here.hello()
        await here.finish(runner, (await here.given(runner)).attempt, "passed")
        test, expired = await here.jobs(build)
        assert (test.state, expired.state, expired.name) == ("passed", "failed", "quarantine")
        assert expired.reason is not None
        assert "t::known expired on 2025-12-31 (owner: ada); its reason was: races" in expired.reason
