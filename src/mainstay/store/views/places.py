"""In which repository something lies: what a path names, to the repository whose roles decide."""

from sqlalchemy import select

from mainstay.store.database import Tx
from mainstay.store.schema import artifacts, attempts, builds, jobs, repositories


def of_repository(tx: Tx, name: str) -> int | None:
    """The repository of that name."""
    query = select(repositories.c.id).where(repositories.c.name == name, repositories.c.removed_at.is_(None))
    return tx.conn.execute(query).scalar()


def of_build(tx: Tx, build_id: int) -> int | None:
    """The repository of a build; None: there is no such build."""
    return tx.conn.execute(select(builds.c.repository_id).where(builds.c.id == build_id)).scalar()


def of_job(tx: Tx, job_id: int) -> int | None:
    """The repository of a job; None: there is no such job."""
    return tx.conn.execute(select(jobs.c.repository_id).where(jobs.c.id == job_id)).scalar()


def of_attempt(tx: Tx, attempt_id: int) -> int | None:
    """The repository of an attempt; None: there is no such attempt."""
    query = select(jobs.c.repository_id).join(attempts, attempts.c.job_id == jobs.c.id)
    return tx.conn.execute(query.where(attempts.c.id == attempt_id)).scalar()


def of_artifact(tx: Tx, artifact_id: int) -> int | None:
    """The repository of an artifact; None: there is no such artifact."""
    query = (
        select(jobs.c.repository_id)
        .join(attempts, attempts.c.job_id == jobs.c.id)
        .join(artifacts, artifacts.c.attempt_id == attempts.c.id)
    )
    return tx.conn.execute(query.where(artifacts.c.id == artifact_id)).scalar()
