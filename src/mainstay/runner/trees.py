"""Work trees: kept between jobs, proven clean, never shared by two jobs at a time.

    FOLDER/mirrors/ID.git        bare mirror of a repository, fetched from the server
    FOLDER/trees/ID/N            a kept tree of that repository (see `slot.py`)
    FOLDER/trash                 what is being deleted

Why so, and measured against what: docs/decisions/0003-work-trees.md.
"""

import asyncio
import errno
import itertools
import logging
import re
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from mainstay.git.process import GitError
from mainstay.model.errors import MainstayError
from mainstay.runner.gitdir import Refs, read_refs, with_alternates
from mainstay.runner.index import IndexUnreadable
from mainstay.runner.slot import Slot, taken_over
from mainstay.runner.sweep import Doubtful
from mainstay.runner.trash import Trash
from mainstay.wire.runner import Source

log = logging.getLogger(__name__)

Fetch: TypeAlias = Callable[[Source, Path], Awaitable[None]]
"""Brings `source.commit` with its history into the bare mirror at the path, making the mirror when it is not there."""

COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
TICK_S: Final = 0.01
"""Longer than a tick of the clock by which the kernel stamps files."""
FULL: Final = ("No space left on device", "Disk quota exceeded", "File too large")


class TreeBroken(MainstayError):
    """A work tree could not be made: our or the machine's fault (full disk, damaged mirror), in words."""

    code, status = "tree-broken", 503


@dataclass(frozen=True, slots=True)
class Tree:
    """A work tree that one job has to itself."""

    path: Path
    """What the job sees: files of the commit and a `.git` of its own."""
    commit: str
    """What is checked out; verified."""
    readable: tuple[Path, ...]
    """Object stores its `.git` refers to; a sandbox shows them read-only."""
    slot: Path
    """The folder that holds `path` and our private git folder; nobody else's business."""


