"""Several servers on one database: what one is told, the others know; none of them takes its own view for the truth."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mainstay.engine.server import Config, Engine
from mainstay.model.person import Actor
from mainstay.model.repository import CommitPolicy
from mainstay.store import repositories
from tests.conftest import DatabaseUrls
from tests.engine.test_intake import Project, stored

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

ADA = Actor("ada")


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


@asynccontextmanager
async def servers(folder: Path, url: str) -> AsyncIterator[tuple[Engine, Engine]]:
    """Two that work."""
    opened: list[Engine] = []
    try:
        for name in ("a", "b"):
            data = folder / name
            if opened:
                data.mkdir()
                shutil.copy(folder / "a" / "seal.key", data / "seal.key")
            opened.append(await Engine.open(Config(data, url, str(folder / "blobs"))))
            await opened[-1].start()
        yield opened[0], opened[1]
    finally:
        for each in opened:
            await each.close()


async def until(server: Engine, topic: str, ask: Callable[[], bool]) -> None:
    with server.wake.watch(topic) as told:
        async with asyncio.timeout(20):
            while not ask():
                await told.wait(0.1)


async def test_a_repository_is_watched_by_every_server_at_once_and_by_none_when_it_is_removed(
    tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    async with servers(tmp_path, database_urls.new()) as (a, b):
        added = await a.add_repository(ADA, "demo", str(project.bare))
        await b.look("demo")
        assert added.id in b.intake.watched
        await a.set_repository(ADA, "demo", commits=CommitPolicy.LATEST)
        await a.close()
        tip = project.commit("while a is down")
        project.push()
        await stored(b, lambda found: tip in {commit for commit, _, _ in found})
        await b.remove_repository(ADA, "demo")
        assert b.intake.watched == frozenset()


async def test_a_removal_reaches_the_others(tmp_path: Path, database_urls: DatabaseUrls) -> None:
    project = Project(tmp_path)
    async with servers(tmp_path, database_urls.new()) as (a, b):
        added = await a.add_repository(ADA, "demo", str(project.bare))
        await until(b, "repositories", lambda: added.id in b.intake.watched)
        await a.remove_repository(ADA, "demo")
        await until(b, "repositories", lambda: not b.intake.watched)


async def test_a_commit_that_was_forced_away_is_brought_to_a_server_that_never_saw_it(
    tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    project.push()
    async with servers(tmp_path, database_urls.new()) as (a, b):
        await b.loops.end("intake")
        added = await a.add_repository(ADA, "demo", str(project.bare))
        lost = project.commit("thrown away")
        project.push()
        await stored(a, lambda found: lost in {commit for commit, _, _ in found})
        project.git("reset", "-q", "--hard", root)
        project.push(force=True)
        b.loops.start("intake", b.intake.run)
        await until(b, "repositories", lambda: added.id in b.intake.watched)
        await b.look("demo")
        assert not await b.mirrors.has(added.id, lost)
        await b.intake.ensure(added.id, lost)
        assert await b.mirrors.has(added.id, lost)


async def test_a_repository_that_lives_on_one_server_does_not_look_empty_from_another(
    tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    project = Project(tmp_path)
    async with servers(tmp_path, database_urls.new()) as (a, b):
        own = await a.add_repository(ADA, "own", None)
        await a.look("own")
        tip = project.commit("root")
        project.git("push", "-q", str(a.mirror_of(own)), "main")
        await a.pushed(own.id, [])
        await b.look("own")
        assert await b.db.read(repositories.reached, own.id) == {"refs/heads/main": tip}
        project.git("update-ref", "-d", "refs/heads/main", cwd=a.mirror_of(own))  # its last branch: gone indeed
        await a.pushed(own.id, [])
        assert await b.db.read(repositories.reached, own.id) == {}
