"""When attempts were queued, began and ended."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select

from mainstay.store.database import Tx
from mainstay.store.dialect import parts
from mainstay.store.schema import attempts, jobs, repositories


def of_attempts(tx: Tx, attempt_ids: Sequence[int]) -> list[tuple[datetime, datetime | None, datetime | None]]:
    """Of these attempts: when each was queued, began, ended."""
    found: list[tuple[datetime, datetime | None, datetime | None]] = []
    for part in parts(attempt_ids):
        query = select(attempts.c.queued_at, attempts.c.started_at, attempts.c.finished_at)
        found += [(row[0], row[1], row[2]) for row in tx.conn.execute(query.where(attempts.c.id.in_(part)))]
    return found


def oldest_queued(tx: Tx) -> datetime | None:
    """Since when the longest waiting queued job has stood in the queue."""
    return tx.conn.execute(select(func.min(jobs.c.changed_at)).where(jobs.c.state == "queued")).scalar()


def unreachable(tx: Tx) -> tuple[int, int]:
    """How many repositories are watched, and the remotes of how many cannot be read."""
    query = select(func.count(), func.count(repositories.c.error)).where(repositories.c.removed_at.is_(None))
    row = tx.conn.execute(query).one()
    return int(row[0]), int(row[1])
