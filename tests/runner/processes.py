"""Running steps in tests, and looking at what is left of them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mainstay.runner.keeper import Keeper, StepExit, Zygote
from mainstay.runner.zygote import PR_SET_CHILD_SUBREAPER, prctl

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


async def step(keeper: Keeper, *argv: str, cwd: Path | str = "/", **options: Any) -> tuple[StepExit, bytes]:
    """Run a step to the end of its own process; what it had printed by then."""
    reader, writer = os.pipe()
    try:
        running = asyncio.ensure_future(keeper.run(argv, options.pop("env", ENV), cwd, writer, **options))
        await asyncio.sleep(0)
        os.close(writer)
        ended = await running
        os.set_blocking(reader, False)
        try:
            return ended, os.read(reader, 1 << 16)
        except BlockingIOError:
            return ended, b""
    finally:
        os.close(reader)


@asynccontextmanager
async def zygote() -> AsyncIterator[Zygote]:
    """A started zygote that is stopped in the end, when what others lose no longer falls to this process either."""
    one = Zygote()
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
        prctl(PR_SET_CHILD_SUBREAPER, 0)


async def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.01)


def marked(word: str) -> list[int]:
    """Living processes that have `word` in their command line (which a job cannot clear as it can its environment)."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line:
                found.append(int(name))
    return found


def descriptors(pid: int | None = None) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid or os.getpid()}/fd"))
