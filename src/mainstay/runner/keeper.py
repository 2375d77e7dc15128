"""How a job's processes live and die, from the runner's side; the other side of the sockets is `zygote.py`.

    runner --- zygote --- keeper of job A --- steps of A and everything they start
                      \\-- keeper of job B --- ...

Each of the three is a child subreaper: whatever loses its parent falls to the nearest of them and is ended there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mainstay.model.errors import MainstayError
from mainstay.runner.limits import Group, Rlimits

MARKER = "MAINSTAY_ATTEMPT"
"""In the environment of every step: `DATA FOLDER'S ID:ATTEMPT`, by which leftovers are found after a power cut."""


class KeeperLost(MainstayError):
    """The keeper of a job is gone or does not answer: the job killed it, or the machine is out of memory."""

    code, status = "keeper-lost", 503


@dataclass(frozen=True, slots=True)
class StepExit:
    """How a step's own process ended. Exactly one of `code` and `signal` is set."""

    code: int | None = None
    """As a shell shows it: 127 no such command, 126 not executable (then `problem` says so in words)."""
    signal: int | None = None
    problem: str | None = None
    """Why it could not even be started."""
    cpu_s: float = 0.0
    """User and system time of it and of the children it waited for."""
    memory_bytes: int = 0
    """The largest resident size among them."""


class Keeper:
    """Runs the steps of one job, one at a time, and ends everything they started."""

    async def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | str,
        output_fd: int,
        rlimits: Rlimits | None = None,
        *,
        guarded: bool = False,
    ) -> StepExit:
        """Start a step and wait for its own process (not for what it left in the background).

        `output_fd` becomes its stdout and stderr; the caller keeps its own copy and closes it once this was called
        (it is sent before the first await returns control). `guarded`: the first process is a sandbox, which
        `terminate` must not ask to end before the processes inside have. Raises KeeperLost.
        """
        raise NotImplementedError

    async def terminate(self, grace_s: float) -> None:
        """SIGTERM to every process of the job, SIGKILL to those left after `grace_s`. Returns when all have ended.

        `run` returns by itself then. Raises KeeperLost.
        """
        raise NotImplementedError

    async def end(self) -> int:
        """Kill every process of the job, daemons included, until there is none; then the keeper exits.

        Returns how many were found alive. Never raises: a keeper that is gone or stuck is killed, and what it
        left is ended by the zygote. May be called twice.
        """
        raise NotImplementedError


class Zygote:
    """The small process that keepers are forked from. Started once per runner; started again when it dies."""

    async def start(self) -> None:
        """Start it and wait until it answers (about 30 ms). Makes the runner a child subreaper."""
        raise NotImplementedError

    async def keeper(self, marker: str, group: Group | None = None) -> Keeper:
        """A keeper for one job (about 1 ms). `marker` is the value of MARKER in its steps' environment.

        Raises KeeperLost when none can be had even from a new zygote (out of processes or memory).
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """End every keeper with all its processes, then the zygote."""
        raise NotImplementedError


def end_leftovers(owner: str) -> int:
    """At the runner's start: kill processes of earlier runs, by `MARKER=OWNER:...` in their environment.

    Returns how many were found. Blocking, a few ms; processes of other users are not looked at.
    """
    raise NotImplementedError
