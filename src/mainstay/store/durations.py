"""How long the tests of a repository take, and what of that a build was given to divide its tests by."""

from datetime import datetime

from sqlalchemy import delete, select

from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore
from mainstay.store.schema import builds, split_pins, test_figures, tests

MAX_TESTS = 200_000
"""Of a repository; of more, those that ran last."""


def of_repository(tx: Tx, repository_id: int) -> dict[str, float]:
    """Mean seconds of each test that was counted, by name."""
    query = (
        select(tests.c.name, test_figures.c.duration_s)
        .join(test_figures, test_figures.c.test_id == tests.c.id)
        .where(test_figures.c.repository_id == repository_id, test_figures.c.runs > 0)
        .order_by(test_figures.c.ran_at.desc(), test_figures.c.test_id)
        .limit(MAX_TESTS)
    )
    return {row.name: row.duration_s for row in tx.conn.execute(query)}


def pinned(tx: Tx, build_id: int) -> bytes | None:
    """What a build was given; None: it has not asked yet."""
    return tx.conn.execute(select(split_pins.c.data).where(split_pins.c.build_id == build_id)).scalar()


def pin(tx: Tx, build_id: int, data: bytes) -> bytes:
    """Keep what a build is given; of two that ask at once, both get what the first one was given."""
    tx.conn.execute(insert_ignore(tx, split_pins).values(build_id=build_id, data=data))
    kept = pinned(tx, build_id)
    return data if kept is None else kept


def forget(tx: Tx, before: datetime) -> int:
    """Delete what builds from before then were given; give how many."""
    old = select(builds.c.id).where(builds.c.created_at < before)
    return tx.conn.execute(delete(split_pins).where(split_pins.c.build_id.in_(old))).rowcount
