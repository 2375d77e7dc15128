"""The runner: says hello, keeps one poll open, obeys the orders it brings, and ends in good order."""

import asyncio
import logging
import platform
import secrets
import signal

from mainstay import __version__
from mainstay.model.errors import BadInput, MainstayError, NotAllowed, NotSignedIn
from mainstay.model.states import AttemptState
from mainstay.runner import setup
from mainstay.runner.attempts import Attempts
from mainstay.runner.backoff import Backoff
from mainstay.runner.calls import Calls
from mainstay.runner.config import Config, own_labels
from mainstay.runner.deliver import GREET
from mainstay.runner.setup import Premises
from mainstay.runner.tasks import Tasks
from mainstay.runner.threads import Threads
from mainstay.wire.client import server_url
from mainstay.wire.runner import Hello, Orders, Poll, Welcome

SETTLE_S = 0.1
"""After taking its last free slot, a runner waits this long before it polls again: a trivial job has ended then."""
FAREWELL_S = 10.0
"""How long a runner that ends goes on trying to deliver; what is left is delivered when it starts again."""
SIGN_OFF_S = 1.0
USELESS_S = 0.5
"""Before the next poll when the last one brought only what is known: no hot loop, whatever the server thinks."""
POLL_THREADS = 4
CONTAINER = "container"
"""The label of runners that can run containers."""
UPLOAD_THREADS = 4
JOURNAL_BYTES = 20 << 30
"""With more than this undelivered, no new work is taken."""

log = logging.getLogger(__name__)


