"""Bundles that jobs keep: streamed into the blob store, then named by a row."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from mainstay.engine.clock import Clock
from mainstay.model.errors import BadInput, NotFound, TooLarge
from mainstay.store import artifacts, logs
from mainstay.store.artifacts import NewArtifact
from mainstay.store.blobs import Blobs
from mainstay.store.database import Database, Tx
from mainstay.wire.runner import Artifacts as ArtifactList
from mainstay.wire.runner import Stored, StoredArtifact

MAX_NAME = 255
MAX_BYTES = 5 * 1024 * 1024 * 1024
ATTEMPT_BYTES = 20 * 1024 * 1024 * 1024
"""Of all artifacts of one attempt: a job must not fill the server's disk."""
ATTEMPT_COUNT = 500
KINDS = frozenset({"artifact", "coverage"})


class Artifacts:
    """The artifacts of all attempts."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    async def of_attempt(self, runner_id: int, attempt_id: int) -> ArtifactList:
        """The artifacts of the build that a running attempt belongs to."""
        await self._database.read(_check, runner_id, attempt_id)
        rows = await self._database.read(artifacts.of_build_of, attempt_id)
        return ArtifactList(
            tuple(StoredArtifact(row.name, row.size_bytes, row.kind, row.job, row.blob) for row in rows)
        )

    async def open_named(self, runner_id: int, attempt_id: int, name: str) -> tuple[int, AsyncIterator[bytes]]:
        """Size and bytes of an artifact of the same build. Raises NotFound."""
        await self._database.read(_check, runner_id, attempt_id)
        for row in await self._database.read(artifacts.of_build_of, attempt_id):
            if row.name == name:
                return row.size_bytes, self._blobs.stream(row.blob)
        raise NotFound(f"the build has no artifact {name[:200]!r}")

    async def open(self, artifact_id: int) -> tuple[str, int, AsyncIterator[bytes]]:
        """Name, size and bytes of an artifact. Raises NotFound."""
        row = await self._database.read(artifacts.get, artifact_id)
        if row is None:
            raise NotFound(f"there is no artifact with the id {artifact_id}; it may have been deleted by its retention")
        return row.name, row.size_bytes, self._blobs.stream(row.blob)

    async def put(
        self, runner_id: int, attempt_id: int, name: str, kind: str, stream: AsyncIterator[bytes], days: int | None
    ) -> Stored:
        """Store a bundle under a name; the same name again replaces it."""
        if not 0 < len(name) <= MAX_NAME or name in (".", "..") or any(sign in name for sign in '/\\\0\n\r":<>|*?'):
            raise BadInput(f"{name[:80]!r} is no name for an artifact")
        if kind not in KINDS:
            raise BadInput(f"{kind[:40]!r} is no kind of artifact; it is one of {', '.join(sorted(KINDS))}")
        place = await self._database.read(logs.place, attempt_id)
        if place is None or place.runner_id != runner_id:
            raise NotFound(f"this runner holds no attempt {attempt_id}")
        if place.state not in ("running", "lost"):
            return Stored(accepted=False, reason=f"the attempt is {place.state}")
        count, kept = await self._database.read(artifacts.kept_by, attempt_id, name)
        if count >= ATTEMPT_COUNT or kept >= ATTEMPT_BYTES:
            raise TooLarge(
                f"the attempt has {count} artifacts of {kept} bytes already; at most {ATTEMPT_COUNT} and "
                f"{ATTEMPT_BYTES >> 30} GiB are kept of one"
            )
        blob, size = await self._blobs.put_stream(stream, min(MAX_BYTES, ATTEMPT_BYTES - kept))
        now = self._clock.now()
        keep_until = None if days is None else now + timedelta(days=days)
        new = NewArtifact(attempt_id, name, kind, size, blob, keep_until)
        await self._database.write(_put, new, now)
        return Stored(stored=size)


def _check(tx: Tx, runner_id: int, attempt_id: int) -> None:
    place = logs.place(tx, attempt_id)
    if place is None or place.runner_id != runner_id or place.state != "running":
        raise NotFound(f"this runner runs no attempt {attempt_id}")


def _put(tx: Tx, new: NewArtifact, now: datetime) -> None:
    artifacts.put(tx, new, now)
