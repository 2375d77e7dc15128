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
