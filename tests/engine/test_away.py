"""A server that was away: stopped, without its database, or too late to hear that something was revoked."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from mainstay.engine import fleet as fleet_room
from mainstay.engine import upkeep as upkeep_room
from mainstay.engine.access import Access
from mainstay.engine.fleet import Fleet, Local
from mainstay.engine.lease import Lease
from mainstay.engine.server import Config, Engine
from mainstay.engine.upkeep import Upkeep
from mainstay.engine.wake import Wake
from mainstay.flow.fleet import Bounds
from mainstay.model.errors import Gone, Unavailable
from mainstay.model.person import Actor
from mainstay.store import retention, runners, tokens
from mainstay.store.database import Database
from tests.engine.road import Clock, road

pytestmark = pytest.mark.anyio


async def test_a_server_that_was_stopped_lets_its_runners_renew_before_it_gives_them_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the machine slept, or its clock was set forth."""
    async with road(database) as here:
        runner = await here.hello()
        build = await here.build(await here.repository())
        given = await here.given(runner)
        slept: list[float] = []
        over = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            match len(slept):
                case 2:
                    here.clock.move(seconds + 600)  # stopped meanwhile
                case 3:
                    here.clock.move(1)
                    await here.poll(runner, running=(given.attempt,), wait_s=0)
                    here.clock.move(seconds - 1)
                case 4:
                    over.set()
                    await asyncio.Future[None]()
                case _:
                    here.clock.move(seconds)

        monkeypatch.setattr(upkeep_room, "asyncio", SimpleNamespace(sleep=sleep))
        await here.poll(runner, running=(given.attempt,), wait_s=0)
        loop = asyncio.create_task(Upkeep(database, here.clock, Wake(database), Lease()).lease_loop())
        await over.wait()
        loop.cancel()
        assert await here.states(build) == ["running"]
        assert slept[2] == Lease().seconds


async def test_local_runners_go_on_while_the_database_is_away(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, ended = 0, False
    again = asyncio.Event()

    async def turn(self: Fleet) -> float:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise Unavailable("the disk is full")
        again.set()
        return 3600.0

    async def end_all(self: Fleet) -> None:
        nonlocal ended
        ended = True

    monkeypatch.setattr(fleet_room, "AGAIN_S", 0.0)
    monkeypatch.setattr(Fleet, "_turn", turn)
    monkeypatch.setattr(Fleet, "_end_all", end_all)
    local = Local("http://127.0.0.1:1", "none", tmp_path / "runners", tmp_path / "mirrors")
    running = asyncio.create_task(Fleet(database, Clock(), Wake(database), local, Bounds(0, 1)).run())
    await again.wait()
    assert not ended
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ended


async def test_what_is_revoked_while_it_is_looked_up_is_not_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(database, Clock())
    token = await access.new_token("runner", "r")
    used = Access._used

    async def revoked(self: Access, token_id: int, used_at: object) -> None:
        await database.write(tokens.revoke, token_id, Clock().now())

    monkeypatch.setattr(Access, "_used", revoked)
    assert await access.authenticate(token) is not None  # it was good when it was looked up
    monkeypatch.setattr(Access, "_used", used)
    assert await access.authenticate(token) is None
    with pytest.raises(Gone):
        await access.check_runner(1, 1)


async def test_mirrors_of_repositories_that_are_no_more_are_deleted_wherever_they_are(tmp_path: Path) -> None:
    opened = await Engine.open(Config(tmp_path / "data"))
    try:
        kept = await opened.add_repository(Actor("ada"), "kept", None)
        for repository_id in (kept.id, kept.id + 1):
            await opened.mirrors.of(repository_id).create()
        await opened.housekeeping.round()
        assert opened.mirrors.present() == {kept.id}
        assert await opened.db.read(retention.known_repositories) == {kept.id}
    finally:
        await opened.close()


async def test_a_runner_that_is_heard_of_again_is_looked_for_jobs_at_once(database: Database) -> None:
    async with road(database) as here:
        runner = await here.hello()
        here.clock.move(600)
        wake = Wake(database)
        with wake.watch("runners") as told:
            await here.poll(runner, wait_s=0)
            assert await told.wait(20)
        assert (await database.read(runners.row, runner)).last_contact_at == here.clock.now()
        wake.close()
