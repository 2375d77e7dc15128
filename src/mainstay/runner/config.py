"""What a runner is started with."""

from dataclasses import dataclass
from pathlib import Path

from mainstay.runner.environment import architecture


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
    """`process`, `bubblewrap`, or None: the best that works here."""
    mirrors: Path | None = None
    """The server's mirrors, when the server is on this machine and they can be read."""
    once: bool = False
    """Take one job and end."""


def own_labels() -> tuple[str, ...]:
    """What every runner is: `linux`, its architecture, `self-hosted`."""
    return ("linux", architecture().lower(), "self-hosted")
