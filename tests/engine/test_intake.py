"""Noticing pushes on real repositories: which builds they bring, whatever is done to the refs meanwhile."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mainstay.engine.moves import Moves
from mainstay.engine.server import Config, Engine
from mainstay.git.mirror import Mirror
from mainstay.model.errors import BadInput, MainstayError
from mainstay.model.person import Actor
from mainstay.model.repository import CommitPolicy, RefMove
from mainstay.store import events, repositories
from mainstay.store.database import Tx
from mainstay.store.schema import builds

pytestmark = pytest.mark.anyio

ENV = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


class Project:
    """A developer's clone and the bare repository it pushes to."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.clone = folder / "origin.git", folder / "clone"
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), cwd=folder)
        self.git("init", "-q", "-b", "main", str(self.clone), cwd=folder)
        self.git("remote", "add", "origin", str(self.bare))
        (self.clone / "tests").mkdir()
        (self.clone / "tests" / "test_it.py").write_text("import unittest\n")

    def git(self, *args: str, cwd: Path | None = None) -> str:
        done = subprocess.run(["git", *args], cwd=cwd or self.clone, env=ENV, capture_output=True, check=True)
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def commit(self, text: str = "change") -> str:
        (self.clone / "file").write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", text, "--allow-empty")
        return self.git("rev-parse", "HEAD")

    def push(self, *refs: str, force: bool = False) -> None:
        self.git("push", "-q", *(["--force"] if force else []), "origin", *(refs or ("main",)))


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[Engine]:
    opened = await Engine.open(Config(folder / "data"))
    try:
        await opened.start()
        yield opened
    finally:
        await opened.close()


def _stored(tx: Tx) -> list[tuple[str, str, int]]:
    rows = tx.conn.execute(builds.select().order_by(builds.c.id))
    return [(row.commit, row.ref, row.priority) for row in rows]


async def stored(server: Engine, enough: Callable[[list[tuple[str, str, int]]], bool]) -> list[tuple[str, str, int]]:
    """The builds, once they are what is waited for."""
    with server.wake.watch("events") as told:
        async with asyncio.timeout(60):
            while True:
                found = await server.db.read(_stored)
                if enough(found):
                    return found
                await told.wait(1.0)


async def test_first_sight_builds_the_tips_of_branches_and_nothing_older(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("one")
    tip = project.commit("two")
    project.git("tag", "v1")
    project.git("branch", "side", "HEAD~1")
    project.push("main", "side", "v1")
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        found = await stored(server, lambda found: len(found) >= 2)
        assert {(commit, ref) for commit, ref, _ in found} == {
            (tip, "refs/heads/main"),
            (project.git("rev-parse", "side"), "refs/heads/side"),
        }


async def test_since_builds_what_was_there_before(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    later = [project.commit(str(n)) for n in range(4)]
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare), since=root)
        found = await stored(server, lambda found: len(found) == 4)
        assert [commit for commit, _, _ in found] == [later[-1], *later[:-1]]


