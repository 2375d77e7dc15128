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
    breaks: int | None
    """Line breaks in them; None: the log began before they were counted."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a log: inline (`data`), or a zstd frame in the blob store (`blob`)."""

    start: int
    size: int
    data: bytes | None
    blob: str | None
    breaks: int | None
    """Line breaks before it; None: not counted."""


_place = select(
    attempts.c.id, attempts.c.runner_id, attempts.c.state, attempts.c.log_bytes, attempts.c.log_breaks
).where(attempts.c.id == bindparam("which"))


def place(tx: Tx, attempt_id: int) -> Place | None:
    """How far the log of an attempt is stored; None when there is no such attempt."""
    row = tx.conn.execute(_place, {"which": attempt_id}).first()
    return None if row is None else Place(*row)


def append(tx: Tx, at: Place, data: bytes, blob: str | None = None) -> None:
    """Store the next bytes, inline or as the frame that is in the blob store already.

    `at` was read in the same transaction: the bytes begin where its log ends.
    """
    tx.conn.execute(
        insert(log_pieces).values(
            attempt_id=at.attempt_id,
            start=at.stored,
            size=len(data),
            data=data if blob is None else None,
            blob=blob,
            breaks=at.breaks,
        )
    )
    grown = {"log_bytes": at.stored + len(data)}
    if at.breaks is not None:
        grown["log_breaks"] = at.breaks + data.count(b"\n")
    tx.conn.execute(update(attempts).where(attempts.c.id == at.attempt_id).values(**grown))
    tx.wake(f"log:{at.attempt_id}")


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
        select(log_pieces.c.start, log_pieces.c.size, log_pieces.c.data, log_pieces.c.blob, log_pieces.c.breaks)
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


def piece_holding(tx: Tx, attempt_id: int, offset: int) -> tuple[int, int | None]:
    """Where the piece begins that holds a byte, and the line breaks before it; (0, 0) when there is none."""
    query = select(log_pieces.c.start, log_pieces.c.breaks).where(
        log_pieces.c.attempt_id == attempt_id, log_pieces.c.start <= offset
    )
    row = tx.conn.execute(query.order_by(log_pieces.c.start.desc()).limit(1)).first()
    return (0, 0) if row is None else (row.start, row.breaks)


def piece_breaking(tx: Tx, attempt_id: int, breaks: int) -> tuple[int, int] | None:
    """The piece with the line break after the first `breaks` ones: its begin, and the line breaks before it.

    None: the pieces were not counted.
    """
    query = select(log_pieces.c.start, log_pieces.c.breaks).where(
        log_pieces.c.attempt_id == attempt_id, log_pieces.c.breaks <= breaks
    )
    row = tx.conn.execute(query.order_by(log_pieces.c.start.desc()).limit(1)).first()
    return None if row is None else (row.start, row.breaks)


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
                {
                    "attempt_id": attempt_id,
                    "start": p.start,
                    "size": p.size,
                    "data": p.data,
                    "blob": p.blob,
                    "breaks": p.breaks,
                }
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
