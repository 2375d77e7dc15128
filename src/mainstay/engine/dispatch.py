"""Handing out work: open polls of runners, the dispatch turn that fills them, and leases.

A poll that is open in this process is a place where work can go. A turn claims queued attempts for all open polls in
one transaction; another server's turn on the same database skips what this one has locked. An assignment whose answer
got lost on the way is given again with the runner's next poll, which does not name it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mainstay.engine import assign
from mainstay.engine.clock import Clock
from mainstay.engine.gather import Gathered
from mainstay.engine.lease import Lease
from mainstay.engine.wake import Wake, Watch
from mainstay.flow import dispatch as dispatch_flow
from mainstay.flow.dispatch import Candidate, Match, Slot
from mainstay.model.errors import Gone
from mainstay.model.events import Event, EventKind
from mainstay.store import events, jobs, runners
from mainstay.store.database import Database, Tx
from mainstay.store.dialect import passes_over_locked
from mainstay.store.jobs import Claim, Held
from mainstay.store.seal import Seal
from mainstay.wire.runner import Assignment, Cancel, Orders, Poll

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _OpenPoll:
    runner_id: int
    labels: frozenset[str]
    free: int
    answer: asyncio.Future[tuple[Assignment, ...]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a poll found on arriving."""

    orders: Orders
    labels: frozenset[str]
    draining: bool


