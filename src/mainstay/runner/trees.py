"""Work trees: kept between jobs, proven clean, never shared by two jobs at a time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from mainstay.model.errors import MainstayError
from mainstay.wire.runner import Source

Fetch = Callable[[Source, Path], Awaitable[None]]
"""Brings `source.commit` with its history into the bare mirror at the path, making the mirror when it is not there."""


class TreeBroken(MainstayError):
    """A work tree could not be made: our or the machine's fault (full disk, damaged mirror), in words."""

    code, status = "tree-broken", 503


@dataclass(frozen=True, slots=True)
class Tree:
    """A work tree that one job has to itself."""

    path: Path
    """What the job sees: files of the commit and a `.git` of its own."""
    commit: str
    """What is checked out; verified."""
    readable: tuple[Path, ...]
    """Object stores its `.git` refers to; a sandbox shows them read-only."""
    slot: Path
    """The folder that holds `path` and our private git folder; nobody else's business."""


class Trees:
    """All work trees of one runner: a pool per repository under `folder`."""

    def __init__(self, folder: Path, mirrors: Path | None, capacity: int, budget_bytes: int = 20 << 30) -> None:
        """`folder`: the runner's own (mirrors/, trees/, trash/). `mirrors`: the server's, when it is on this machine."""

    async def open(self) -> None:
        """At start: check what earlier runs left (trees that were in use are swept or thrown away)."""
        raise NotImplementedError

    async def acquire(self, source: Source, fetch: Fetch) -> Tree:
        """A clean work tree of exactly `source.commit`. Raises TreeBroken; what `fetch` raises passes through."""
        raise NotImplementedError

    async def release(self, tree: Tree) -> None:
        """Give it back: swept clean for the next job, or thrown away. Never raises. Not on the critical path."""
        raise NotImplementedError

    def prepare(self, source: Source, fetch: Fetch) -> None:
        """In the background: see to it that a spare tree of that repository lies ready."""
        raise NotImplementedError

    async def close(self) -> None:
        """Finish background work."""
        raise NotImplementedError
