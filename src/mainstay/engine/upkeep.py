"""Loops that keep promises by the clock: leases that run out, jobs that no runner fits."""

import asyncio
import logging

from mainstay.engine import enrol, fit
from mainstay.engine.clock import Clock
from mainstay.engine.lease import Lease
from mainstay.engine.wake import Wake
from mainstay.store.database import Database

LEAST_PAUSE_S = 5.0
"""Nothing here asks the database more often when nothing happens."""
SETTLE_S = 0.2
"""Runners and jobs come in bursts: one look for all of them."""

log = logging.getLogger(__name__)


class Upkeep:
    """What has to be looked at when time passes or runners come and go."""

    def __init__(self, database: Database, clock: Clock, wake: Wake, lease: Lease) -> None:
        self._database = database
        self._clock = clock
        self._wake = wake
        self._lease = lease

    async def lease_loop(self) -> None:
        """Give up attempts whose lease ran out.

        A server that was just started waits a whole lease before it gives anything up: its runners could not renew
        while it was away. So does one that was stopped, or whose machine slept or had its clock set: it finds that much
        more time has gone by than it meant to sleep. Another server that was there all the time need not wait.
        """
        await asyncio.sleep(self._lease.seconds)
        while True:
            now = self._clock.now()
            due = await self._database.read(enrol.next_expiry)
            if due is not None and due < now:
                due = await self._database.write(enrol.give_up_expired, now, self._lease)
            pause = self._lease.seconds / 2 if due is None else (due - now).total_seconds()
            pause = min(max(pause, LEAST_PAUSE_S), self._lease.seconds / 2)
            before = self._clock.now()
            await asyncio.sleep(pause)
            if (self._clock.now() - before).total_seconds() > pause + self._lease.seconds / 3:
                log.warning("This server was away for a while: its runners may renew their leases first")
                await asyncio.sleep(self._lease.seconds)

    async def fit_loop(self) -> None:
        """Hold queued jobs that no connected runner fits; release them when one comes."""
        with self._wake.watch("runners", "queue") as told:
            while True:
                now = self._clock.now()
                if await self._database.read(fit.moves, now, self._lease):
                    await self._database.write(fit.refit, now, self._lease)
                await told.wait(self._lease.seconds)
                await asyncio.sleep(SETTLE_S)
