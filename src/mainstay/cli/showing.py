"""How `mainstay run` shows jobs: one alone is shown as it prints, several at once are shown one after the other.

On a terminal, of several jobs only what failed is spread out; the rest is folded, and lies whole in log files.
Where the output goes into a file or a pipe, all of it is written.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from mainstay.cli import terminal
from mainstay.cli.terminal import Progress, Terminal
from mainstay.model.job import StepResult
from mainstay.model.states import StepState
from mainstay.runner.logfile import LogFile

READ_BYTES = 1 << 20
FOLDED_LINES = 300
"""So many of the last lines of a failed step are shown where the rest is folded."""
OPEN = (StepState.RUNNING, StepState.PENDING)
BAD = (StepState.FAILED, StepState.TIMED_OUT, StepState.ALLOWED)
TURN_S = 0.5


class Ready(Protocol):
    """A log that grows: what may be shown of it."""

    @property
    def ready_bytes(self) -> int: ...


@dataclass(slots=True)
class Watched:
    """One job that runs."""

    name: str
    log: LogFile
    live: bool
    output: Ready | None = None
    steps: Sequence[StepResult] = ()
    shown: int = 0
    """Bytes of its log."""
    begun: int = -1
    ended: int = -1
    """The last step of which was said that it began, and that it ended."""
    is_whole: bool = True
    """Whether the last line that was shown is."""


class Shown:
    """Everything that `mainstay run` says while jobs run. What they print goes to the stream as it is."""

    def __init__(self, out: Terminal) -> None:
        self.out = out
        self._stream: BinaryIO = out.stream.buffer if hasattr(out.stream, "buffer") else sys.stdout.buffer
        self._progress = Progress(out)
        self._running: dict[str, Watched] = {}
        self._waiting = 0
        self._ring: asyncio.Task[None] | None = None

    def begin(self, name: str, log: LogFile, *, live: bool) -> Watched:
        """A job begins. `live`: it runs alone, so that what it prints is shown at once."""
        job = Watched(name, log, live)
        if live:
            self.say(f"{self.out.glyph('running')} {self.out.paint(name, bold=True)}")
        else:
            self._running[name] = job
            self._turn()
        return job

    def grew(self, job: Watched) -> None:
        """There is more of its log, or its steps have changed."""
        if not job.live:
            return
        for step in job.steps:
            if step.number > job.ended and step.state not in OPEN:
                self._print(job)
                self._end_line(job)
                job.ended = job.begun = step.number
                self.out.line(self._step(step))
            elif step.number > job.begun:
                self._print(job)
                self._end_line(job)
                job.begun = step.number
                self.out.line(f"  {self.out.glyph('running')} {step.name}")
        self._print(job)

    def end(self, job: Watched, steps: Sequence[StepResult], log_file: Path, *, failed: bool) -> None:
        """It has ended. Of one that did not run alone, its steps are shown now."""
        job.steps = steps
        self.grew(job)
        self._end_line(job)
        if job.live:
            return
        self._running.pop(job.name, None)
        self._progress.clear()
        folded = self.out.live
        if not folded or failed:
            self.out.line(self.out.paint(job.name, bold=True))
            self._spread(job, folded=folded)
        if folded and failed:
            self.out.line(self.out.faint(f"  its whole log: {log_file}"))

    def say(self, text: str = "") -> None:
        """One line, whatever is in progress."""
        self._progress.clear()
        self.out.line(text)

    def waiting(self, count: int) -> None:
        """So many jobs could run, but for those that run."""
        self._waiting = count
        self._tell()

    async def close(self) -> None:
        """Nothing more will come."""
        if self._ring is not None:
            self._ring.cancel()
            with suppress(asyncio.CancelledError):
                await self._ring
        self._progress.clear()

    def _spread(self, job: Watched, *, folded: bool) -> None:
        """The steps one after the other, each with what it printed."""
        for place, step in enumerate(job.steps):
            following = next(
                (later.log_offset for later in job.steps[place + 1 :] if later.log_offset is not None), None
            )
            if step.log_offset is not None and (not folded or step.state in BAD):
                self.out.line(f"  {self.out.glyph('running')} {step.name}")
                job.shown = step.log_offset
                self._print(job, until=following, lines=FOLDED_LINES if folded else None)
                self._end_line(job)
            self.out.line(self._step(step))
        if not folded and not any(step.log_offset is not None for step in job.steps):
            self._print(job)
            self._end_line(job)

    def _print(self, job: Watched, until: int | None = None, lines: int | None = None) -> None:
        ready = job.output.ready_bytes if job.output is not None else 0
        until = ready if until is None else min(until, ready)
        if lines is not None:
            self._skip(job, until, lines)
        with suppress(BrokenPipeError):
            while job.shown < until:
                data = job.log.read(job.shown, min(READ_BYTES, until - job.shown))
                if not data:
                    break
                self._stream.write(data)
                job.shown += len(data)
                job.is_whole = data.endswith(b"\n")
            self._stream.flush()

    def _skip(self, job: Watched, until: int, lines: int) -> None:
        """Go on where the last lines begin, and say how much is left out."""
        begin = max(job.shown, until - READ_BYTES)
        tail = job.log.read(begin, until - begin)
        found = tail.splitlines(keepends=True)
        if begin > job.shown or len(found) > lines:
            begin = until - sum(map(len, found[-lines:]))
            self.out.line(self.out.faint(f"  … the {terminal.size(begin - job.shown)} before are in the log"))
            job.shown = begin

    def _end_line(self, job: Watched) -> None:
        """Let what is said next stand on a line of its own."""
        if not job.is_whole:
            self._stream.write(b"\n")
            self._stream.flush()
        job.is_whole = True

    def _step(self, step: StepResult) -> str:
        took = ""
        if step.started_at and step.finished_at:
            took = terminal.duration((step.finished_at - step.started_at).total_seconds())
        words = f"  {self.out.glyph(step.state)} {step.name}  {self.out.faint(took)}".rstrip()
        return words + (f"  {step.reason}" if step.reason else "")

    def _turn(self) -> None:
        if self.out.live and self._ring is None:
            self._ring = asyncio.get_running_loop().create_task(self._turning())
        self._tell()

    async def _turning(self) -> None:
        """Only what is alive moves."""
        while True:
            self._tell()
            await asyncio.sleep(TURN_S)

    def _tell(self) -> None:
        if not self._running or not self.out.live:
            return
        names = ", ".join(f"{job.name}{self._at(job)}" for job in self._running.values())
        more = f"; {self._waiting} more to run" if self._waiting else ""
        self._progress.show("running", f"{names}{more}")

    def _at(self, job: Watched) -> str:
        step = next((step.name for step in job.steps if step.state is StepState.RUNNING), None)
        return f" ({step})" if step else ""
