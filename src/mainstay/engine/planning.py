"""Planning a commit: its files are read from the mirror and given to `workflow/`, in a thread of its own.

`workflow/` is pure and synchronous and asks for few files; what it decides to read depends on what it has read. So it
runs in a thread and each file it asks for is fetched by the event loop, which stays free for everybody else.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

from mainstay.git.mirror import Mirror
from mainstay.model.plan import Json
from mainstay.model.repository import Commit
from mainstay.workflow.inputs import Input, checked_inputs
from mainstay.workflow.plan import Planned, planned, read_all
from mainstay.workflow.read import Workflow
from mainstay.workflow.triggers import TriggerEvent

MAX_FILE_BYTES = 8 * 1024 * 1024
"""Files larger than this are not read for planning."""


@dataclass(slots=True)
class MirrorFiles:
    """The files of one commit, for a thread that is not the event loop's."""

    mirror: Mirror
    commit: Commit
    loop: asyncio.AbstractEventLoop
    _paths: tuple[str, ...] | None = field(default=None)

    def paths(self) -> Sequence[str]:
        """Every tracked path."""
        if self._paths is None:
            self._paths = tuple(asyncio.run_coroutine_threadsafe(self._list(), self.loop).result())
        return self._paths

    def read(self, path: str) -> bytes | None:
        """The bytes of one file."""
        return asyncio.run_coroutine_threadsafe(self._read(path), self.loop).result()

    def changed_since(self, parent: str) -> list[str]:
        """The paths that differ from a parent."""
        return asyncio.run_coroutine_threadsafe(self.mirror.changed(parent, self.commit.sha), self.loop).result()

    async def _list(self) -> list[str]:
        return list(await self.mirror.paths(self.commit.sha))

    async def _read(self, path: str) -> bytes | None:
        return await self.mirror.read(self.commit.sha, path, MAX_FILE_BYTES)


class ChangedPaths(Sequence[str]):
    """The paths that differ from another commit, worked out only when a path filter asks: it costs a git process."""

    def __init__(self, files: MirrorFiles, parent: str) -> None:
        self._files = files
        self._parent = parent

    @cached_property
    def _paths(self) -> list[str]:
        return self._files.changed_since(self._parent)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._paths[index]

    def __len__(self) -> int:
        return len(self._paths)


@dataclass(frozen=True, slots=True)
class Startable:
    """A workflow that may be started by hand (`workflow_dispatch`)."""

    name: str
    source: str
    inputs: dict[str, Input]


class Planner:
    """Plans commits, a few at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="plan")

    async def pushed(self, mirror: Mirror, commit: Commit, ref: str, before: str | None) -> Planned:
        """What a push of `commit` to `ref` asks for. Path filters look at what differs from `before`."""
        files = MirrorFiles(mirror, commit, asyncio.get_running_loop())
        changed = ChangedPaths(files, before) if before is not None else None
        event = TriggerEvent("push", ref, changed_paths=changed, message=commit.message)

        return await asyncio.get_running_loop().run_in_executor(self._threads, planned, files, event)

    async def planned(self, mirror: Mirror, commit: Commit, event: TriggerEvent) -> Planned:
        """What another event asks for at a commit."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, planned, MirrorFiles(mirror, commit, loop), event)

    async def schedules(self, mirror: Mirror, commit: Commit) -> list[tuple[str, str]]:
        """The schedules in a commit's workflow files: path and cron line."""
        return [
            (workflow.path, each.text)
            for workflow in await self._workflows(mirror, commit)
            for each in workflow.triggers.schedules
        ]

    async def startable(self, mirror: Mirror, commit: Commit) -> list[Startable]:
        """The workflows at a commit that may be started by hand, in the order of their files."""
        return [
            Startable(workflow.name, workflow.path, dict(workflow.triggers.dispatch))
            for workflow in await self._workflows(mirror, commit)
            if workflow.triggers.dispatch is not None and not workflow.broken
        ]

    async def typed_inputs(
        self, mirror: Mirror, commit: Commit, source: str, given: dict[str, Json]
    ) -> dict[str, Json]:
        """The inputs of a workflow that is started by hand, in their declared types. Raises BadInput."""
        workflows = await self._workflows(mirror, commit)
        declared = next((each.triggers.dispatch for each in workflows if each.path == source), None) or {}
        return checked_inputs(declared, given)

    async def _workflows(self, mirror: Mirror, commit: Commit) -> list[Workflow]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, read_all, MirrorFiles(mirror, commit, loop))

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
