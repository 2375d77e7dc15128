"""Artifacts: what jobs kept, by name; the bytes are in the blob store."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from mainstay.store.database import Tx
from mainstay.store.schema import artifacts


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """A bundle as it is to be stored."""

    attempt_id: int
    name: str
    kind: str
    size_bytes: int
    blob: str
    keep_until: datetime | None


def put(tx: Tx, new: NewArtifact, now: datetime) -> None:
    """Store an artifact in place of an older one of the same name."""
    tx.conn.execute(delete(artifacts).where(artifacts.c.attempt_id == new.attempt_id, artifacts.c.name == new.name))
    tx.conn.execute(
        insert(artifacts).values(
            attempt_id=new.attempt_id,
            name=new.name,
            kind=new.kind,
            size_bytes=new.size_bytes,
            blob=new.blob,
            created_at=now,
            keep_until=new.keep_until,
        )
    )


def of_attempt(tx: Tx, attempt_id: int) -> list[Any]:
    """The artifacts of an attempt by name, as rows."""
    return list(
        tx.conn.execute(select(artifacts).where(artifacts.c.attempt_id == attempt_id).order_by(artifacts.c.name))
    )
