"""Failed sign-ins, counted by what they have in common."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from mainstay.store.database import Tx
from mainstay.store.dialect import upsert
from mainstay.store.schema import throttles


def counted(tx: Tx, keys: Iterable[str]) -> dict[str, tuple[int, datetime]]:
    """How many failures each key has and when the last one was; keys without any are left out."""
    rows = tx.conn.execute(select(throttles).where(throttles.c.key.in_(list(keys))))
    return {row.key: (row.failures, row.last_at) for row in rows}


def count(tx: Tx, failures: dict[str, int], now: datetime) -> None:
    """Set how many failures each key has, the last one now."""
    statement = upsert(tx, throttles, [throttles.c.key], [throttles.c.failures, throttles.c.last_at])
    for key, number in failures.items():
        tx.conn.execute(statement, {"key": key, "failures": number, "last_at": now})


def forget(tx: Tx, keys: Iterable[str]) -> None:
    """A sign-in went well: begin to count anew."""
    tx.conn.execute(delete(throttles).where(throttles.c.key.in_(list(keys))))


def sweep(tx: Tx, now: datetime) -> int:
    """Delete what is too old to count; give how much."""
    return tx.conn.execute(delete(throttles).where(throttles.c.last_at < now - timedelta(days=2))).rowcount
