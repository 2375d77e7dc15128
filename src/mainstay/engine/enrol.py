"""Runners that present themselves: who they are, what they hold, and what became of what they held before."""

import re
from datetime import datetime
from typing import Any

from mainstay.engine import results
from mainstay.engine.lease import Lease
from mainstay.flow.result import End
from mainstay.model.changes import EndAttempt
from mainstay.model.errors import BadInput, NotAllowed
from mainstay.model.events import Event, EventKind
from mainstay.model.states import AttemptState
from mainstay.store import events, jobs, runners
from mainstay.store.database import Tx
from mainstay.wire.runner import MAX_CAPACITY, Hello, Welcome

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,62}")
MAX_LABELS = 64
LOG_LIMIT_BYTES = 1024 * 1024 * 1024


def hello(tx: Tx, token_id: int, message: Hello, now: datetime, lease: Lease) -> Welcome:
    """Enrol a runner or recognise it.

    Attempts that a process before it was given, and that it does not hold, are lost from now on. What the same process
    does not hold is on its way to it: the runner may say hello again while the answer to its poll is.
    """
    _check(message)
    known = runners.row_by_name(tx, message.name)
    runner_id = _enrol(tx, token_id, known, message, now)
    holding = set(message.holding)
    if known is not None and known.boot != message.boot[:64]:
        for held in jobs.held_by(tx, [runner_id]):
            if held.id not in holding:
                _give_up(tx, held.id, now, f"{message.name} was started anew without it")
    drop = tuple(jobs.not_running(tx, sorted(holding)))
    tx.wake("runners")
    return Welcome(
        runner=runner_id, lease_s=lease.seconds, poll_s=lease.poll_s, log_limit_bytes=LOG_LIMIT_BYTES, drop=drop
    )


def _check(message: Hello) -> None:
    if not NAME.fullmatch(message.name):
        raise BadInput(
            f"{message.name[:120]!r} is no name for a runner: letters, digits, '.', '_' and '-', at most 100"
        )
    if not 1 <= message.capacity <= MAX_CAPACITY:
        raise BadInput(f"a runner's capacity is a number from 1 to {MAX_CAPACITY}, not {message.capacity}")
    bad = [label for label in message.labels if not LABEL.fullmatch(label)]
    if bad or len(message.labels) > MAX_LABELS:
        raise BadInput(f"{bad[0][:80]!r} is no label" if bad else f"more than {MAX_LABELS} labels")


def _enrol(tx: Tx, token_id: int, known: Any, message: Hello, now: datetime) -> int:
    values: dict[str, object] = {
        "boot": message.boot[:64],
        "labels": sorted({label.lower() for label in message.labels}),  # as those of jobs are
        "capacity": message.capacity,
        "executor": message.executor[:20],
        "version": message.version[:40],
        "system": message.system[:200],
        "removed_at": None,
        "left_at": None,
    }
    if known is None:
        runner_id = runners.enrol(tx, values | {"name": message.name, "token_id": token_id}, now)
    elif known.token_id not in (token_id, None):
        raise NotAllowed(f"the name {message.name} belongs to a runner with another token; choose another name")
    else:
        runner_id = known.id
        runners.change(tx, runner_id, last_contact_at=now, token_id=token_id, **values)
    if known is None or known.boot != message.boot[:64]:
        event = Event(EventKind.RUNNER_ONLINE, now, f"{message.name} said hello", runner_id=runner_id)
        events.add(tx, [event])
    return runner_id


def _give_up(tx: Tx, attempt_id: int, now: datetime, reason: str) -> None:
    jobs.lock_build_of(tx, attempt_id)
    job, attempt = jobs.of_attempt(tx, attempt_id)
    end = End(EndAttempt(attempt_id, AttemptState.LOST, finished_at=now, reason=reason), cause=reason)
    results.conclude(tx, job, attempt, end, now)


def give_up_expired(tx: Tx, now: datetime, lease: Lease) -> datetime | None:
    """Give up the attempts whose lease ran out; give the moment the next one would."""
    for attempt_id in jobs.expired(tx, now):
        _give_up(tx, attempt_id, now, f"its runner was not heard of for {lease.seconds:.0f} s")
    return jobs.next_expiry(tx)


def next_expiry(tx: Tx) -> datetime | None:
    """The moment the next lease runs out unless it is renewed."""
    return jobs.next_expiry(tx)
