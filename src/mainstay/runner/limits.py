"""What a job may use of the machine: a control group per job where the system lets us make one, else rlimits.

Detection happens once and nothing here fails a job: where a limit cannot be enforced, `Groups.words` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Rlimits = Mapping[str, int]
"""Name without `RLIMIT_` (`DATA`, `NPROC`, `FSIZE`, `CORE`, `NOFILE`) to its value; soft and hard alike."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one job may use. None: no limit of ours."""

    memory_bytes: int | None = None
    """Of all its processes together (with rlimits only: of each process by itself)."""
    processes: int | None = None
    """Processes and threads at one time."""
    file_bytes: int | None = None
    """Of any one file it writes."""
    open_files: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A job's control group. Without one on this system every method is a no-op and `join` is empty."""

    limits: JobLimits = JobLimits()
    folders: tuple[Path, ...] = ()
    join: tuple[str, ...] = field(default=())
    """Files a process writes `0` to before it becomes the step: it and all its children belong to the group then."""

    def excess(self) -> str | None:
        """Which limit was hit, in words ("killed: over its memory limit of 512 MiB"); None: none was."""
        raise NotImplementedError

    def remove(self) -> bool:
        """Kill what is still in the group and remove it. False: something in it would not die (yet)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Groups:
    """What this system offers, found once at the runner's start."""

    kind: str
    """`cgroup v2`, `cgroup v1` or `rlimits`."""
    words: str
    """What is enforced and how, for `hello`, logs and `doctor`."""

    @staticmethod
    def detect(name: str) -> "Groups":
        """Look once. `name` (letters, digits, `-`) tells this runner's groups from another's; old ones are removed."""
        raise NotImplementedError

    def open(self, job: str, limits: JobLimits) -> Group:
        """A group for one job with its limits set; an empty one where there are none to be had."""
        raise NotImplementedError

    def rlimits(self, limits: JobLimits) -> Rlimits:
        """What is to be set on the steps' processes, given what the group enforces already."""
        raise NotImplementedError
