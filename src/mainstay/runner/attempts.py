"""All attempts that a runner holds: those whose jobs run, and those that are not delivered yet."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from mainstay.model.errors import MainstayError
from mainstay.model.states import AttemptState
from mainstay.runner import recover
from mainstay.runner.attempt import Attempt
from mainstay.runner.backoff import Backoff
from mainstay.runner.calls import Calls
from mainstay.runner.deliver import GREET, Delivery, Unwanted
from mainstay.runner.journal import Journal
from mainstay.runner.setup import Premises
from mainstay.runner.shelf import ServerShelf
from mainstay.runner.tasks import Tasks
from mainstay.runner.threads import Threads
from mainstay.wire.runner import Assignment, Finish

AGAIN_S = 5.0
REMEMBERED = 1000
FETCHES = 8

log = logging.getLogger(__name__)


class Attempts:
    """Takes assignments, and sees each of them to its stored end."""

    def __init__(
        self,
        premises: Premises,
        calls: Calls,
        uploads: Threads,
        tasks: Tasks,
        changed: Callable[[], None],
        greet: Callable[[], None],
    ) -> None:
        """`uploads`: threads for speaking with the server; jobs have others.

        `changed`: a slot has become free, or something is delivered. `greet`: the server wants to hear hello.
        """
        self.running: dict[int, Attempt] = {}
        """Those that take up a slot."""
        self.deliveries: dict[int, Delivery] = {}
        """All that are not stored on the server yet, running ones too."""
        self._refusals: set[int] = set()
        self._ended: deque[int] = deque(maxlen=REMEMBERED)
        """Delivered: a late repeat of their assignment is not run again."""
        self._premises = premises
        self._calls = calls
        self._uploads = uploads
        self._fetches = Threads(FETCHES)
        """What jobs fetch and store by themselves: it must not keep logs from being delivered."""
        self._tasks = tasks
        self._changed = changed
        self._greet = greet

    @property
    def held(self) -> tuple[int, ...]:
        """What the server is to know of: their leases are renewed."""
        return tuple(sorted({*self.deliveries, *self._refusals}))

    @property
    def unfinished(self) -> bool:
        """Whether there is anything the server is still to be told."""
        return bool(self.deliveries or self._refusals)

    @property
    def undelivered_bytes(self) -> int:
        """What the journals take on disk."""
        return sum(delivery.journal.size_bytes for delivery in self.deliveries.values())

    async def take_over(self) -> None:
        """At start: what an earlier process left is delivered; what it had not ended is lost."""
        threads = self._premises.machine.threads
        for journal in await threads.run(self._premises.journals.found):
            if journal.ended is None:
                try:
                    await threads.run(recover.give_up, journal)
                except OSError as error:
                    log.warning("attempt %d cannot be taken over: %s", journal.attempt, error)
                    continue
            log.info("attempt %d is in the journal and will be delivered", journal.attempt)
            self._deliver_found(journal)

    def take(self, assignment: Assignment, log_limit_bytes: int) -> bool:
        """Begin an attempt; False when it is here already, or could not even begin and ends as broken."""
        number = assignment.attempt
        if number in self.deliveries or number in self._ended:
            return False
        log.info("attempt %d: %s of %s", number, assignment.name, assignment.source.repository)
        try:
            attempt = Attempt(
                assignment,
                self._premises.journals,
                self._premises.machine,
                log_limit_bytes,
                lambda journal, ready: Delivery(journal, self._calls, self._uploads, ready, self._greet),
                lambda journal: ServerShelf(journal, self._calls, self._fetches, self._greet),
            )
        except OSError as error:
            what = (error.strerror or str(error)).lower()
            self.refuse(assignment, AttemptState.BROKEN, f"no journal could be begun on the runner: {what}")
            return False
        self.running[number] = attempt
        self.deliveries[number] = attempt.delivery
        self._tasks.spawn(self._attend(attempt), f"attempt {number}")
        self._tasks.spawn(self._deliver(attempt.delivery, attempt), f"the delivery of attempt {number}")
        return True

    def refuse(self, assignment: Assignment, state: AttemptState, reason: str) -> None:
        """End an attempt that is not begun."""
        log.warning("attempt %d: %s", assignment.attempt, reason)
        if assignment.attempt not in self._ended:
            self._ended.append(assignment.attempt)
            now = datetime.now(UTC)
            finish = Finish(state=state.value, started_at=None, finished_at=now, log_bytes=0, reason=reason)
            self._tasks.spawn(self._tell_refusal(assignment.attempt, finish), f"attempt {assignment.attempt}")

    def cancel(self, number: int, reason: str) -> None:
        """Stop a job; its end is delivered."""
        attempt = self.running.get(number)
        if attempt is not None:
            attempt.job.stop(AttemptState.CANCELLED, reason)

    def drop(self, number: int) -> None:
        """Stop it and forget it: the server does not want it any more."""
        delivery = self.deliveries.get(number)
        if delivery is not None:
            delivery.give_up("the server said so")

    def hand_back(self, reason: str) -> None:
        """Kill all running jobs; their attempts end as lost."""
        for attempt in self.running.values():
            self._tasks.spawn(attempt.job.hand_back(reason), f"handing back attempt {attempt.journal.attempt}")

    def retry_now(self) -> None:
        """The server answers again."""
        for delivery in self.deliveries.values():
            delivery.retry_now()

    async def _attend(self, attempt: Attempt) -> None:
        """Run the job; its slot is free as soon as its processes have ended and its end is on disk."""
        try:
            await attempt.run()
        finally:
            del self.running[attempt.journal.attempt]
            self._changed()
            await attempt.job.tidy()

    async def _deliver(self, delivery: Delivery, attempt: Attempt | None) -> None:
        """Until it is stored or unwanted; a mistake of ours in between is logged and tried again."""
        while True:
            try:
                await delivery.run()
                break
            except Unwanted as error:
                log.warning("attempt %d is not wanted any more: %s", delivery.attempt, error)
                if attempt is not None:
                    attempt.job.stop(AttemptState.CANCELLED, str(error))
                    await attempt.over.wait()
                await self._premises.machine.threads.run(delivery.journal.remove)
                break
            except Exception:
                log.exception("attempt %d: its delivery failed, trying again", delivery.attempt)
                await asyncio.sleep(AGAIN_S)
        self._ended.append(delivery.attempt)
        del self.deliveries[delivery.attempt]
        if not self.deliveries:
            self._changed()

    def _deliver_found(self, journal: Journal) -> None:
        delivery = Delivery(journal, self._calls, self._uploads, lambda: recover.ready_bytes(journal), self._greet)
        for kept in journal.artifacts():
            delivery.add_artifact(kept)
        self.deliveries[journal.attempt] = delivery
        self._tasks.spawn(self._deliver(delivery, None), f"the delivery of attempt {journal.attempt}")

    async def _tell_refusal(self, attempt: int, finish: Finish) -> None:
        self._refusals.add(attempt)
        try:
            await self._repeat_refusal(attempt, finish)
        finally:
            self._refusals.discard(attempt)
            self._changed()

    async def _repeat_refusal(self, attempt: int, finish: Finish) -> None:
        backoff = Backoff(first_s=0.5)
        while True:
            try:
                await self._uploads.run(self._calls.finish, attempt, finish)
            except MainstayError as error:
                if error.status < 500 and error.status != GREET:
                    raise
                await asyncio.sleep(backoff.failed())
            else:
                return
