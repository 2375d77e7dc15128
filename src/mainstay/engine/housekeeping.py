"""What is done on the side: packing logs into the blob store, retention, sweeping blobs nobody refers to."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from mainstay.engine.caches import REPOSITORY_BYTES
from mainstay.engine.clock import Clock
from mainstay.engine.figures import DAY_MS
from mainstay.engine.logs import Logs
from mainstay.engine.mirrors import Mirrors
from mainstay.engine.wake import Wake
from mainstay.flow import retain
from mainstay.flow.retain import Rules
from mainstay.store import caches, durations, logs, reports, repositories, retention
from mainstay.store.blobs import Blobs
from mainstay.store.database import Database, Tx
from mainstay.store.types import milliseconds

PACK_PAUSE_S = 30.0
"""Logs of ended attempts rest this long before they are packed: they are read most while they are fresh."""
ROUND_S = 3600.0
"""Between two rounds of retention."""
TEST_DAYS = 400
"""What tests add up to per day is kept for so many days; it outlives their results."""
SWEEP_OLDER_S = 24 * 3600.0
"""A blob is swept only when it is older than this: a row may be about to refer to it."""

log = logging.getLogger(__name__)


class Housekeeping:
    """Keeps the database small and deletes what the rules no longer keep."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        mirrors: Mirrors,
        all_logs: Logs,
        clock: Clock,
        wake: Wake,
        rules: Rules,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._mirrors = mirrors
        self._logs = all_logs
        self._clock = clock
        self._wake = wake
        self.rules = rules

    async def pack_loop(self) -> None:
        """Pack logs some time after attempts have ended; sleep while nothing happens."""
        with self._wake.watch("events") as told:
            while True:
                packed = await self.pack_some()
                if not packed:
                    await told.wait()
                await asyncio.sleep(PACK_PAUSE_S)

    async def pack_some(self) -> int:
        """Pack what is there to pack; give how many logs."""
        chosen = await self._database.read(logs.with_inline_pieces)
        for attempt_id in chosen:
            await self._logs.pack(attempt_id)
        return len(chosen)

    async def retention_loop(self) -> None:
        """A round of retention now and then."""
        while True:
            await asyncio.sleep(ROUND_S)
            await self.round()
            await self.tend_mirrors()

    async def round(self) -> dict[str, int]:
        """Delete what the rules no longer keep; give how much of what."""
        now = self._clock.now()
        due = retain.deadlines(self.rules, now)
        gone: dict[str, int] = {}
        if due.builds is not None:
            gone["builds"] = await self._all(retention.old_builds, due.builds)
        if due.logs is not None:
            gone["log pieces"] = await self._all(retention.old_logs, due.logs)
        if due.logs is not None:
            gone["divisions of tests"] = await self._database.write(durations.forget, due.logs)
        if due.tests is not None:
            gone["test results"] = await self._all(retention.old_tests, due.tests)
        await self._forget_test_days(now)
        if due.events is not None:
            gone["events"] = await self._all(retention.old_events, due.events)
        if due.audit is not None:
            gone["audit entries"] = await self._all(retention.old_audit, due.audit)
        gone["ended sessions"] = await self._database.write(retention.old_tokens, now)
        if due.reports is not None:
            gone["reports"] = await self._all(reports.old, due.reports)
        gone["artifacts"] = await self._database.write(retention.old_artifacts, due.artifacts, now)
        gone["caches"] = await self._database.write(caches.trim, REPOSITORY_BYTES)
        if due.removed_repositories is not None:
            await self._database.write(retention.removed_repositories, due.removed_repositories)
        await self._drop_mirrors()
        gone["blobs"] = await self.sweep()
        told = ", ".join(f"{count} {what}" for what, count in gone.items() if count)
        if told:
            log.info("Retention deleted %s", told)
        return gone

    async def _forget_test_days(self, now: datetime) -> None:
        before = milliseconds(now - timedelta(days=TEST_DAYS)) // DAY_MS
        reached: int | None = 0
        while reached is not None:
            reached = await self._database.write(retention.old_test_days, before, reached)

    async def _drop_mirrors(self) -> None:
        """Delete the mirrors of repositories that are in the database no more: another server may have deleted their
        rows, or this one was killed just then.
        """
        there = self._mirrors.present()  # first: one that is added meanwhile has its row before its mirror
        for repository_id in sorted(there - await self._database.read(retention.known_repositories)):
            await self._mirrors.drop(repository_id)
            await asyncio.to_thread(shutil.rmtree, self._mirrors.path_of(repository_id), True)

    async def tend_mirrors(self) -> None:
        """Pack the mirrors that hold many small files; nothing is dropped from them."""
        for repository in await self._database.read(repositories.all_of):
            await self._mirrors.of(repository.id).tend()

    async def sweep(self) -> int:
        """Delete blobs that no row refers to; give how many."""
        referenced = await self._database.read(retention.referenced_blobs)
        return await self._blobs.sweep(referenced, SWEEP_OLDER_S)

    async def _all(self, delete: Callable[[Tx, datetime], Any], before: datetime) -> int:
        total = 0
        while count := await self._database.write(delete, before):
            total += int(count)
            await asyncio.sleep(0)  # others write between the batches
        return total