async def test_since_is_kept_for_whoever_looks_first(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    later = [project.commit(str(n)) for n in range(2)]
    project.push()
    ended = await Engine.open(Config(tmp_path / "data"))  # it looks at nothing before it was started, and never is
    await ended.add_repository(Actor("ada"), "demo", str(project.bare), since=root)
    await ended.close()
    async with engine(tmp_path) as server:
        found = await stored(server, lambda found: len(found) == 2)
        assert [commit for commit, _, _ in found] == [later[1], later[0]]


async def test_since_may_be_shortened_and_what_is_no_commit_is_told(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    commits = [project.commit(str(number)) for number in range(2)]
    project.push()
    async with engine(tmp_path) as server:
        for wrong in ("--all", "main", "abc", "x" * 40, ""):
            with pytest.raises(BadInput):
                await server.add_repository(Actor("ada"), "wrong", str(project.bare), since=wrong)
        await server.add_repository(Actor("ada"), "demo", str(project.bare), since=root[:8])
        found = await stored(server, lambda rows: len(rows) == 2)
        assert {commit for commit, _, _ in found} == set(commits)
        with server.wake.watch("events") as told:
            await server.add_repository(Actor("ada"), "lost", str(project.bare), since="f" * 12)
            async with asyncio.timeout(60):
                while not (error := (await server.repositories.by_name("lost")).error):
                    await told.wait(1.0)
        assert "no commit ffffffffffff to begin after" in error


async def test_every_commit_of_a_push_is_built_the_tip_first(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
        later = [project.commit(str(n)) for n in range(5)]
        project.push()
        found = (await stored(server, lambda found: len(found) == 6))[1:]
        assert [commit for commit, _, _ in found] == [later[-1], *later[:-1]]
        assert found[0][2] > found[1][2]


async def test_500_commits_in_one_push_are_all_built_once(tmp_path: Path) -> None:
    project = Project(tmp_path)
    tree = (project.commit("root"), project.git("rev-parse", "HEAD^{tree}"))[1]
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
        parent = project.git("rev-parse", "HEAD")
        for number in range(500):
            parent = project.git("commit-tree", tree, "-p", parent, "-m", str(number))
        project.git("update-ref", "refs/heads/main", parent)
        project.push()
        found = await stored(server, lambda found: len(found) >= 501)
        assert len({commit for commit, _, _ in found}) == len(found) == 501


async def test_a_force_push_builds_the_new_line_and_keeps_the_old(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    old = project.commit("old")
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
        project.git("reset", "-q", "--hard", root)
        new = project.commit("new")
        project.push(force=True)
        found = await stored(server, lambda found: len(found) == 2)
        assert [commit for commit, _, _ in found] == [old, new]
        project.git("gc", "-q", "--prune=now", cwd=project.bare)
        mirror = server.mirrors.of(1)
        assert (await mirror.commits([old]))[0].sha == old


async def test_a_merge_brings_the_commits_of_both_sides_once(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
        project.git("checkout", "-q", "-b", "side", root)
        side = project.commit("side")
        project.push("side")
        await stored(server, lambda found: len(found) == 2)
        project.git("checkout", "-q", "main")
        project.git("merge", "-q", "--no-ff", "-m", "merge", "side")
        merge = project.git("rev-parse", "HEAD")
        project.push()
        found = await stored(server, lambda found: any(commit == merge for commit, _, _ in found))
        assert [commit for commit, _, _ in found] == [root, side, merge]


async def test_first_parent_and_latest_leave_commits_out(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "line", str(project.bare), commits=CommitPolicy.FIRST_PARENT)
        await server.add_repository(Actor("ada"), "tips", str(project.bare), commits=CommitPolicy.LATEST)
        await stored(server, lambda found: len(found) == 2)
        project.git("checkout", "-q", "-b", "side", root)
        side = project.commit("side")
        project.git("checkout", "-q", "main")
        first = project.commit("first")
        project.git("merge", "-q", "--no-ff", "-s", "ours", "-m", "merge", "side")
        merge = project.git("rev-parse", "HEAD")
        project.push()
        found = [commit for commit, _, _ in (await stored(server, lambda found: len(found) >= 5))[2:]]
        assert sorted(found) == sorted([merge, first, merge])
        assert side not in found


async def test_path_filters_compare_a_tip_with_where_its_ref_was(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (project.clone / ".mainstay").mkdir()
    text = "on: {push: {paths: ['src/**']}}\njobs: {a: {runs-on: linux, steps: [{run: x}]}}\n"
    (project.clone / ".mainstay" / "x.yml").write_text(text)
    (project.clone / "src").mkdir()
    (project.clone / "src" / "a").touch()
    root = project.commit("root")
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "tips", str(project.bare), commits=CommitPolicy.LATEST)
        await stored(server, lambda found: len(found) == 1)
        project.commit("elsewhere")
        project.push()
        (project.clone / "src" / "b").touch()
        project.commit("within")
        both = project.commit("elsewhere again")
        project.push()  # the tip itself touches no path, the push does
        project.git("checkout", "-q", "-b", "side", root)
        (project.clone / "src" / "c").touch()
        project.commit("of the branch")
        side = project.commit("of the branch, elsewhere")
        project.push("side")
        found = await stored(server, lambda found: len(found) >= 3)
        assert [commit for commit, _, _ in found[1:]] == [both, side]


async def test_a_deleted_branch_and_one_made_again_lose_and_repeat_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    project.push("main", "main:side")
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        assert len(await stored(server, lambda found: len(found) == 2)) == 2
        project.push(":side")
        await server.look("demo")
        project.push("main:side")
        await server.look("demo")
        tip = project.commit("tip")
        project.push()
        found = await stored(server, lambda found: any(commit == tip for commit, _, _ in found))
        assert [commit for commit, _, _ in found] == [root, root, tip]


async def test_refs_with_hostile_names_are_built_like_others(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    names = ["refs/heads/-rf", "refs/heads/$(id>owned)", "refs/heads/;reboot", "refs/heads/中文"]
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
        for name in names:
            project.git("update-ref", name, project.commit(name))
            project.push(f"{name}:{name}")
        found = await stored(server, lambda found: {ref for _, ref, _ in found} >= set(names))
        assert len(found) == 1 + len(names)
        assert not (tmp_path / "owned").exists()


async def test_an_empty_repository_is_watched_until_it_has_a_commit(tmp_path: Path) -> None:
    project = Project(tmp_path)
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await server.look("demo")
        tip = project.commit("first")
        project.push()
        found = await stored(server, lambda found: len(found) == 1)
        assert found[0][:2] == (tip, "refs/heads/main")


async def test_an_unreachable_remote_says_so_with_the_next_try_and_recovers(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.commit("root")
    project.push()
    hidden = tmp_path / "hidden"
    project.bare.rename(hidden)
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        with pytest.raises(MainstayError):
            await server.look("demo")
        broken = await server.repositories.by_name("demo")
        assert broken.error is not None
        assert broken.next_poll_at is not None
        hidden.rename(project.bare)
        await stored(server, lambda found: len(found) == 1)
        await server.look("demo")
        assert (await server.repositories.by_name("demo")).error is None
        kinds = [event.kind for event in await server.db.read(events.since, 0)]
        assert kinds.index("repository.unreachable") < kinds.index("repository.reachable")


async def test_a_push_while_the_server_was_away_is_found_at_its_start(tmp_path: Path) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
    tips = [project.commit(str(n)) for n in range(3)]
    project.push()
    async with engine(tmp_path) as server:
        found = await stored(server, lambda found: len(found) == 4)
        assert sorted(commit for commit, _, _ in found) == sorted([root, *tips])


async def test_what_was_pushed_while_a_repository_was_paused_is_built_when_it_goes_on(tmp_path: Path) -> None:
    project = Project(tmp_path)
    first = project.commit("one")
    project.push()
    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
        await server.set_repository(Actor("ada"), "demo", paused=True)
        missed = [project.commit(text) for text in ("two", "three")]
        project.push()
        with pytest.raises(MainstayError, match="paused"):
            await server.look("demo")
        assert [commit for commit, _, _ in await server.db.read(_stored)] == [first]
        await server.set_repository(Actor("ada"), "demo", paused=False)
        found = await stored(server, lambda found: len(found) == 3)
        assert {commit for commit, _, _ in found} == {first, *missed}


class Killed(BaseException):
    """Nothing that follows is done."""


async def test_a_move_that_a_killed_server_had_begun_is_not_forgotten_when_the_ref_is_forced_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    root = project.commit("root")
    project.push()
    planned = Moves._builds_of

    async def one_only(self: Moves, *args: object) -> object:
        if args[-1] is None:  # all but the tip
            raise Killed
        return await planned(self, *args)  # type: ignore[arg-type]

    async with engine(tmp_path) as server:
        await server.add_repository(Actor("ada"), "demo", str(project.bare))
        await stored(server, lambda found: len(found) == 1)
        monkeypatch.setattr(Moves, "_builds_of", one_only)
        thrown_away = [project.commit(str(n)) for n in range(3)]
        project.push()
        await stored(server, lambda found: len(found) == 2)
    monkeypatch.undo()
    project.git("reset", "-q", "--hard", root)
    instead = project.commit("instead")
    project.push(force=True)
    async with engine(tmp_path) as server:
        found = await stored(server, lambda found: len(found) == 5)
        assert sorted(commit for commit, _, _ in found) == sorted([root, *thrown_away, instead])
        await server.look("demo")
        assert (await server.db.read(repositories.reached, 1))["refs/heads/main"] == instead
        assert await server.db.read(repositories.begun, 1) == []
        assert len(await server.db.read(_stored)) == 5


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1,)])
async def test_what_was_pushed_here_is_built_although_somebody_has_forced_the_ref_away_since(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    project = Project(tmp_path)
    async with engine(tmp_path) as server:
        own = await server.add_repository(Actor("ada"), "own", None)
        await server.look("own")
        mirror = str(server.mirror_of(own))
        commits = []
        for text in ("one", "two", "three"):
            project.git("checkout", "-q", "--orphan", text)
            commits.append(project.commit(text))
            project.git("push", "-q", "--force", mirror, "HEAD:refs/heads/main")
        ends = [None, *commits]
        told = [RefMove("refs/heads/main", old, new) for old, new in zip(ends, commits, strict=False)]
        await server.pushed(own.id, [told[n] for n in order])
        built = {commit for commit, _, _ in await server.db.read(_stored)}
        assert built == {commits[n] for n in order} | {commits[-1]}
        assert (await server.db.read(repositories.reached, own.id))["refs/heads/main"] == commits[-1]


@pytest.mark.parametrize("end", ["removed", "stopped", "failed"])
async def test_a_push_is_not_accepted_when_the_look_that_was_to_store_it_ended_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    begun, refs = asyncio.Event(), Mirror.refs

    async def hangs(self: Mirror) -> dict[str, str]:
        begun.set()
        if end == "failed":
            raise ValueError("a mistake of ours")
        return await asyncio.Future[dict[str, str]]()

    opened = await Engine.open(Config(tmp_path / "data"))
    try:
        await opened.start()
        own = await opened.add_repository(Actor("ada"), "own", None)
        await opened.look("own")
        monkeypatch.setattr(Mirror, "refs", hangs)
        pushes = [asyncio.create_task(opened.pushed(own.id, []))]
        await begun.wait()
        pushes.append(asyncio.create_task(opened.pushed(own.id, [])))
        await asyncio.sleep(0)
        if end == "removed":
            await opened.remove_repository(Actor("ada"), "own")
        elif end == "stopped":
            await opened.loops.stop()
        for push in pushes:
            with pytest.raises(MainstayError):
                await push
    finally:
        monkeypatch.setattr(Mirror, "refs", refs)
        await opened.close()
