"""The pieces of attempts' logs, in offset order."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select, update

from mainstay.store.database import Tx
from mainstay.store.schema import attempts, log_pieces


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt's log stands."""

    attempt_id: int
    runner_id: int | None
    state: str
    stored: int
    """Bytes from the beginning that are safe."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a log: inline (`data`), or a zstd frame in the blob store (`blob`)."""

    start: int
    size: int
    data: bytes | None
    blob: str | None


_place = select(attempts.c.id, attempts.c.runner_id, attempts.c.state, attempts.c.log_bytes).where(
    attempts.c.id == bindparam("which")
)


def place(tx: Tx, attempt_id: int) -> Place | None:
    """How far the log of an attempt is stored; None when there is no such attempt."""
    row = tx.conn.execute(_place, {"which": attempt_id}).first()
    return None if row is None else Place(*row)


def append(tx: Tx, attempt_id: int, piece: Piece) -> None:
    """Store the next piece; the caller has checked that it begins where the log ends."""
    tx.conn.execute(
        insert(log_pieces).values(
            attempt_id=attempt_id, start=piece.start, size=piece.size, data=piece.data, blob=piece.blob
        )
    )
    tx.conn.execute(update(attempts).where(attempts.c.id == attempt_id).values(log_bytes=piece.start + piece.size))
    tx.wake(f"log:{attempt_id}")


def pieces(tx: Tx, attempt_id: int, start: int, end: int, limit: int = 64) -> list[Piece]:
    """The pieces that overlap the bytes from `start` to `end`, at most `limit` of them."""
    first = (
        select(log_pieces.c.start)
        .where(log_pieces.c.attempt_id == attempt_id, log_pieces.c.start <= start)
        .order_by(log_pieces.c.start.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(log_pieces.c.start, log_pieces.c.size, log_pieces.c.data, log_pieces.c.blob)
        .where(
            log_pieces.c.attempt_id == attempt_id,
            log_pieces.c.start >= first,
            log_pieces.c.start < end,
            log_pieces.c.start + log_pieces.c.size > start,
        )
        .order_by(log_pieces.c.start)
        .limit(limit)
    )
    return [Piece(*row) for row in tx.conn.execute(query)]


def replace(tx: Tx, attempt_id: int, start: int, end: int, packed: Sequence[Piece]) -> None:
    """Put packed pieces in the place of all pieces from `start` up to `end`."""
    tx.conn.execute(
        delete(log_pieces).where(
            log_pieces.c.attempt_id == attempt_id, log_pieces.c.start >= start, log_pieces.c.start < end
        )
    )
    if packed:
        tx.conn.execute(
            insert(log_pieces),
            [
                {"attempt_id": attempt_id, "start": p.start, "size": p.size, "data": p.data, "blob": p.blob}
                for p in packed
            ],
        )


def with_inline_pieces(tx: Tx, limit: int = 50) -> list[int]:
    """Ended attempts whose log still has inline pieces."""
    query = (
        select(log_pieces.c.attempt_id)
        .join(attempts, attempts.c.id == log_pieces.c.attempt_id)
        .where(log_pieces.c.data.is_not(None), attempts.c.state.not_in(("queued", "running")))
        .distinct()
        .limit(limit)
    )
    return list(tx.conn.execute(query).scalars())
