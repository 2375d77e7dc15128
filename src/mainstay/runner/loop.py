"""The runner: says hello, keeps one poll open, runs what it is given, and sees to it that every end is delivered."""

import asyncio
import logging
import os
import platform
import secrets
import signal
from collections import deque
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from mainstay import __version__
from mainstay.model.errors import BadInput, MainstayError, NotAllowed, NotSignedIn
from mainstay.model.states import AttemptState
from mainstay.runner import recover, setup
from mainstay.runner.attempt import Attempt
from mainstay.runner.backoff import Backoff
from mainstay.runner.calls import Calls
from mainstay.runner.config import Config, own_labels
from mainstay.runner.deliver import GREET, Delivery, Unwanted
from mainstay.runner.journal import Journal
from mainstay.runner.setup import Premises
from mainstay.wire.client import server_url
from mainstay.wire.runner import Assignment, Finish, Hello, Orders, Poll, Welcome

SETTLE_S = 0.1
"""After taking its last free slot, a runner waits this long before it polls again: a trivial job has ended then."""
FAREWELL_S = 10.0
"""How long a runner that ends goes on trying to deliver; what is left is delivered when it starts again."""
JOURNAL_BYTES = 20 << 30
"""With more than this undelivered, no new work is taken."""
AGAIN_S = 5.0
REMEMBERED = 1000

log = logging.getLogger(__name__)