class Runner:
    """One runner process. `run` once."""

    def __init__(self, config: Config) -> None:
        """Raises BadInput when the server's address makes no sense."""
        self._config = config
        self._boot = secrets.token_hex(8)
        self._calls = Calls(server_url(config.server), config.token, connections=8 + 2 * config.capacity)
        self._welcome: Welcome | None = None
        """The server's last answer to hello; None: hello has to be said (again)."""
        self._tasks = Tasks()
        self._threads = Threads(POLL_THREADS)
        """For polls alone: uploads that hang must not keep leases from being renewed."""
        self._polls: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        """Something has changed that the server is to know, or the runner may end."""
        self._backoff = Backoff()
        self._offered: tuple[str, ...] = ()
        """Labels of what was found on this machine."""
        self._draining = False
        self._over_budget = False

    async def run(self) -> int:
        """Work until it is told to end; the exit code. Raises MainstayError or OSError when it cannot even begin."""
        premises = await setup.open_premises(self._config, self._calls.url)
        uploads = Threads(UPLOAD_THREADS + 2 * self._config.capacity)
        attempts = Attempts(premises, self._calls, uploads, self._tasks, self._news.set, self._must_greet)
        try:
            self._listen(attempts)
            self._tasks.spawn(self._look_for_engine(premises), "looking for a container engine")
            await attempts.take_over()
            if await self._greet_first(premises, attempts):
                await self._poll_until_done(premises, attempts)
                await self._sign_off(premises, attempts)
                await self._say_farewell(attempts)
        finally:
            await self._tasks.cancel()
            await setup.close_premises(premises)
        return 0

    # Ending.

    def _listen(self, attempts: Attempts) -> None:
        def told() -> None:
            if self._draining:
                attempts.hand_back("handed back by the runner")
            else:
                self._drain("a signal")

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told)

    def _drain(self, cause: str) -> None:
        """Take no more work; end when the running jobs have ended."""
        if not self._draining:
            log.info("taking no more work, ending when the running jobs have ended (%s)", cause)
            self._draining = True
            self._news.set()

    async def _sign_off(self, premises: Premises, attempts: Attempts) -> None:
        """Tell the server to expect nothing more, and hear what it said before it knew."""
        if self._welcome is not None:
            last = asyncio.ensure_future(self._poll(premises, attempts, self._welcome, wait_s=0.0, leaving=True))
            _, late = await asyncio.wait({last, *self._polls}, timeout=SIGN_OFF_S)
            for poll in late:
                poll.cancel()

    async def _say_farewell(self, attempts: Attempts) -> None:
        """Deliver what can be delivered soon."""
        until = asyncio.get_running_loop().time() + FAREWELL_S
        while attempts.unfinished and asyncio.get_running_loop().time() < until:
            self._news.clear()
            await self._wait_for_news(0.5)
        if attempts.deliveries:
            log.warning("%d attempts stay in the journal until the next start", len(attempts.deliveries))

    async def _wait_for_news(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    # Greeting.

    async def _greet_first(self, premises: Premises, attempts: Attempts) -> bool:
        """Hello until it is answered; False: told to end before. Raises what will not change by itself."""
        while not self._draining:
            try:
                await self._greet(premises, attempts)
            except (NotSignedIn, NotAllowed, BadInput):
                raise
            except MainstayError as error:
                await self._back_off(error)
            else:
                return True
        return False

    async def _greet(self, premises: Premises, attempts: Attempts) -> None:
        message = Hello(
            name=self._config.name,
            boot=self._boot,
            version=__version__,
            labels=tuple(dict.fromkeys((*own_labels(), *self._offered, *self._config.labels))),
            capacity=self._config.capacity,
            executor="container" if premises.machine.engines.image else premises.machine.executor.name,
            holding=attempts.held,
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
        )
        offered = self._offered
        self._welcome = await self._threads.run(self._calls.hello, message)
        log.info("%s knows this runner as %s, number %d", self._calls.url, message.name, self._welcome.runner)
        self._worked(attempts)
        for attempt in self._welcome.drop:
            attempts.drop(attempt)
        if self._offered != offered:
            self._must_greet()  # an engine was found while this hello was on its way

    async def _look_for_engine(self, premises: Premises) -> None:
        """Offer containers as soon as they are known to work: the first jobs need not wait for that."""
        found = await premises.machine.engines.get()
        if found.engine is None:
            log.info("no containers: %s", found.reason)
            return
        log.info("containers are made by %s %s", found.engine.kind, found.engine.version)
        self._offered = (CONTAINER,)
        if self._welcome is not None:
            self._must_greet()

    def _must_greet(self) -> None:
        self._welcome = None
        self._news.set()

    # Polling.

    async def _poll_until_done(self, premises: Premises, attempts: Attempts) -> None:
        while not self._draining or attempts.running:
            self._news.clear()
            try:
                if self._welcome is None:
                    await self._greet(premises, attempts)
                else:
                    await self._poll_once(premises, attempts, self._welcome)
            except MainstayError as error:
                await self._back_off(error)
            except Exception:
                log.exception("a round of polling failed; the next is in a second")
                await asyncio.sleep(1.0)

    async def _poll_once(self, premises: Premises, attempts: Attempts, welcome: Welcome) -> None:
        """Open a poll, and return when it is answered or something has changed that the next one is to say."""
        before = set(attempts.running)
        poll = asyncio.ensure_future(self._poll(premises, attempts, welcome))
        self._polls.add(poll)
        poll.add_done_callback(self._polls.discard)
        news = asyncio.ensure_future(self._news.wait())
        await asyncio.wait({poll, news}, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        if len(self._polls) > 1 and (attempts.running or not self._draining):
            # An older poll is answered by the server as soon as it has the new one.
            await asyncio.wait(self._polls, return_when=asyncio.FIRST_COMPLETED)
        if set(attempts.running) - before and not self._free(attempts):
            await self._wait_for_news(SETTLE_S)

    async def _poll(
        self,
        premises: Premises,
        attempts: Attempts,
        welcome: Welcome,
        wait_s: float | None = None,
        *,
        leaving: bool = False,
    ) -> None:
        message = Poll(
            boot=self._boot,
            free=self._free(attempts),
            running=attempts.held,
            wait_s=min(welcome.poll_s, welcome.lease_s / 3) if wait_s is None else wait_s,
            draining=self._draining,
            leaving=leaving,
        )
        try:
            orders = await self._threads.run(self._calls.poll, message)
        except MainstayError as error:
            if error.status == GREET:
                self._must_greet()
            await self._back_off(error)
            return
        except Exception:
            log.exception("a poll failed")
            await asyncio.sleep(1.0)
            return
        self._worked(attempts)
        if not self._obey(orders, attempts, welcome):
            await asyncio.sleep(USELESS_S)

    def _free(self, attempts: Attempts) -> int:
        """How many more jobs would be taken now."""
        if self._draining:
            return 0
        size = attempts.undelivered_bytes
        if size > JOURNAL_BYTES and not self._over_budget:
            log.warning("%d MiB wait for their delivery; no new work until the server has them", size >> 20)
        self._over_budget = size > JOURNAL_BYTES
        capacity = 1 if self._config.once else self._config.capacity
        return 0 if self._over_budget else capacity - len(attempts.running)

    def _obey(self, orders: Orders, attempts: Attempts, welcome: Welcome) -> bool:
        """Do as told; False when the server only gave what this runner has had already."""
        for number in orders.drop:
            attempts.drop(number)
        for cancel in orders.cancel:
            attempts.cancel(cancel.attempt, cancel.reason)
        taken = 0
        for assignment in orders.assign:
            if self._draining:
                attempts.refuse(assignment, AttemptState.LOST, "handed back: the runner is about to end")
            elif attempts.take(assignment, welcome.log_limit_bytes):
                taken += 1
                if self._config.once:
                    self._drain("one job was asked for")
        if orders.drain:
            self._drain("the server asked for it")
        return taken > 0 or not orders.assign

    async def _back_off(self, error: MainstayError) -> None:
        if not self._backoff.failing:
            log.warning("%s", error)
        await asyncio.sleep(self._backoff.failed())

    def _worked(self, attempts: Attempts) -> None:
        """The server has answered."""
        if self._backoff.failing:
            log.info("%s answers again", self._calls.url)
            self._backoff.worked()
            attempts.retry_now()