class Dispatch:
    """The open polls of one server and the turn that fills them."""

    def __init__(
        self, database: Database, clock: Clock, wake: Wake, seal: Seal | None = None, lease: Lease | None = None
    ) -> None:
        """`seal` opens the secrets that jobs are given; without it they are given none."""
        self._database = database
        self._clock = clock
        self._wake = wake
        self._seal = seal
        self._lease = lease or Lease()
        self._open: dict[int, _OpenPoll] = {}
        self._looks = Gathered(self._look_at)
        self._work = asyncio.Event()
        self._closing = False

    async def poll(self, runner_id: int, message: Poll) -> Orders:
        """Answer a runner: at once with cancels and drops, else with work as soon as there is some."""
        self._retire(runner_id)
        with self._wake.watch(f"runner:{runner_id}") as told:
            seen = await self._greet(runner_id, message)
            if _is_urgent(seen.orders) or message.wait_s <= 0 or seen.draining or self._closing:
                if seen.draining and not self._closing and not _is_urgent(seen.orders):
                    await told.wait(min(message.wait_s, self._lease.poll_s))
                return seen.orders
            work = asyncio.get_running_loop().create_future()
            poll = _OpenPoll(runner_id, seen.labels, message.free, work)
            self._retire(runner_id)
            self._open[runner_id] = poll
            if poll.free > 0:
                self._work.set()
            try:
                assigned = await self._first(work, told, min(message.wait_s, self._lease.poll_s))
            finally:
                if self._open.get(runner_id) is poll:
                    del self._open[runner_id]
            if assigned:
                return Orders(assign=assigned)
        return (await self._greet(runner_id, message)).orders

    def expect(self) -> None:
        """Work is about to be stored: have a turn wait behind it, so that on SQLite both share one commit.

        A turn that comes too early finds nothing; the one that the new jobs wake finds them.
        """
        self._work.set()

    def close(self) -> None:
        """Answer every open poll with nothing, and later ones at once."""
        self._closing = True
        for poll in tuple(self._open.values()):
            if not poll.answer.done():
                poll.answer.set_result(())

    async def _greet(self, runner_id: int, message: Poll) -> _Seen:
        """Read what there is to say at once; write only when a lease or the last contact is due."""
        seen, due = await self._looks.ask((runner_id, message))
        if due:
            seen = await self._database.write(_renew, runner_id, message, self._clock.now(), self._seal, self._lease)
        return seen

    async def _look_at(self, polls: Sequence[tuple[int, Poll]]) -> list[tuple[_Seen, bool] | Exception]:
        return await self._database.read(_look, polls, self._clock.now(), self._lease)

    def _retire(self, runner_id: int) -> None:
        """One open poll per runner: an older one is answered with nothing."""
        older = self._open.pop(runner_id, None)
        if older is not None and not older.answer.done():
            older.answer.set_result(())

    @staticmethod
    async def _first(
        work: asyncio.Future[tuple[Assignment, ...]], told: Watch, timeout_s: float
    ) -> tuple[Assignment, ...]:
        """Work, or nothing when something else is to be said or the time is over."""
        listening = asyncio.ensure_future(told.wait(timeout_s))
        try:
            await asyncio.wait((work, listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        return work.result() if work.done() else ()

    async def run(self) -> None:
        """Take a turn whenever work or a free place appears. Ends when cancelled."""
        with self._wake.watch("queue") as queue:
            watching = asyncio.ensure_future(self._relay(queue))
            try:
                while True:
                    await self._work.wait()
                    self._work.clear()
                    await self._turn_safely()
            finally:
                watching.cancel()

    async def _relay(self, queue: Watch) -> None:
        while True:
            await queue.wait()
            self._work.set()

    async def _turn_safely(self) -> None:
        try:
            await self.turn()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("The dispatch turn failed; it is tried again in a second")
            asyncio.get_running_loop().call_later(1.0, self._work.set)

    async def turn(self) -> int:
        """Claim queued attempts for the open polls; give how many."""
        slots = [
            Slot(poll.runner_id, poll.labels, poll.free)
            for poll in self._open.values()
            if poll.free > 0 and not poll.answer.done()
        ]
        if not slots:
            return 0
        given = await self._database.write(_claim, slots, self._clock.now(), self._seal, self._lease)
        for runner_id, assigned in given.items():
            poll = self._open.get(runner_id)
            if poll is not None and not poll.answer.done():
                poll.answer.set_result(tuple(assigned))
            # Else the poll is gone: its runner's next one does not name these attempts and gets them again.
        return sum(len(assigned) for assigned in given.values())


def _is_urgent(orders: Orders) -> bool:
    return bool(orders.assign or orders.cancel or orders.drop)


def _look(
    tx: Tx, polls: Sequence[tuple[int, Poll]], now: datetime, lease: Lease
) -> list[tuple[_Seen, bool] | Exception]:
    """For each poll what to tell its runner at once, and whether something is due to be written; or Gone."""
    ids = sorted({runner_id for runner_id, _ in polls})
    rows = runners.rows(tx, ids)
    held: dict[int, dict[int, Held]] = {runner_id: {} for runner_id in ids}
    for each in jobs.held_by(tx, ids):
        held[each.runner_id][each.id] = each
    named = {key for runner_id, message in polls for key in message.running if key not in held[runner_id]}
    unwanted = frozenset(jobs.not_running(tx, sorted(named)))
    return [_seen(rows.get(runner_id), held[runner_id], unwanted, message, now, lease) for runner_id, message in polls]


def _seen(
    row: Any, held: Mapping[int, Held], unwanted: frozenset[int], message: Poll, now: datetime, lease: Lease
) -> tuple[_Seen, bool] | Exception:
    if row is None:
        return Gone("this runner was removed; say hello")
    if row.boot != message.boot:
        return Gone(f"runner {row.name} was started anew since, or never said hello here; say hello")
    named = set(message.running)
    orders = Orders(
        cancel=tuple(Cancel(key, reason) for key in named & held.keys() if (reason := held[key].cancel_reason)),
        drop=tuple(sorted(key for key in named - held.keys() if key in unwanted)),
        drain=row.draining,
    )
    fresh_until = now + timedelta(seconds=lease.seconds - lease.renew_s)
    stale = any(held[key].lease_until < fresh_until for key in named & held.keys())
    due = stale or bool(held.keys() - named) or row.last_contact_at < now - timedelta(seconds=lease.contact_s)
    due = due or message.leaving
    return _Seen(orders, frozenset(row.labels), row.draining or message.draining), due


def _renew(tx: Tx, runner_id: int, message: Poll, now: datetime, seal: Seal | None, lease: Lease) -> _Seen:
    """Renew leases and the last contact, and give again what the runner does not know it has."""
    [looked] = _look(tx, [(runner_id, message)], now, lease)
    if isinstance(looked, Exception):
        raise looked
    seen, _ = looked
    if runners.row(tx, runner_id).last_contact_at < now - timedelta(seconds=lease.seconds):
        tx.wake("runners")  # it counted as gone: jobs may be held for want of it
    runners.change(tx, runner_id, last_contact_at=now)
    if message.leaving:
        # Only hello takes it back: the answer to an older poll may come behind.
        runners.change(tx, runner_id, left_at=now)
        tx.wake("runners")
    held = [each.id for each in jobs.held_by(tx, [runner_id])]
    # Only what it names: an attempt that it never takes up must run out.
    jobs.renew(tx, [key for key in held if key in message.running], now + timedelta(seconds=lease.seconds))
    again = tuple(assign.again(tx, [key for key in held if key not in message.running], seal, now))
    orders = Orders(assign=again, cancel=seen.orders.cancel, drop=seen.orders.drop, drain=seen.orders.drain)
    return _Seen(orders, seen.labels, seen.draining)


def _claim(tx: Tx, slots: list[Slot], now: datetime, seal: Seal | None, lease: Lease) -> dict[int, list[Assignment]]:
    """One dispatch turn: read the queue's head, match, claim, and build the assignments."""
    places = sum(slot.free for slot in slots)
    candidates = [
        Candidate(each.attempt_id, each.job_id, each.repository_id, each.priority, frozenset(_labels(fit)))
        for repository_id, fit in jobs.queued_fits(tx)
        if any(frozenset(_labels(fit)) <= slot.labels for slot in slots)
        for each in jobs.queued(tx, repository_id, fit, places)
    ]
    if not candidates:
        return {}
    matches = dispatch_flow.plan(candidates, slots, jobs.running_by_repository(tx))
    if len(candidates) > len(matches) and passes_over_locked(tx):
        tx.wake("queue")  # another server's turn may have passed over what this one locked and did not take
    return _give(tx, matches, now, seal, lease) if matches else {}


def _labels(fit: str) -> list[str]:
    return [label for label in fit.split(",") if label]


def _give(tx: Tx, matches: list[Match], now: datetime, seal: Seal | None, lease: Lease) -> dict[int, list[Assignment]]:
    """Claim what was matched, all in a few statements."""
    known = runners.rows(tx, sorted({match.runner_id for match in matches}))
    claims = [
        Claim(match.attempt_id, match.job_id, match.runner_id, known[match.runner_id].name)
        for match in matches
        if match.runner_id in known  # else it was removed a moment ago
    ]
    source_tokens = jobs.claim(tx, claims, now + timedelta(seconds=lease.seconds), now)
    made = assign.assignments(tx, source_tokens, seal, now)
    given: dict[int, list[Assignment]] = {}
    told = []
    for claim in claims:
        assignment = made[claim.attempt_id]
        given.setdefault(claim.runner_id, []).append(assignment)
        told.append(_assigned(claim, assignment, now))
    events.add(tx, told)
    return given


def _assigned(claim: Claim, assignment: Assignment, now: datetime) -> Event:
    return Event(
        EventKind.ATTEMPT_ASSIGNED,
        now,
        f"{claim.runner} had a free place",
        repository_id=assignment.source.repository_id,
        build_id=assignment.build,
        job_id=claim.job_id,
        attempt_id=claim.attempt_id,
        runner_id=claim.runner_id,
    )