class Runner:
    """One runner process. `run` once."""

    def __init__(self, config: Config) -> None:
        """Raises BadInput when the server's address makes no sense."""
        self._config = config
        self._boot = secrets.token_hex(8)
        self._calls = Calls(server_url(config.server), config.token, connections=8 + 2 * config.capacity)
        self._premises: Premises | None = None
        self._welcome: Welcome | None = None
        self._running: dict[int, Attempt] = {}
        self._deliveries: dict[int, Delivery] = {}
        self._ended: deque[int] = deque(maxlen=REMEMBERED)
        """Attempts that were delivered: a late repeat of their assignment is not run again."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._polls: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        """Something has changed that the server is to know, or the runner may end."""
        self._backoff = Backoff()
        self._draining = False
        self._taken = 0
        self._over_budget = False

    @property
    def premises(self) -> Premises:
        """What the runner works with; there from the start of `run`."""
        if self._premises is None:
            raise RuntimeError("the runner has not been started")
        return self._premises

    async def run(self) -> int:
        """Work until it is told to end; the exit code. Raises MainstayError when it cannot even begin."""
        self._premises = await setup.open_premises(self._config, self._calls.url)
        try:
            self._listen()
            await self._take_over()
            if not await self._greet_first():
                return 0
            await self._poll_until_done()
            await self._say_farewell()
        finally:
            for attempt in list(self._running.values()):
                await attempt.job.hand_back("the runner ended")
            for task in (*self._tasks, *self._polls):
                task.cancel()
            await asyncio.gather(*self._tasks, *self._polls, return_exceptions=True)
            await setup.close_premises(self._premises)
        return 0

    # Ending.

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_end)

    def _told_to_end(self) -> None:
        if self._draining:
            self.hand_back()
        else:
            self.drain("a signal")

    def drain(self, cause: str) -> None:
        """Take no more work; end when the running jobs have ended."""
        if not self._draining:
            log.info("ending when %d running jobs have ended (%s)", len(self._running), cause)
            self._draining = True
            self._news.set()

    def hand_back(self) -> None:
        """Kill the running jobs; the server gives them to somebody else."""
        for attempt in self._running.values():
            self._spawn(attempt.job.hand_back("handed back by the runner"), f"hand back {attempt.journal.attempt}")

    @property
    def _done(self) -> bool:
        return self._draining and not self._running

    async def _say_farewell(self) -> None:
        """Deliver what can be delivered soon."""
        until = asyncio.get_running_loop().time() + FAREWELL_S
        while self._deliveries and asyncio.get_running_loop().time() < until:
            await self._wait_for_news(0.5)
        if self._deliveries:
            log.warning("%d attempts stay in the journal until the next start", len(self._deliveries))

    # Greeting.

    async def _take_over(self) -> None:
        """What an earlier process left is delivered; what it had not ended is lost."""
        if self.premises.leftovers:
            log.warning("ended %d processes that an earlier run had left", self.premises.leftovers)
        for journal in await self.premises.machine.threads.run(self.premises.journals.found):
            if journal.ended is None:
                try:
                    await self.premises.machine.threads.run(recover.give_up, journal)
                except OSError as error:
                    log.warning("attempt %d cannot be taken over: %s", journal.attempt, error)
                    continue
            log.info("attempt %d is in the journal and will be delivered", journal.attempt)
            self._deliver_found(journal)

    async def _greet_first(self) -> bool:
        """Hello until it is answered; False: told to end before. Raises what will not change by itself."""
        while not self._draining:
            try:
                await self._hello()
            except (NotSignedIn, NotAllowed, BadInput):
                raise
            except MainstayError as error:
                await self._back_off(error)
            else:
                return True
        return False

    async def _hello(self) -> None:
        machine = self.premises.machine
        message = Hello(
            name=self._config.name,
            boot=self._boot,
            version=__version__,
            labels=tuple(dict.fromkeys((*own_labels(), *self._config.labels))),
            capacity=self._config.capacity,
            executor=machine.executor.name,
            holding=tuple(sorted({*self._running, *self._deliveries})),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
        )
        self._welcome = await machine.threads.run(self._calls.hello, message)
        log.info("%s knows this runner as %s, number %d", self._calls.url, message.name, self._welcome.runner)
        self._worked()
        for attempt in self._welcome.drop:
            self._drop(attempt, "the server does not want it any more")

    def _must_greet(self) -> None:
        self._welcome = None
        self._news.set()

    # Polling.

    async def _poll_until_done(self) -> None:
        while not self._done:
            self._news.clear()
            if self._welcome is None:
                await self._greet_again()
                continue
            poll = self._spawn_poll(self._poll_once(self._welcome))
            news = asyncio.ensure_future(self._news.wait())
            # An older poll is answered by the server as soon as it has the new one.
            await asyncio.wait({poll, news}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
            if len(self._polls) > 1:
                await asyncio.wait(self._polls, return_when=asyncio.FIRST_COMPLETED)
            if self._taken and not self._free():
                await self._wait_for_news(SETTLE_S)
            self._taken = 0

    async def _greet_again(self) -> None:
        try:
            await self._hello()
        except MainstayError as error:
            await self._back_off(error)

    async def _poll_once(self, welcome: Welcome) -> None:
        holding = tuple(sorted({*self._running, *self._deliveries}))
        message = Poll(
            boot=self._boot,
            free=self._free(),
            running=holding,
            wait_s=min(welcome.poll_s, welcome.lease_s / 3),
            draining=self._draining,
        )
        try:
            orders = await self.premises.machine.threads.run(self._calls.poll, message)
        except MainstayError as error:
            if error.status == GREET:
                self._must_greet()
            await self._back_off(error)
            return
        self._worked()
        self._obey(orders)

    def _free(self) -> int:
        if self._draining:
            return 0
        if self._config.once:
            return 0 if self._running else 1
        size = sum(delivery.journal.size_bytes for delivery in self._deliveries.values())
        if size > JOURNAL_BYTES and not self._over_budget:
            log.warning("%d MiB are undelivered; no new work until the server has them", size >> 20)
        self._over_budget = size > JOURNAL_BYTES
        return 0 if self._over_budget else self._config.capacity - len(self._running)

    async def _back_off(self, error: MainstayError) -> None:
        if not self._backoff.failing:
            log.warning("%s", error)
        wait = self._backoff.failed()
        await asyncio.sleep(wait)

    def _worked(self) -> None:
        """The server has answered."""
        if self._backoff.failing:
            log.info("%s answers again", self._calls.url)
            self._backoff.worked()
            for delivery in self._deliveries.values():
                delivery.retry_now()

    def _obey(self, orders: Orders) -> None:
        for attempt in orders.drop:
            self._drop(attempt, "the server does not want it any more")
        for cancel in orders.cancel:
            held = self._running.get(cancel.attempt)
            if held is not None:
                held.job.stop(AttemptState.CANCELLED, cancel.reason)
        for assignment in orders.assign:
            if not any(assignment.attempt in known for known in (self._running, self._deliveries, self._ended)):
                self._take(assignment)
        if orders.drain:
            self.drain("the server asked for it")

    # Attempts.

    def _take(self, assignment: Assignment) -> None:
        if self._draining:
            self._refuse(assignment, AttemptState.LOST, "handed back: the runner is about to end")
            return
        log.info("attempt %d: %s of %s", assignment.attempt, assignment.name, assignment.source.repository)
        limit = self._welcome.log_limit_bytes if self._welcome else 1 << 30
        try:
            attempt = Attempt(
                assignment, self.premises.journals, self.premises.machine, self._calls, limit, self._must_greet
            )
        except OSError as error:
            words = f"{(error.strerror or str(error)).lower()} at {self._config.data}, so no journal could be begun"
            self._refuse(assignment, AttemptState.BROKEN, words)
            return
        self._taken += 1
        self._running[assignment.attempt] = attempt
        self._deliveries[assignment.attempt] = attempt.delivery
        self._spawn(self._attend(attempt), f"attempt {assignment.attempt}")
        self._spawn(self._deliver(attempt.delivery), f"delivery of {assignment.attempt}")
        if self._config.once:
            self.drain("one job was asked for")

    async def _attend(self, attempt: Attempt) -> None:
        """Run the job; its slot is free as soon as its processes have ended and its end is on disk."""
        try:
            await attempt.run()
        finally:
            self._running.pop(attempt.journal.attempt, None)
            self._news.set()
            await attempt.job.tidy()

    async def _deliver(self, delivery: Delivery) -> None:
        """Until it is stored or unwanted; a mistake of ours in between is logged and tried again."""
        while True:
            try:
                await delivery.run()
                break
            except Unwanted as error:
                await self._forget(delivery, str(error))
                break
            except Exception:
                log.exception("attempt %d: its delivery failed, trying again", delivery.attempt)
                await asyncio.sleep(AGAIN_S)
        self._ended.append(delivery.attempt)
        del self._deliveries[delivery.attempt]
        self._news.set() if self._draining else None

    async def _forget(self, delivery: Delivery, reason: str) -> None:
        log.warning("attempt %d is not wanted any more: %s", delivery.attempt, reason)
        held = self._running.get(delivery.attempt)
        if held is not None:
            held.job.stop(AttemptState.CANCELLED, reason)
        while delivery.attempt in self._running:
            await self._wait_for_news(1.0)
        await self.premises.machine.threads.run(delivery.journal.remove)

    def _drop(self, attempt: int, reason: str) -> None:
        delivery = self._deliveries.get(attempt)
        if delivery is not None:
            delivery.give_up(reason)

    def _deliver_found(self, journal: Journal) -> None:
        threads = self.premises.machine.threads
        delivery = Delivery(journal, self._calls, threads, lambda: recover.ready_bytes(journal), self._must_greet)
        for kept in journal.artifacts():
            delivery.add_artifact(kept)
        self._deliveries[journal.attempt] = delivery
        self._spawn(self._deliver(delivery), f"delivery of {journal.attempt}")

    def _refuse(self, assignment: Assignment, state: AttemptState, reason: str) -> None:
        """End an attempt that cannot even have a journal."""
        log.warning("attempt %d: %s", assignment.attempt, reason)
        self._ended.append(assignment.attempt)
        finish = Finish(state=state.value, started_at=None, finished_at=datetime.now(UTC), log_bytes=0, reason=reason)
        self._spawn(self._tell_refusal(assignment.attempt, finish), f"refusal of {assignment.attempt}")

    async def _tell_refusal(self, attempt: int, finish: Finish) -> None:
        backoff = Backoff(first_s=0.5)
        while True:
            try:
                await self.premises.machine.threads.run(self._calls.finish, attempt, finish)
            except MainstayError as error:
                if error.status < 500 and error.status != GREET:
                    raise
                await asyncio.sleep(backoff.failed())
            else:
                return

    # Tasks.

    async def _wait_for_news(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """The one place where tasks begin, and where their failures are heard."""
        task = asyncio.get_running_loop().create_task(_guarded(work, what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _spawn_poll(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(_guarded(work, "poll"))
        self._polls.add(task)
        task.add_done_callback(self._polls.discard)
        return task


async def _guarded(work: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await work
    except Exception:
        log.exception("%s failed", what)


def describe(config: Config) -> str:
    """One line for the log at the start."""
    return f"mainstay-runner {__version__}, process {os.getpid()}, {config.name} for {config.server}, {config.data}"
