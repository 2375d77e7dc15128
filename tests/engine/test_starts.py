"""Builds that no push brings: by schedule and by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.engine.server import Config, Engine
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.person import Actor
from mainstay.store import schedules
from mainstay.store.database import Tx
from mainstay.store.schema import builds
from tests.engine.road import Clock
from tests.engine.test_intake import Project

pytestmark = pytest.mark.anyio

WORKFLOW = """on:
  schedule:
    - cron: "30 5 * * *"
  workflow_dispatch:
    inputs:
      level: {type: choice, options: [low, high], default: low}
      dry: {type: boolean}
jobs:
  night:
    runs-on: linux
    steps:
      - run: echo ${{ inputs.level }}
"""


@asynccontextmanager
async def engine(folder: Path, clock: Clock) -> AsyncIterator[tuple[Engine, Project]]:
    project = Project(folder)
    (project.clone / ".mainstay").mkdir()
    (project.clone / ".mainstay" / "night.yml").write_text(WORKFLOW)
    project.commit("root")
    project.push()
    opened = await Engine.open(Config(folder / "data", clock=clock))
    try:
        await opened.start()
        await asyncio.sleep(0)
        repository = await opened.add_repository(Actor("ada"), "demo", str(project.bare))
        with opened.wake.watch("schedules") as told:
            while not await opened.db.read(schedules.of_repository, repository.id):
                await told.wait(5)
        yield opened, project
    finally:
        await opened.close()


def _events(tx: Tx) -> list[tuple[str, dict[str, object]]]:
    return [(row.event, row.payload) for row in tx.conn.execute(builds.select().order_by(builds.c.id))]


async def test_a_schedule_runs_once_when_it_is_due_and_once_after_an_absence(tmp_path: Path) -> None:
    clock = Clock()
    async with engine(tmp_path, clock) as (server, _):
        [known] = await server.db.read(schedules.of_repository, 1)
        assert known.next_at == datetime(2026, 1, 1, 5, 30, tzinfo=UTC)
        assert await server.db.read(_events) == []
        clock.time = known.next_at + timedelta(days=3, minutes=1)
        with server.wake.watch("events") as told:
            await server.db.write(lambda tx: tx.wake("schedules"))
            while not await server.db.read(_events):
                await told.wait(5)
        assert await server.db.read(_events) == [("schedule", {"schedule": "30 5 * * *"})]
        [known] = await server.db.read(schedules.of_repository, 1)
        assert known.next_at == datetime(2026, 1, 5, 5, 30, tzinfo=UTC)
        assert known.last_at == clock.time
        assert (known.build_id, known.told, known.missed) == (1, None, 3)


async def test_a_start_that_a_killed_server_had_begun_is_made_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def killed(*_: object) -> None:
        raise Killed

    clock = Clock()
    async with engine(tmp_path, clock) as (server, _):
        await server.loops.end("schedules")
        [known] = await server.db.read(schedules.of_repository, 1)
        assert known.next_at is not None
        clock.time = known.next_at
        monkeypatch.setattr(server.starts._planner, "planned", killed)
        with pytest.raises(Killed):
            await server.starts.schedule_loop()
    opened = await Engine.open(Config(tmp_path / "data", clock=clock))
    try:
        await opened.start()
        with opened.wake.watch("events") as told:
            while not await opened.db.read(_events):
                await told.wait(5)
        [known] = await opened.db.read(schedules.of_repository, 1)
        assert (known.build_id, known.last_at, known.missed) == (1, clock.time, 0)
    finally:
        await opened.close()


async def test_schedules_that_a_killed_server_had_not_learned_are_learned_by_the_next(tmp_path: Path) -> None:
    async with engine(tmp_path, Clock()) as (server, _):
        await server.db.write(schedules.replace, 1, {})
    opened = await Engine.open(Config(tmp_path / "data", clock=Clock()))
    try:
        await opened.start()
        with opened.wake.watch("schedules") as told:
            while not await opened.db.read(schedules.of_repository, 1):
                await told.wait(5)
    finally:
        await opened.close()


async def test_a_schedule_is_started_out_of_turn_and_tells_why_it_made_nothing(tmp_path: Path) -> None:
    async with engine(tmp_path, Clock()) as (server, _):
        [known] = await server.db.read(schedules.of_repository, 1)
        build = await server.start_schedule(Actor("ada"), "demo", known.source, known.cron)
        assert await server.db.read(_events) == [("schedule", {"schedule": "30 5 * * *"})]
        [after] = await server.db.read(schedules.of_repository, 1)
        assert (after.build_id, after.next_at) == (build, known.next_at)
        await server.db.write(schedules.replace, 1, {(".mainstay/gone.yml", "0 1 * * *"): None})
        with pytest.raises(BadInput, match="no longer there"):
            await server.start_schedule(Actor("ada"), "demo", ".mainstay/gone.yml", "0 1 * * *")
        [after] = await server.db.read(schedules.of_repository, 1)
        assert "no longer there" in (after.told or "")
        with pytest.raises(NotFound):
            await server.start_schedule(Actor("ada"), "demo", known.source, known.cron)


async def test_a_schedule_that_leaves_the_workflow_file_is_gone(tmp_path: Path) -> None:
    async with engine(tmp_path, Clock()) as (server, project):
        (project.clone / ".mainstay" / "night.yml").write_text(WORKFLOW.replace('"30 5 * * *"', '"0 6 * * *"'))
        project.commit("later")
        project.push()
        await server.look("demo")
        assert [each.cron for each in await server.db.read(schedules.of_repository, 1)] == ["0 6 * * *"]


async def test_a_workflow_is_started_by_hand_with_typed_inputs(tmp_path: Path) -> None:
    async with engine(tmp_path, Clock()) as (server, _):
        [build] = await server.start_workflow(Actor("ada"), "demo", ".mainstay/night.yml", "main", {"dry": "true"})
        [(event, payload)] = await server.db.read(_events)
        assert (build, event, payload["inputs"]) == (1, "workflow_dispatch", {"level": "low", "dry": True})
        with pytest.raises(BadInput, match="level"):
            await server.start_workflow(Actor("ada"), "demo", ".mainstay/night.yml", None, {"level": "loud"})
        # The clock stands still: two starts within one millisecond are two builds.
        [other] = await server.start_workflow(Actor("bob"), "demo", ".mainstay/night.yml", "main", {"dry": "true"})
        assert other == 2
        with pytest.raises(BadInput, match="no workflow at refs/heads/main that starts by hand is called"):
            await server.start_workflow(Actor("ada"), "demo", "other.yml")
        with pytest.raises(NotFound):
            await server.start_workflow(Actor("ada"), "demo", ".mainstay/night.yml", "nowhere")
