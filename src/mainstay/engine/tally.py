"""What has happened since this process began, counted for `/metrics`: read from the story, so no hot road counts.

Each server counts what all of them did: look at one of them, or at the largest.
"""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mainstay.engine.wake import Wake
from mainstay.model.events import Event, EventKind
from mainstay.store import events
from mainstay.store.database import Database
from mainstay.store.views import spans

BOUNDS_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
PAUSE_S = 2.0
"""Events are read together, not one by one."""


@dataclass(slots=True)
class Histogram:
    """How many spans were at most each of the bounds, and all of them together."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one span."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += max(0.0, seconds)


class Tally:
    """Counts builds, attempts and what went wrong."""

    def __init__(self, database: Database, wake: Wake) -> None:
        self._database = database
        self._wake = wake
        self._last: int | None = None
        self.builds: Counter[str] = Counter()
        """Builds that ended, by state."""
        self.attempts: Counter[str] = Counter()
        """Attempts that ended, by state."""
        self.troubles: Counter[str] = Counter()
        """Remotes that could no longer be read, runners that went silent, ends that came too late."""
        self.waited = Histogram()
        """From when an attempt was queued to its start."""
        self.ran = Histogram()
        """From an attempt's start to its end."""

    async def loop(self) -> None:
        """Count as the story goes on."""
        with self._wake.watch("events") as told:
            if self._last is None:
                self._last = await self._database.read(events.last_id)
            while True:
                while await self.count():
                    pass
                await told.wait()
                await asyncio.sleep(PAUSE_S)

    async def count(self) -> int:
        """Count the next events; give how many."""
        found = await self._database.read(events.since, self._last or 0)
        if not found:
            return 0
        ended = [each.attempt_id for each in found if each.kind == EventKind.ATTEMPT_ENDED and each.attempt_id]
        for queued, started, finished in await self._database.read(spans.of_attempts, ended):
            self._observe(queued, started, finished)
        self._tell(found)
        self._last = found[-1].id
        return len(found)

    def _observe(self, queued: datetime, started: datetime | None, finished: datetime | None) -> None:
        if started is not None:
            self.waited.observe((started - queued).total_seconds())
            if finished is not None:
                self.ran.observe((finished - started).total_seconds())

    def _tell(self, found: Sequence[Event]) -> None:
        for each in found:
            match each.kind:
                case EventKind.BUILD_ENDED:
                    self.builds[str(each.details.get("state"))] += 1
                case EventKind.ATTEMPT_ENDED:
                    self.attempts[str(each.details.get("state"))] += 1
                case EventKind.REPOSITORY_UNREACHABLE | EventKind.RUNNER_FAILED | EventKind.ATTEMPT_IGNORED:
                    self.troubles[each.kind.value] += 1
                case _:
                    pass
