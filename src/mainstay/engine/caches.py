"""Caches that jobs keep for later builds: found by key, in the scope of their own ref and then of the default branch.

Only trusted builds write; a cache is never changed once it is there.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.engine.clock import Clock
from mainstay.engine.starts import default_ref
from mainstay.model.errors import BadInput, NotFound
from mainstay.store import builds, caches, jobs, logs, repositories
from mainstay.store.blobs import Blobs
from mainstay.store.database import Database, Tx
from mainstay.wire.runner import CacheFound, Stored

MAX_BYTES = 2 * 1024 * 1024 * 1024
"""Of one cache."""
REPOSITORY_BYTES = 10 * 1024 * 1024 * 1024
"""Of all caches of a repository: the least recently used go first."""
MAX_KEY = 512
MAX_PREFIXES = 20


@dataclass(frozen=True, slots=True)
class _Speaker:
    """For whom a cache is looked up or stored."""

    repository_id: int
    ref: str
    default: str | None
    trusted: bool

    @property
    def scopes(self) -> list[str]:
        """Whose caches it may read, its own first."""
        return list(dict.fromkeys(ref for ref in (self.ref, self.default) if ref is not None))


class Caches:
    """The caches of all repositories."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    async def find(
        self, runner_id: int, attempt_id: int, key: str, prefixes: Sequence[str], version: str
    ) -> CacheFound:
        """The cache that fits best. Raises NotFound when none does."""
        _check_key(key)
        if len(prefixes) > MAX_PREFIXES:
            raise BadInput(f"{len(prefixes)} restore keys; at most {MAX_PREFIXES} are looked at")
        found = await self._database.read(_find, runner_id, attempt_id, key, prefixes, version)
        await self._database.write(caches.touch, found.id, self._clock.now())
        return found

    async def open(self, runner_id: int, attempt_id: int, cache_id: int) -> tuple[int, AsyncIterator[bytes]]:
        """Size and bytes of a cache that `find` gave. Raises NotFound."""
        speaker = await self._database.read(_speaker, runner_id, attempt_id)
        row = await self._database.read(caches.get, speaker.repository_id, cache_id)
        if row is None or row.scope not in speaker.scopes:
            raise NotFound(f"there is no cache {cache_id} any more")
        return row.size_bytes, self._blobs.stream(row.blob)

    async def put(
        self, runner_id: int, attempt_id: int, key: str, version: str, stream: AsyncIterator[bytes]
    ) -> Stored:
        """Store a cache for the attempt's ref; one with the same key stays as it is."""
        _check_key(key)
        speaker = await self._database.read(_speaker, runner_id, attempt_id)
        if not speaker.trusted:
            return Stored(accepted=False, reason="an untrusted build writes no caches")
        blob, size = await self._blobs.put_stream(stream, MAX_BYTES)
        await self._database.write(_add, speaker, key, version, size, blob, self._clock.now())
        return Stored(stored=size)


def _check_key(key: str) -> None:
    if not 0 < len(key) <= MAX_KEY or "," in key or any(ord(character) < 32 for character in key):
        raise BadInput(f"a cache's key has 1 to {MAX_KEY} characters and no comma or control character")


def _speaker(tx: Tx, runner_id: int, attempt_id: int) -> _Speaker:
    place = logs.place(tx, attempt_id)
    if place is None or place.runner_id != runner_id or place.state != "running":
        raise NotFound(f"this runner runs no attempt {attempt_id}")
    job, _ = jobs.of_attempt(tx, attempt_id)
    row = builds.get(tx, job.build_id)
    repository = repositories.get(tx, row.repository_id)
    default = default_ref(repository, repositories.reached(tx, repository.id))
    return _Speaker(row.repository_id, row.ref, default, row.trusted)


def _find(tx: Tx, runner_id: int, attempt_id: int, key: str, prefixes: Sequence[str], version: str) -> CacheFound:
    speaker = _speaker(tx, runner_id, attempt_id)
    row = caches.find(tx, speaker.repository_id, speaker.scopes, version, key, prefixes)
    if row is None:
        raise NotFound(f"there is no cache with the key {key!r}")
    return CacheFound(row.id, row.key, row.size_bytes, row.blob)


def _add(tx: Tx, speaker: _Speaker, key: str, version: str, size: int, blob: str, now: datetime) -> None:
    caches.add(tx, speaker.repository_id, speaker.ref, key, version, size, blob, now)
