"""The processes of one job, started one at a time through its keeper, and stopped when the job is to stop.

Those of a job in a container are in `containers/inside.py`; `Starts` is what both are.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mainstay.runner.executors import JobPlace
from mainstay.runner.keeper import Keeper, StepExit
from mainstay.runner.limits import Rlimits
from mainstay.runner.machine import Machine

GRACE_S = 7.5
"""Between SIGTERM and SIGKILL, as on GitHub."""
MAX_READ = 1 << 20
PYTHON: Final = re.compile(r"python3?(?:\.\d+)?t?\Z")


@dataclass(frozen=True, slots=True)
class Run:
    """How a program ended."""

    exit: StepExit
    cause: str | None = None
    """Why it was stopped before its end: `stopped` (the job is to stop), `time` (its own limit)."""

    @property
    def code(self) -> int:
        """The exit code as a shell shows it."""
        if self.exit.code is not None:
            return self.exit.code
        return 128 + (self.exit.signal or 0)


class Starts(Protocol):
    """What a step may start programs with."""

    async def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        limit_s: float | None = None,
        heed_stop: bool = True,
    ) -> Run:
        """Run a program to its end; what it prints is logged. `heed_stop`: it is ended when the job is to stop."""

    async def read(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, limit_s: float) -> tuple[int, str]:
        """As `run`; what the program prints is returned, up to MAX_READ bytes, and not logged."""

    def find(self, name: str, path: str) -> str | None:
        """Where a program is, by this PATH; None: nowhere."""

    async def pythons(self, env: Mapping[str, str]) -> list[str]:
        """Programs that look like interpreters of Python."""


class Processes:
    """Processes of the machine, plainly or in a sandbox."""

    def __init__(
        self,
        keeper: Keeper,
        machine: Machine,
        place: JobPlace,
        rlimits: Rlimits,
        output_fd: int,
        stopping: asyncio.Event,
    ) -> None:
        self._keeper = keeper
        self._machine = machine
        self._place = place
        self._rlimits = rlimits
        self._output_fd = output_fd
        self._stopping = stopping

    async def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        limit_s: float | None = None,
        output_fd: int | None = None,
        heed_stop: bool = True,
    ) -> Run:
        """Run a program to its end. `heed_stop`: it is ended when the job is to stop. Raises KeeperLost."""
        command = self._machine.executor.wrap(argv, env, cwd, self._place)
        running = asyncio.ensure_future(
            self._keeper.run(
                command.argv,
                command.env,
                command.cwd,
                self._output_fd if output_fd is None else output_fd,
                self._rlimits,
                guarded=command.guarded,
            )
        )
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            awaited = {running, stopped} if heed_stop else {running}
            await asyncio.wait(awaited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return Run(running.result())
            cause = "stopped" if heed_stop and stopped.done() else "time"
            await self._keeper.terminate(GRACE_S)
            return Run(await running, cause)
        finally:
            stopped.cancel()
            running.cancel()  # no effect once it has ended

    async def read(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, limit_s: float) -> tuple[int, str]:
        """As `run`; what the program prints is returned, up to MAX_READ bytes, and not logged."""
        fd = os.memfd_create("mainstay-read", os.MFD_CLOEXEC)
        try:
            run = await self.run(argv, env, cwd, limit_s=limit_s, output_fd=fd)
            return run.code, os.pread(fd, MAX_READ, 0).decode("utf-8", "replace")
        finally:
            os.close(fd)

    def find(self, name: str, path: str) -> str | None:
        """Where a program of the machine is."""
        return shutil.which(name, path=path)

    async def pythons(self, env: Mapping[str, str]) -> list[str]:
        """Those of pyenv and those on PATH."""
        root = os.environ.get("PYENV_ROOT") or str(Path.home() / ".pyenv")
        path = env.get("PATH", "")
        folders = [*sorted(Path(root, "versions").glob("*/bin")), *map(Path, path.split(os.pathsep))]
        found: list[str] = []
        for folder in folders:
            if folder.name == "shims":
                continue  # they stand for other interpreters, and only for those that are switched on
            try:
                names = sorted(name for name in os.listdir(folder) if PYTHON.match(name))
            except OSError:
                continue
            found += [str(folder / name) for name in names if os.access(folder / name, os.X_OK)]
        return found


@dataclass(frozen=True, slots=True)
class StepPrograms:
    """`actions.call.Programs` for one step."""

    processes: Starts
    environment: Callable[[], dict[str, str]]
    """Of the step, as it is at that time."""
    workspace: Path
    limit_s: float | None
    beside: Starts | None = None
    """What runs git where the job's container has none."""

    async def run(self, argv: Sequence[str], env: Mapping[str, str] = {}, cwd: Path | None = None) -> int:
        """The exit code; what the program prints goes into the log."""
        merged = {**self.environment(), **env}
        return (await self._for(argv).run(argv, merged, cwd or self.workspace, limit_s=self.limit_s)).code

    async def read(self, argv: Sequence[str], env: Mapping[str, str] = {}, cwd: Path | None = None) -> tuple[int, str]:
        """The exit code and what the program printed."""
        merged = {**self.environment(), **env}
        return await self._for(argv).read(argv, merged, cwd or self.workspace, self.limit_s or 600.0)

    def _for(self, argv: Sequence[str]) -> Starts:
        if self.beside is not None and argv[0] == "git" and self.find("git") is None:
            return self.beside
        return self.processes

    def find(self, name: str) -> str | None:
        """Where the next step would find a program."""
        return self.processes.find(name, self.environment()["PATH"])

    async def pythons(self) -> list[str]:
        """Programs that look like interpreters of Python."""
        return await self.processes.pythons(self.environment())
