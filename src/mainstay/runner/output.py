"""The output of one running job: its tap, its log file, and the reading of it, as one thing that jobs print into."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from mainstay.runner.capture import Capture
from mainstay.runner.logfile import LogFile
from mainstay.runner.reading import Reading
from mainstay.runner.threads import Threads
from mainstay.workflow.commands import Command

INLINE_BYTES = 64 << 10
"""Less than this is looked at in the event loop; a thread would cost more."""


class Output:
    """Where a job prints. Commands that its steps print arrive at `heard`."""

    def __init__(
        self,
        capture: Capture,
        threads: Threads,
        log: LogFile,
        limit_bytes: int,
        masks: Iterable[str],
        grown: Callable[[], None],
        pipe: Path | None = None,
    ) -> None:
        """`grown` is called when there is more that may leave the runner. `pipe`: where its pipe is to have a name."""
        self.pipe = pipe
        self.log = log
        self.reading = Reading(log, masks)
        self.heard: Callable[[Command], None] = _nobody
        self._capture = capture
        self._threads = threads
        self._tap = capture.open(log.raw_fd, limit_bytes, self._wake, pipe)
        self._told = grown
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._limit_bytes = limit_bytes
        self._problem: str | None = None

    @property
    def write_fd(self) -> int:
        """What steps get as stdout and stderr."""
        return self._tap.write_fd

    @property
    def ready_bytes(self) -> int:
        """How much may leave the runner."""
        return self.reading.ready_bytes

    @property
    def problem(self) -> str | None:
        """Why the log is not whole though the job did nothing wrong: the disk is full."""
        return self._problem or self._tap.problem

    @property
    def notice(self) -> str | None:
        """What was left out of the log, in words."""
        left_out = self._tap.seen_bytes - self._tap.kept_bytes
        if left_out <= 0:
            return None
        if self.problem is not None:
            return f"the last {left_out:,} bytes are missing: {self.problem}"
        return f"the log was cut at its limit of {self._limit_bytes:,} bytes; {left_out:,} more bytes were printed"

    async def settle(self, *, final: bool = True) -> int:
        """Take in everything printed so far, obey its commands; the offset in the log where it ends."""
        await self._capture.drain(self._tap)
        await self._read(final=final)
        return self.reading.ready_bytes

    async def say(self, text: str) -> None:
        """Words of the runner itself, a line each."""
        line = self.reading.masked(text).rstrip("\n") + "\n"
        await self._capture.write(self._tap, line.encode("utf-8", "replace"))

    async def close(self) -> None:
        """Take in what is left; nobody can print any more. The log file stays open."""
        await self._capture.close(self._tap)
        if self.pipe is not None:
            self.pipe.unlink(missing_ok=True)
        await self._read(final=True)

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        await self._read(final=False)

    async def _read(self, *, final: bool) -> None:
        """Look at all that is in the file. What goes wrong with the disk is remembered in `problem`."""
        more = True
        while more and self._problem is None:
            async with self._lock:
                before, until = self.reading.ready_bytes, self._tap.kept_bytes
                try:
                    if until - self.reading.done_bytes <= INLINE_BYTES:
                        commands, more = self.reading.advance(until, final=final)
                    else:
                        commands, more = await self._threads.run(
                            lambda end: self.reading.advance(end, final=final), until
                        )
                except OSError as error:
                    self._problem = f"{(error.strerror or str(error)).lower()} while hiding secrets in its log"
                    return
            for command in commands:
                self.heard(command)
            if self.reading.ready_bytes != before:
                self._told()


def _nobody(command: Command) -> None:
    """Commands that come when no step runs have nobody to obey them."""
