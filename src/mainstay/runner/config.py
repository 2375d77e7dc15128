"""What a runner is started with."""

from dataclasses import dataclass
from pathlib import Path

from mainstay.runner.environment import architecture

IMAGE = "docker.io/library/python:3.13"
"""Has git, a compiler and bash beside Python."""
MOST_PROCESSES = 8192
"""Of all jobs together: far above what jobs need, far below what a machine can bear."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one runner."""

    server: str
    """`http(s)://host[:port]`."""
    token: str
    name: str
    data: Path
    """The runner's own folder: journal, mirrors, work trees, caches. One runner at a time uses it."""
    labels: tuple[str, ...] = ()
    """Beside those that every runner has (`own_labels`)."""
    capacity: int = 1
    executor: str | None = None
    """`process`, `bubblewrap`, `container`, or None: the best that works here."""
    engine: str | None = None
    """`podman`, `docker`, `none`, or None: the first that works here."""
    image: str = IMAGE
    """What jobs without a container of their own run in, with the executor `container`."""
    open_containers: bool = False
    """Jobs may open the machine through their containers: privileged ones, any folder of it."""
    mirrors: Path | None = None
    """The server's mirrors, when the server is on this machine and they can be read."""
    once: bool = False
    """Take one job and end."""
    processes: int = MOST_PROCESSES
    """Processes and threads that all jobs together may have, where the system can limit them; a job's own limit counts
    for itself."""


def own_labels() -> tuple[str, ...]:
    """What every runner is: `linux`, its architecture, `self-hosted`."""
    return ("linux", architecture().lower(), "self-hosted")
