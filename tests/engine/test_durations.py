"""All jobs of a build divide their tests by the same durations, whatever is measured between their questions."""

import json

import pytest
from sqlalchemy import update

from mainstay.engine.durations import Durations
from mainstay.engine.figures import count_some
from mainstay.model.errors import NotFound
from mainstay.model.plan import PlannedJob, Step
from mainstay.store import tests
from mainstay.store.database import Database, Tx
from mainstay.store.schema import attempts, test_figures
from tests.engine.road import START, plan, road

pytestmark = pytest.mark.anyio


async def test_durations_are_kept_for_a_build_when_its_first_job_asks(database: Database) -> None:
    def measured(tx: Tx, attempt: int, seconds: float) -> None:
        tests.put(tx, 1, attempt, [tests.NewResult("t::a", "passed", seconds, 0, None)])
        tx.conn.execute(update(attempts).where(attempts.c.id == attempt).values(finished_at=START, state="passed"))
        tests.to_be_counted(tx, attempt)
        while count_some(tx):
            pass

    async with road(database) as here:
        repository = await here.repository()
        runner = await here.hello()
        await here.build(repository)
        await database.write(measured, (await here.given(runner)).attempt, 2.5)
        steps = (Step(run="pytest"),)
        await here.build(repository, plan(PlannedJob("one", steps=steps), PlannedJob("two", steps=steps)))
        first = (await here.given(runner)).attempt
        second = (await here.given(runner, running=(first,))).attempt
        assert first != second
        durations = Durations(database)
        assert json.loads(await durations.of_attempt(runner, first)) == {"t::a": 2.5}
        await database.write(lambda tx: tx.conn.execute(update(test_figures).values(duration_s=9.0)).rowcount)
        assert json.loads(await durations.of_attempt(runner, second)) == {"t::a": 2.5}
        await here.build(repository)
        third = (await here.given(runner, running=(first, second))).attempt
        assert json.loads(await durations.of_attempt(runner, third)) == {"t::a": 9.0}
        other = await here.hello("r2", "two")
        with pytest.raises(NotFound):
            await durations.of_attempt(other, first)
