"""Bundles that jobs keep: streamed into the blob store, then named by a row."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from mainstay.engine.clock import Clock
from mainstay.model.errors import BadInput, NotFound
from mainstay.store import artifacts, logs
from mainstay.store.artifacts import NewArtifact
from mainstay.store.blobs import Blobs
from mainstay.store.database import Database, Tx
from mainstay.wire.runner import Stored

MAX_NAME = 255
MAX_BYTES = 5 * 1024 * 1024 * 1024
KINDS = frozenset({"artifact", "coverage"})


class Artifacts:
    """The artifacts of all attempts."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    async def put(
        self, runner_id: int, attempt_id: int, name: str, kind: str, stream: AsyncIterator[bytes], days: int | None
    ) -> Stored:
        """Store a bundle under a name; the same name again replaces it."""
        if not 0 < len(name) <= MAX_NAME or any(character in name for character in '/\\\0\n\r":<>|*?'):
            raise BadInput(f"{name[:80]!r} is no name for an artifact")
        if kind not in KINDS:
            raise BadInput(f"{kind[:40]!r} is no kind of artifact; it is one of {', '.join(sorted(KINDS))}")
        place = await self._database.read(logs.place, attempt_id)
        if place is None or place.runner_id != runner_id:
            raise NotFound(f"this runner holds no attempt {attempt_id}")
        if place.state not in ("running", "lost"):
            return Stored(accepted=False, reason=f"the attempt is {place.state}")
        blob, size = await self._blobs.put_stream(stream, MAX_BYTES)
        now = self._clock.now()
        keep_until = None if days is None else now + timedelta(days=days)
        new = NewArtifact(attempt_id, name, kind, size, blob, keep_until)
        await self._database.write(_put, new, now)
        return Stored(stored=size)


def _put(tx: Tx, new: NewArtifact, now: datetime) -> None:
    artifacts.put(tx, new, now)