@dataclass(slots=True)
class _Pool:
    """The trees of one repository."""

    free: list[Slot] = field(default_factory=list)
    """Last used last."""
    used: dict[Path, Slot] = field(default_factory=dict)
    returning: int = 0
    """How many of the used ones were given back and are being swept."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    fetching: asyncio.Lock = field(default_factory=asyncio.Lock)
    fetched: set[str] = field(default_factory=set)
    """Commits known to be in the mirror."""
    refs: Refs | None = None


class Trees:
    """All work trees of one runner: a pool per repository under `folder`."""

    def __init__(self, folder: Path, mirrors: Path | None, capacity: int, budget_bytes: int = 20 << 30) -> None:
        """`folder` is the runner's own. `mirrors`: the server's `ID.git`s, when they are on this machine."""
        self._folder = folder.resolve()
        self._theirs = mirrors.resolve() if mirrors else None
        self._capacity = capacity
        self._budget_bytes = budget_bytes
        self._trash = Trash(self._folder / "trash")
        self._pools: dict[int, _Pool] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """At start: take over the trees that an earlier run left clean, throw the others away."""
        for name in ("mirrors", "trees"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._trash.open()
        for folder in sorted(self._folder.glob("trees/*/*")):
            slot = await asyncio.to_thread(taken_over, folder, self._trash.throw)
            if slot is None:
                self._throw(folder)
            else:
                self._pool(slot.repository).free.append(slot)

    async def acquire(self, source: Source, fetch: Fetch) -> Tree:
        """A clean work tree of exactly `source.commit`. Raises TreeBroken; what `fetch` raises passes through."""
        if not COMMIT.fullmatch(source.commit):
            raise TreeBroken(f"{source.commit!r} is not the full id of a commit")
        pool = self._pool(source.repository_id)
        stores = await self._stores(pool, source, fetch, again=False)
        slot = await self._take(pool, source)
        try:
            try:
                await self._check_out(slot, source, stores)
            except (GitError, TreeBroken, OSError, IndexUnreadable) as error:
                log.info("a tree of %s is made anew: %s", source.repository, error)
                if not self._throw(slot.folder):
                    raise
                if _is_full(error):
                    await self._make_room()
                else:
                    stores = await self._stores(pool, source, fetch, again=True)
                await self._check_out(slot, source, stores)
            pool.refs = read_refs(stores[-1].parent, pool.refs)
            slot.give_git(source.ref, pool.refs)
        except BaseException as error:
            self._throw(slot.folder)
            await self._give_back(pool, slot, keep=False)
            if isinstance(error, (GitError, OSError, IndexUnreadable)):
                raise TreeBroken(self._in_words(source, error)) from error
            raise
        return Tree(slot.work, source.commit, with_alternates(stores), slot.folder)

    async def release(self, tree: Tree) -> None:
        """Give it back: swept clean for the next job, or thrown away. Never raises. Not on the critical path."""
        pool = self._pool(int(tree.slot.parent.name))
        slot = pool.used.get(tree.slot)
        if slot is None:
            return
        pool.returning += 1
        keep = False
        try:
            await self._clean(slot, tree.commit)
            keep = True
        except (Doubtful, GitError, OSError, IndexUnreadable) as error:
            log.info("a tree of repository %s is thrown away: %s", slot.repository, error)
            self._throw(slot.folder)
        finally:
            pool.returning -= 1
            await self._give_back(pool, slot, keep=keep)
        self._trash.soon()
        self._keep_budget()

    def prepare(self, source: Source, fetch: Fetch) -> None:
        """In the background: see to it that a spare tree of that repository lies ready."""
        pool = self._pool(source.repository_id)
        if not pool.free and not pool.returning and len(pool.used) <= self._capacity:
            task = asyncio.create_task(self._prepare(source, fetch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finish background work."""
        await asyncio.gather(*self._tasks)
        await self._trash.close()

    async def _prepare(self, source: Source, fetch: Fetch) -> None:
        try:
            await self.release(await self.acquire(source, fetch))
        except (MainstayError, OSError) as error:
            log.info("no spare tree of %s could be made: %s", source.repository, error)

    def _pool(self, repository: int) -> _Pool:
        return self._pools.setdefault(repository, _Pool())

    async def _stores(self, pool: _Pool, source: Source, fetch: Fetch, *, again: bool) -> tuple[Path, ...]:
        """The object folders that hold the commit. The server's own mirror needs no fetch, unless that did not do."""
        theirs = self._theirs / f"{source.repository_id}.git" / "objects" if self._theirs else None
        if theirs is not None and not theirs.is_dir():
            theirs = None
        if theirs is not None and not again:
            return (theirs,)
        mirror = self._folder / "mirrors" / f"{source.repository_id}.git"
        async with pool.fetching:  # git's own locks fail where they should wait
            if again or source.commit not in pool.fetched or not mirror.is_dir():
                await fetch(source, mirror)
                pool.fetched.add(source.commit)
        return (theirs, mirror / "objects") if theirs is not None else (mirror / "objects",)

    async def _take(self, pool: _Pool, source: Source) -> Slot:
        """A free tree, best one with that very commit in it; else a new one, unless one is about to come free."""
        async with pool.changed:
            while not pool.free and pool.returning and len(pool.used) > self._capacity:
                await pool.changed.wait()
            same = (slot for slot in pool.free if slot.commit == source.commit)
            slot = next(same, pool.free[-1] if pool.free else None)
            if slot is not None:
                pool.free.remove(slot)
            else:
                above = self._folder / "trees" / str(source.repository_id)
                places = (above / str(number) for number in itertools.count(1))
                place = next(place for place in places if place not in pool.used and not place.exists())
                slot = Slot(place, source.repository_id)
            pool.used[slot.folder] = slot
            return slot

    async def _give_back(self, pool: _Pool, slot: Slot, *, keep: bool) -> None:
        async with pool.changed:
            pool.used.pop(slot.folder, None)
            if keep:
                slot.used_at = time.monotonic()
                pool.free.append(slot)
            pool.changed.notify_all()

    async def _check_out(self, slot: Slot, source: Source, stores: tuple[Path, ...]) -> None:
        """Make it exactly the commit, and see that it is."""
        if not slot.folder.exists():
            slot.make(stores, len(source.commit) // 2)
        slot.lend(stores)
        slot.name = source.repository
        if slot.commit != source.commit:
            await slot.check_out(source.commit)
        tree = slot.tree_id()
        if tree != source.tree:
            raise TreeBroken(f"commit {source.commit} has the tree {tree}, but {source.tree} was to be tested")
        slot.commit = source.commit

    async def _clean(self, slot: Slot, commit: str) -> None:
        """After a job: nothing of it is left, every tracked file is as git wrote it. Raises Doubtful and others."""
        if not await asyncio.to_thread(slot.sweep, self._trash.throw):
            await slot.check_out(commit)
            await asyncio.sleep(TICK_S)
            if not await asyncio.to_thread(slot.sweep, self._trash.throw, rested=True):
                raise Doubtful("files are not as git has just written them")
            slot.commit = commit
        await asyncio.to_thread(slot.lay_ready)

    def _throw(self, folder: Path) -> bool:
        """Whether the folder is out of the way. One that is not is never used again: new trees take free places."""
        try:
            self._trash.throw(folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            log.warning("%s could not be thrown away: %s", folder, error)
            return False
        self._trash.soon()
        return True

    async def _make_room(self) -> None:
        """The disk is full: give up every tree that is not in use."""
        for pool in self._pools.values():
            while pool.free:
                self._throw(pool.free.pop().folder)
        await self._trash.empty()

    def _keep_budget(self) -> None:
        """Drop the trees that were used longest ago until the rest fits."""
        pools = self._pools.values()
        total = sum(slot.size_bytes for pool in pools for slot in (*pool.free, *pool.used.values()))
        for slot in sorted((slot for pool in pools for slot in pool.free), key=lambda slot: slot.used_at):
            if total <= self._budget_bytes:
                return
            total -= slot.size_bytes
            self._pool(slot.repository).free.remove(slot)
            self._throw(slot.folder)

    def _in_words(self, source: Source, error: Exception) -> str:
        if _is_full(error):
            free = shutil.disk_usage(self._folder).free >> 20
            return f"the runner's disk is full ({free} MiB free at {self._folder}): {source.repository} did not fit"
        return f"{source.commit} of {source.repository} could not be checked out: {error}"


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return any(words in str(error) for words in FULL)
