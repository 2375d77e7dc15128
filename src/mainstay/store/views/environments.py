"""The environments of a repository: those that have values, and those that jobs were started for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select

from mainstay.model.secret import Secret, Variable
from mainstay.model.states import JobState
from mainstay.store.database import Tx
from mainstay.store.schema import builds, environment_jobs, jobs

MOST = 100
"""Environments that are listed; a workflow may make up names without end."""
LAST = 5
"""Jobs shown of each."""


@dataclass(frozen=True, slots=True)
class EnvironmentJob:
    """A job that was started for an environment."""

    job_id: int
    name: str
    state: JobState
    build_id: int
    number: int
    ref: str
    at: datetime


@dataclass(slots=True)
class Environment:
    """One environment, by its name as it was first seen."""

    name: str
    secrets: int = 0
    variables: int = 0
    jobs: list[EnvironmentJob] = field(default_factory=list)
    """The last ones, newest first."""


def environments(
    tx: Tx, repository_id: int, secrets: Iterable[Secret], variables: Iterable[Variable]
) -> list[Environment]:
    """By name. `secrets` and `variables` are those of the repository."""
    found: dict[str, Environment] = {}

    def named(name: str) -> Environment:
        return found.setdefault(name.casefold(), Environment(name))

    for secret in secrets:
        if secret.place.environment is not None:
            named(secret.place.environment).secrets += 1
    for variable in variables:
        if variable.place.environment is not None:
            named(variable.place.environment).variables += 1
    used = environment_jobs.c
    newest = (
        select(used.environment, func.max(used.job_id).label("job"))
        .where(used.repository_id == repository_id)
        .group_by(used.environment)
        .order_by(func.max(used.job_id).desc())
        .limit(MOST)
    )
    for row in tx.conn.execute(newest).all():
        environment = named(row.environment)
        environment.jobs = sorted(
            [*environment.jobs, *_jobs(tx, repository_id, row.environment)], key=lambda each: -each.job_id
        )[:LAST]
    return [found[name] for name in sorted(found)]


def _jobs(tx: Tx, repository_id: int, environment: str) -> list[EnvironmentJob]:
    """The last jobs that named it so."""
    query = (
        select(jobs.c.id, jobs.c.name, jobs.c.state, builds.c.id.label("build"), builds.c.number, builds.c.ref,
               jobs.c.changed_at)
        .join(environment_jobs, environment_jobs.c.job_id == jobs.c.id)
        .join(builds, builds.c.id == jobs.c.build_id)
        .where(environment_jobs.c.repository_id == repository_id, environment_jobs.c.environment == environment)
        .order_by(environment_jobs.c.job_id.desc())
        .limit(LAST)
    )  # fmt: skip
    return [
        EnvironmentJob(row.id, row.name, JobState(row.state), row.build, row.number, row.ref, row.changed_at)
        for row in tx.conn.execute(query)
    ]
