"""How the actions of a job reach what other jobs kept, and keep caches for later builds; here with a server."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple, Unpack

from mainstay.model.errors import MainstayError, NotFound
from mainstay.runner.backoff import Backoff
from mainstay.runner.calls import Calls
from mainstay.runner.deliver import GREET
from mainstay.runner.journal import Journal, KeptArtifact
from mainstay.runner.threads import Threads
from mainstay.wire.runner import CacheFound, StoredArtifact

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

ARTIFACTS_WAIT_S = 600.0
"""How long a job waits for a server that is away when it needs an artifact."""
CACHES_WAIT_S = 30.0
"""And when it looks for a cache, which it can do without."""


class Shelf(Protocol):
    """Artifacts of the same build, and caches. All raise MainstayError, and OSError for the disk of this machine."""

    async def artifacts(self) -> tuple[StoredArtifact, ...]:
        """Those of the build so far, and those that this attempt kept itself."""

    async def fetch_artifact(self, artifact: StoredArtifact, target: Path) -> None:
        """Write its zip to `target`."""

    async def find_cache(self, key: str, prefixes: Sequence[str], version: str) -> CacheFound | None:
        """The cache with that key, else the newest whose key begins with the first prefix that has any."""

    async def fetch_cache(self, cache: CacheFound, target: Path) -> None:
        """Write it to `target`."""

    async def put_cache(self, key: str, version: str, digest: str, path: Path) -> str | None:
        """Keep it; why it was not kept, if so. One that is there already stays as it is."""

    async def durations(self, target: Path) -> None:
        """Write to `target` how long tests take: a JSON object, the same for all jobs of the build."""


class ServerShelf:
    """That of the server; what this attempt kept comes from its own journal, where it may still wait for delivery."""

    def __init__(self, journal: Journal, calls: Calls, threads: Threads, greet: Callable[[], None]) -> None:
        """`greet`: the server wants to hear hello."""
        self._journal = journal
        self._calls = calls
        self._threads = threads
        self._greet = greet

    async def artifacts(self) -> tuple[StoredArtifact, ...]:
        """The server's list and the journal's; of the same name, the journal's is the newer one."""
        found = await self._asked(ARTIFACTS_WAIT_S, self._calls.artifacts, self._journal.attempt)
        own = [
            StoredArtifact(name, kept.artifact.size_bytes, kept.artifact.kind, "")
            for name, kept in (await self._own()).items()
        ]
        known = {each.name: each for each in (*found.items, *own)}
        return tuple(known[name] for name in sorted(known))

    async def fetch_artifact(self, artifact: StoredArtifact, target: Path) -> None:
        """From the journal if it is this attempt's own."""
        kept = (await self._own()).get(artifact.name)
        if kept is not None:
            await self._threads.run(shutil.copyfile, kept.path, target)
            return
        await self._asked(ARTIFACTS_WAIT_S, self._calls.fetch_artifact, self._journal.attempt, artifact, target)

    async def find_cache(self, key: str, prefixes: Sequence[str], version: str) -> CacheFound | None:
        """A miss is None."""
        calls, attempt = self._calls, self._journal.attempt
        try:
            return await self._asked(CACHES_WAIT_S, calls.find_cache, attempt, key, prefixes, version)
        except NotFound:
            return None

    async def fetch_cache(self, cache: CacheFound, target: Path) -> None:
        """As it is stored."""
        await self._asked(CACHES_WAIT_S, self._calls.fetch_cache, self._journal.attempt, cache, target)

    async def put_cache(self, key: str, version: str, digest: str, path: Path) -> str | None:
        """The server's reason, if it does not want it."""
        calls, attempt = self._calls, self._journal.attempt
        stored = await self._asked(CACHES_WAIT_S, calls.put_cache, attempt, key, version, digest, path)
        return None if stored.accepted else stored.reason or "the server does not want it"

    async def durations(self, target: Path) -> None:
        """As the server has pinned them for the build."""
        await self._asked(ARTIFACTS_WAIT_S, self._calls.durations, self._journal.attempt, target)

    async def _own(self) -> dict[str, KeptArtifact]:
        kept = await self._threads.run(self._journal.artifacts)
        return {each.artifact.name: each for each in kept}

    async def _asked(self, patience_s: float, call: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """The answer to a call, which is repeated while the server is away, but not for longer than `patience_s`."""
        backoff, until = Backoff(), asyncio.get_running_loop().time() + patience_s
        while True:
            try:
                return await self._threads.run(call, *args)
            except MainstayError as error:
                if error.status == GREET:
                    self._greet()
                elif error.status < 500:
                    raise
                if asyncio.get_running_loop().time() > until:
                    raise
            await asyncio.sleep(backoff.failed())
