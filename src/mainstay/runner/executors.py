"""Where a job's steps run: plainly on the machine, or in a bubblewrap sandbox. Both only rewrite the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Command:
    """What the keeper is to start."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    guarded: bool = False
    """Its first process is a sandbox, not the step itself (see `Keeper.run`)."""


@dataclass(frozen=True, slots=True)
class JobPlace:
    """The folders of one job, all absolute and made before the first step."""

    work: Path
    """The work tree: writable."""
    home: Path
    """$HOME: writable, this job's own."""
    temp: Path
    """$TMPDIR: writable, this job's own; in a sandbox it is also what /tmp shows."""
    writable: tuple[Path, ...] = ()
    """More that the job may write: its folder of environment files, shared caches."""
    readable: tuple[Path, ...] = ()
    """What it may read though it lies in a hidden place: the git mirror, interpreters under a home, step scripts."""
    network: bool = True


class Executor(Protocol):
    """One way to run steps."""

    @property
    def name(self) -> str:
        """`process`, `bubblewrap`."""

    def wrap(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, place: JobPlace) -> Command:
        """The command that runs `argv` in `cwd` (inside `place.work`) with exactly `env`, plus HOME and TMPDIR."""


def detect(wanted: str | None, hidden: Sequence[Path]) -> Executor:
    """The wanted executor, else bubblewrap where it really works (tried once, about 10 ms, blocking), else process.

    `hidden`: folders no job may see (the runner's data, the server's data). Raises BadInput when `wanted` is
    not known or does not work here, with the reason.
    """
    raise NotImplementedError
