"""The story: events are written once, in order, and wake those who watch."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import insert, select

from mainstay.model.events import Event, EventKind
from mainstay.store.database import Tx
from mainstay.store.dialect import others_may_commit
from mainstay.store.schema import events

LATE = 200
"""Events that come in the time of the longest transaction, and more."""

_add = insert(events)  # made once: building a statement takes longer than running it


def add(tx: Tx, told: Sequence[Event]) -> None:
    """Store events and wake the topics they concern."""
    if not told:
        return
    tx.conn.execute(
        _add,
        [
            {
                "at": event.at,
                "kind": event.kind.value,
                "repository_id": event.repository_id,
                "build_id": event.build_id,
                "job_id": event.job_id,
                "attempt_id": event.attempt_id,
                "runner_id": event.runner_id,
                "actor": event.actor,
                "cause": event.cause,
                "details": event.details,
            }
            for event in told
        ],
    )
    topics = {"events"}
    for event in told:
        if event.build_id is not None:
            topics.add(f"build:{event.build_id}")
        if event.repository_id is not None:
            topics.add(f"repo:{event.repository_id}")
    for topic in topics:
        tx.wake(topic)


def _event(row: Any) -> Event:
    return Event(
        kind=EventKind(row.kind),
        at=row.at,
        cause=row.cause,
        repository_id=row.repository_id,
        build_id=row.build_id,
        job_id=row.job_id,
        attempt_id=row.attempt_id,
        runner_id=row.runner_id,
        actor=row.actor,
        details=row.details,
        id=row.id,
    )


def of_build(tx: Tx, build_id: int, limit: int = 10_000) -> list[Event]:
    """What happened to a build and its jobs, oldest first."""
    query = select(events).where(events.c.build_id == build_id).order_by(events.c.id).limit(limit)
    return [_event(row) for row in tx.conn.execute(query)]


def since(tx: Tx, last_id: int, limit: int = 500) -> list[Event]:
    """The events after `last_id`, oldest first: whoever goes on after the last of them misses none."""
    query = select(events).where(events.c.id > last_id).order_by(events.c.id).limit(limit)
    found = [_event(row) for row in tx.conn.execute(query)]
    return found[: _whole(tx, [last_id, *(event.id or 0 for event in found)])]


def _whole(tx: Tx, ids: Sequence[int]) -> int:
    """How many of `ids[1:]` no lower one can come before any more.

    Ids are given before the commit, so a transaction that is still open may hold one that is missing here; it wakes
    those who wait when it is committed. A gap that stays, of one that was undone, is passed when nothing is open or
    much follows.
    """
    for place, (before, after) in enumerate(pairwise(ids)):
        if after > before + 1 and len(ids) - place < LATE and others_may_commit(tx):
            return place
    return len(ids) - 1


def last_id(tx: Tx) -> int:
    """The newest event's id, 0 when there is none."""
    return tx.conn.execute(select(events.c.id).order_by(events.c.id.desc()).limit(1)).scalar() or 0


def last_of_kind(tx: Tx, kind: EventKind, since: datetime, among: int, limit: int) -> list[Event]:
    """The newest events of a kind that happened since then, among so many of all kinds."""
    newest = select(events).order_by(events.c.id.desc()).limit(among).subquery()
    query = select(newest).where(newest.c.kind == kind.value, newest.c.at >= since).order_by(newest.c.id.desc())
    return [_event(row) for row in tx.conn.execute(query.limit(limit))]
