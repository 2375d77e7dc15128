"""Moved refs are noticed, in every layout of a repository, and watching costs nothing while idle."""

import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mainstay.git import watch
from mainstay.git.inotify import Inotify
from mainstay.git.watch import RefWatcher
from tests.git.conftest import Origin
from tests.git.waiting import until

pytestmark = pytest.mark.anyio


class Ear:
    """Keeps what was noticed."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.watcher: RefWatcher[str] = RefWatcher(self.heard.append)

    async def hears(self, key: str = "a") -> None:
        await until(lambda: key in self.heard)
        self.heard.clear()


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    made = Ear()
    await made.watcher.start()
    yield made
    await made.watcher.close()


async def test_pushes_new_branches_tags_and_deletions_are_noticed(origin: Origin, ear: Ear) -> None:
    origin.commit()
    ear.watcher.watch("a", origin.path)
    for spec in (
        "HEAD:refs/heads/main",
        "HEAD:refs/tags/v1",
        "HEAD:refs/heads/new/folder/branch",
        "HEAD:refs/heads/new/folder/other",
        ":refs/heads/new/folder/other",
        ":refs/heads/new/folder/branch",
        "HEAD:refs/heads/new/folder/again",
    ):
        origin.push(spec)
        await ear.hears()


async def test_packing_refs_and_a_push_after_it_are_noticed(origin: Origin, ear: Ear) -> None:
    origin.commit()
    origin.push()
    ear.watcher.watch("a", origin.path)
    origin.git("pack-refs", "--all", cwd=origin.path)
    await ear.hears()
    origin.commit("other")
    origin.push()
    await ear.hears()


async def test_a_commit_in_a_work_tree_is_noticed_by_the_main_and_by_the_further_work_tree(
    origin: Origin, ear: Ear
) -> None:
    origin.commit()
    origin.git("worktree", "add", "-q", "-b", "other", "../other")
    ear.watcher.watch("a", origin.work)
    ear.watcher.watch("b", origin.work.parent / "other")
    origin.git("commit", "-q", "--allow-empty", "-m", "x", cwd=origin.work.parent / "other")
    await until(lambda: {"a", "b"} <= set(ear.heard))


async def test_a_repository_that_is_deleted_and_comes_back_is_noticed(origin: Origin, ear: Ear) -> None:
    origin.commit()
    origin.push()
    ear.watcher.watch("a", origin.path)
    shutil.rmtree(origin.path)
    await ear.hears()
    origin.git("clone", "-q", "--bare", str(origin.work), str(origin.path), cwd=Path("/"))
    await ear.hears()
    origin.commit("more")
    ear.heard.clear()
    origin.push()
    await ear.hears()
    moved = origin.path.with_name("moved.git")
    origin.path.rename(moved)
    await ear.hears()
    moved.rename(origin.path)
    await ear.hears()
    origin.commit("again")
    ear.heard.clear()
    origin.push()
    await ear.hears()


async def test_a_repository_that_is_not_there_yet_is_waited_for(origin: Origin, ear: Ear, tmp_path: Path) -> None:
    origin.commit()
    path = tmp_path / "not" / "yet" / "here"
    ear.watcher.watch("a", path)
    origin.git("clone", "-q", str(origin.work), str(path))
    await ear.hears()
    await until((path / ".git/refs/heads/main").exists)
    ear.heard.clear()
    origin.git("commit", "-q", "--allow-empty", "-m", "x", cwd=path)
    await ear.hears()


async def test_what_does_not_move_a_ref_is_not_noticed(origin: Origin, ear: Ear) -> None:
    origin.commit()
    ear.watcher.watch("a", origin.work)
    (origin.work / "file").write_text("changed")
    origin.git("add", "file")
    origin.git("stash", "list")
    origin.git("status")
    origin.git("hash-object", "-w", "file")
    origin.git("branch", "marker")
    await ear.hears()
    assert ear.heard == []


async def test_two_keys_may_watch_one_repository_and_one_may_stop(origin: Origin, ear: Ear) -> None:
    origin.commit()
    ear.watcher.watch("a", origin.path)
    ear.watcher.watch("b", origin.path)
    ear.watcher.forget("a")
    ear.watcher.forget("never known")
    origin.push()
    await ear.hears("b")
    assert "a" not in ear.heard


async def test_watching_and_forgetting_leaves_no_descriptor_thread_or_watch(origin: Origin, ear: Ear) -> None:
    origin.commit()
    origin.push("HEAD:refs/heads/main", "HEAD:refs/heads/a/b/c")
    ear.watcher.watch("a", origin.path)
    before = (len(os.listdir("/proc/self/fd")), threading.active_count(), _watches())
    for number in range(200):
        ear.watcher.watch(f"r{number}", origin.path)
        ear.watcher.watch("a", origin.path)
    for number in range(200):
        ear.watcher.forget(f"r{number}")
    for number in range(20):
        origin.push(f"HEAD:refs/heads/x{number}/y")
        origin.push(f":refs/heads/x{number}/y")
    await ear.hears()
    ear.watcher.watch("a", origin.path)
    await until(lambda: (len(os.listdir("/proc/self/fd")), threading.active_count(), _watches()) == before)


async def test_hundreds_of_repositories_share_one_descriptor(origin: Origin, ear: Ear, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(300):
        path = tmp_path / f"many/{number}.git"
        for folder in ("refs/heads", "refs/tags", "objects"):
            (path / folder).mkdir(parents=True)
        (path / "HEAD").write_text("ref: refs/heads/main\n")
        ear.watcher.watch(str(number), path)
    assert len(os.listdir("/proc/self/fd")) == before
    (tmp_path / "many/137.git/refs/heads/main").write_text("0" * 40)
    await ear.hears("137")
    assert ear.heard == []


async def test_lost_events_mean_that_everything_is_looked_at(
    origin: Origin, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip(f"this system queues {limit} events; losing some takes too long")
    ear.watcher.watch("a", origin.path)
    folder = origin.path / "refs/heads"
    for number in range(limit // 2 + 10):  # the loop does not run meanwhile
        (folder / f"{number % 7}.lock").touch()
        (folder / f"{number % 7}.lock").unlink()
    await ear.hears()


@pytest.mark.parametrize("why", ["no inotify at all", "no more watches"])
async def test_where_the_system_does_not_tell_refs_are_looked_at_by_time(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Inotify, "__init__" if why == "no inotify at all" else "add", refuse)
    monkeypatch.setattr(watch, "POLL_S", 0.02)
    if why == "no inotify at all":
        monkeypatch.setattr(watch, "Inotify", refuse)
    ear = Ear()
    await ear.watcher.start()
    origin.commit()
    ear.watcher.watch("a", origin.path)
    origin.push()
    await ear.hears()
    origin.git("pack-refs", "--all", cwd=origin.path)
    await ear.hears()
    shutil.rmtree(origin.path)
    await ear.hears()
    await ear.watcher.close()


async def test_an_idle_watch_uses_no_time(origin: Origin, ear: Ear, make_origin: Callable[..., Origin]) -> None:
    ear.watcher.watch("a", origin.path)
    began, wall = time.process_time(), time.monotonic()
    await until(lambda: time.monotonic() - wall > 0.3)
    # What `until` itself uses (150 looks at the clock) is all there is.
    assert time.process_time() - began < 0.15


def _watches() -> int:
    """How many inotify watches this process has."""
    return sum(path.read_text().count("inotify wd") for path in Path("/proc/self/fdinfo").iterdir() if path.exists())
