"""Schedules of workflow files: when each ran last and is next due."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update

from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore
from mainstay.store.schema import repositories, schedules


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One line of cron in one workflow file."""

    repository_id: int
    source: str
    cron: str
    last_at: datetime | None
    next_at: datetime | None
    build_id: int | None = None
    """Of the last start; None: it made none."""
    told: str | None = None
    """Why the last start made no build, in words."""
    missed: int = 0
    """Starts that were due while no server ran, before the last one."""


def replace(tx: Tx, repository_id: int, found: dict[tuple[str, str], datetime | None]) -> None:
    """Make these the schedules of a repository: (path, cron) to the next due time. Those that stay keep theirs."""
    known = {(each.source, each.cron) for each in of_repository(tx, repository_id)}
    for source, cron in known - found.keys():
        tx.conn.execute(
            delete(schedules).where(
                schedules.c.repository_id == repository_id, schedules.c.source == source, schedules.c.cron == cron
            )
        )
    fresh = [
        {"repository_id": repository_id, "source": source, "cron": cron, "next_at": found[source, cron]}
        for source, cron in found.keys() - known
    ]
    if fresh:
        tx.conn.execute(insert_ignore(tx, schedules), fresh)
    if fresh or known - found.keys():
        tx.wake("schedules")


def of_repository(tx: Tx, repository_id: int) -> list[Scheduled]:
    """The schedules of a repository."""
    query = select(schedules).where(schedules.c.repository_id == repository_id).order_by(schedules.c.next_at)
    return [Scheduled(**row._mapping) for row in tx.conn.execute(query)]


def all_of(tx: Tx, seen: frozenset[int] | None, skip: int, limit: int) -> list[tuple[str, Scheduled]]:
    """The schedules of all repositories (or of those in `seen`), the next to come first, with their names."""
    query = (
        select(repositories.c.name, schedules)
        .join(repositories, repositories.c.id == schedules.c.repository_id)
        .where(repositories.c.removed_at.is_(None))
        .order_by(schedules.c.next_at, repositories.c.name, schedules.c.source, schedules.c.cron)
        .offset(skip)
        .limit(limit)
    )
    if seen is not None:
        query = query.where(schedules.c.repository_id.in_(sorted(seen)))
    rows = tx.conn.execute(query)
    return [(row[0], Scheduled(*row[1:])) for row in rows]


def find(tx: Tx, repository_id: int, source: str, cron: str) -> Scheduled | None:
    """One line of cron."""
    found = of_repository(tx, repository_id)
    return next((each for each in found if (each.source, each.cron) == (source, cron)), None)


def came_of_it(tx: Tx, scheduled: Scheduled, build_id: int | None, told: str | None, missed: int) -> None:
    """Keep what the last start made, or why it made nothing."""
    kept = update(schedules).where(
        schedules.c.repository_id == scheduled.repository_id,
        schedules.c.source == scheduled.source,
        schedules.c.cron == scheduled.cron,
    )
    tx.conn.execute(kept.values(build_id=build_id, told=None if told is None else told[:2000], missed=missed))


def due(tx: Tx, now: datetime) -> list[Scheduled]:
    """The schedules of watched repositories that are due."""
    query = (
        select(schedules)
        .join(repositories, repositories.c.id == schedules.c.repository_id)
        .where(schedules.c.next_at <= now, repositories.c.removed_at.is_(None))
        .order_by(schedules.c.next_at)
    )
    return [Scheduled(**row._mapping) for row in tx.conn.execute(query)]


def next_due(tx: Tx) -> datetime | None:
    """When the next one is due."""
    return tx.conn.execute(select(func.min(schedules.c.next_at))).scalar()


def ran(tx: Tx, scheduled: Scheduled, at: datetime, next_at: datetime | None) -> bool:
    """Move a schedule on; False when another server was quicker."""
    moved = (
        update(schedules)
        .where(
            schedules.c.repository_id == scheduled.repository_id,
            schedules.c.source == scheduled.source,
            schedules.c.cron == scheduled.cron,
            schedules.c.next_at == scheduled.next_at,
        )
        .values(last_at=at, next_at=next_at)
    )
    return tx.conn.execute(moved).rowcount == 1
