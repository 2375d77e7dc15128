"""Gives the jobs of a build the durations that they divide their tests by: the same to each, whenever it asks."""

import asyncio

import msgspec

from mainstay.model.errors import NotFound
from mainstay.store import durations, jobs, logs
from mainstay.store.database import Database, Tx
from mainstay.store.zstd import compress, decompress

MAX_BYTES = 1 << 30


class Durations:
    """Those of all builds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_attempt(self, runner_id: int, attempt_id: int) -> bytes:
        """A JSON object, seconds by name: as it was when the first job of the build asked. Raises NotFound."""
        build_id, repository_id, known = await self._database.read(_asked, runner_id, attempt_id)
        if known is None:
            found = await self._database.read(durations.of_repository, repository_id)
            packed = await asyncio.to_thread(lambda: compress(msgspec.json.encode(found)))
            known = await self._database.write(durations.pin, build_id, packed)
        return await asyncio.to_thread(decompress, known, MAX_BYTES)


def _asked(tx: Tx, runner_id: int, attempt_id: int) -> tuple[int, int, bytes | None]:
    place = logs.place(tx, attempt_id)
    if place is None or place.runner_id != runner_id:
        raise NotFound(f"this runner holds no attempt {attempt_id}")
    job, _ = jobs.of_attempt(tx, attempt_id)
    return job.build_id, job.repository_id, durations.pinned(tx, job.build_id)
