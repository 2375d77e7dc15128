"""Artifacts: what jobs kept, by name; the bytes are in the blob store."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select

from mainstay.store.database import Tx
from mainstay.store.schema import artifacts, attempts, jobs, repositories


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


def kept_by(tx: Tx, attempt_id: int, name: str) -> tuple[int, int]:
    """How many artifacts an attempt has kept, and their bytes, without the one of that name."""
    query = select(func.count(), func.coalesce(func.sum(artifacts.c.size_bytes), 0))
    row = tx.conn.execute(query.where(artifacts.c.attempt_id == attempt_id, artifacts.c.name != name)).one()
    return int(row[0]), int(row[1])


def of_build(tx: Tx, build_id: int) -> list[Any]:
    """The artifacts of a build by name, the newest of each name, as rows with the columns `job` and `job_id`."""
    query = (
        select(artifacts, jobs.c.name.label("job"), jobs.c.id.label("job_id"))
        .join(attempts, attempts.c.id == artifacts.c.attempt_id)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(jobs.c.build_id == build_id)
        .order_by(artifacts.c.id)
    )
    newest = {row.name: row for row in tx.conn.execute(query)}
    return [newest[name] for name in sorted(newest)]


def of_build_of(tx: Tx, attempt_id: int) -> list[Any]:
    """The artifacts of the build that an attempt belongs to."""
    build_id = tx.conn.execute(
        select(jobs.c.build_id).join(attempts, attempts.c.job_id == jobs.c.id).where(attempts.c.id == attempt_id)
    ).scalar()
    return [] if build_id is None else of_build(tx, build_id)


def get(tx: Tx, artifact_id: int) -> Any:
    """One artifact's row; None where there is none, or where its repository was removed."""
    query = (
        select(artifacts)
        .join(attempts, attempts.c.id == artifacts.c.attempt_id)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(repositories, repositories.c.id == jobs.c.repository_id)
        .where(artifacts.c.id == artifact_id, repositories.c.removed_at.is_(None))
    )
    return tx.conn.execute(query).first()
