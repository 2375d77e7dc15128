"""Git processes that stay: started when first needed, used again, ended when idle or too many.

A request to a standing process costs some 50 microseconds, a new process more than a millisecond.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.git.process import GitError, Process, failed

CAT_FILE = ("cat-file", "--batch-command")
UPDATE_REF = ("update-ref", "--stdin", "-z")


@dataclass(slots=True)
class _Place:
    """One folder's process of one kind; the lock is held while somebody talks to it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    process: Process | None = None
    used_at: float = 0.0


class Standing:
    """The standing processes of a server: at most `limit` open when they are idle, none idle longer than `idle_s`."""

    def __init__(self, limit: int = 24, idle_s: float = 60.0) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._places: dict[tuple[Path, tuple[str, ...]], _Place] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def use(self, git_dir: Path, args: tuple[str, ...]) -> AsyncIterator[Process]:
        """The process of `args` for `git_dir`, for one conversation. An exception inside ends it: it left answers."""
        key = (git_dir, args)
        while True:
            place = self._places.setdefault(key, _Place())
            async with place.lock:
                if self._places.get(key) is not place:
                    continue  # it was dropped while we waited for our turn
                async with self._conversation(place, git_dir, args) as process:
                    yield process
                break
        self._tidy()

    @contextlib.asynccontextmanager
    async def _conversation(self, place: _Place, git_dir: Path, args: tuple[str, ...]) -> AsyncIterator[Process]:
        if place.process is None or not place.process.alive:
            place.process = Process(args, git_dir=git_dir)
        try:
            yield place.process
        except BaseException:
            process, place.process = place.process, None
            if process is not None:
                self._end(process)
            raise
        place.used_at = asyncio.get_running_loop().time()

    def forget(self, git_dir: Path) -> None:
        """End the processes of a folder that goes away."""
        for key in [key for key in self._places if key[0] == git_dir]:
            self._drop(key)

    async def close(self) -> None:
        """End them all."""
        for key in list(self._places):
            self._drop(key)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._ending:
            await asyncio.gather(*self._ending)

    @property
    def open(self) -> int:
        """How many run now."""
        return sum(place.process is not None for place in self._places.values())

    def _tidy(self) -> None:
        """End idle processes beyond the limit, oldest first, and have the others looked at later."""
        loop = asyncio.get_running_loop()
        idle = sorted((place.used_at, key) for key, place in self._places.items() if not place.lock.locked())
        surplus = max(0, len(idle) - self._limit)
        for position, (used_at, key) in enumerate(idle):
            if position < surplus or used_at + self._idle_s <= loop.time():
                self._drop(key)
        if self._sweep is None and self._places:
            self._sweep = loop.call_later(self._idle_s, self._swept)

    def _swept(self) -> None:
        self._sweep = None
        self._tidy()

    def _drop(self, key: tuple[Path, tuple[str, ...]]) -> None:
        place = self._places.pop(key)
        process, place.process = place.process, None
        if process is not None:
            self._end(process)

    def _end(self, process: Process) -> None:
        process.kill()
        task = asyncio.get_running_loop().create_task(process.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def died(process: Process) -> GitError:
    """The error for a standing process whose output ended."""
    exit_code = await process.wait()
    return failed(process.args, exit_code, process.stderr)
