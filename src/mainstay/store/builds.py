"""Builds: storing new ones with their jobs, and what decisions need to know of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from mainstay.model.build import NewBuild
from mainstay.model.errors import NotFound
from mainstay.model.events import Event, EventKind
from mainstay.model.states import JobState
from mainstay.store import events, plans
from mainstay.store.database import Tx
from mainstay.store.dialect import parts
from mainstay.store.schema import builds, jobs, repositories

OPEN = ("waiting", "queued", "running")


@dataclass(frozen=True, slots=True)
class BuildRow:
    """A build without its jobs."""

    id: int
    number: int
    repository_id: int
    repository: str
    commit: str
    tree: str
    ref: str
    event: str
    workflow: str
    source: str
    plan: str
    payload: dict[str, Any]
    priority: int
    trusted: bool
    reason: str | None
    created_at: datetime
    concurrency_group: str | None
    url: str | None
    """The repository's address."""


_columns = (
    builds.c.id,
    builds.c.number,
    builds.c.repository_id,
    repositories.c.name.label("repository"),
    builds.c.commit,
    builds.c.tree,
    builds.c.ref,
    builds.c.event,
    builds.c.workflow,
    builds.c.source,
    builds.c.plan,
    builds.c.payload,
    builds.c.priority,
    builds.c.trusted,
    builds.c.reason,
    builds.c.created_at,
    builds.c.concurrency_group,
    repositories.c.url,
)


_with_repository = select(*_columns).join(repositories, repositories.c.id == builds.c.repository_id)
_one = _with_repository.where(builds.c.id == bindparam("which"))
_many = _with_repository.where(builds.c.id.in_(bindparam("which", expanding=True)))


def get(tx: Tx, build_id: int) -> BuildRow:
    """One build. Raises NotFound."""
    row = tx.conn.execute(_one, {"which": build_id}).first()
    if row is None:
        raise NotFound(f"there is no build with the id {build_id}; `mainstay builds` shows the newest")
    return BuildRow(**row._mapping)


def get_all(tx: Tx, build_ids: Sequence[int]) -> dict[int, BuildRow]:
    """Builds by their ids; those there are."""
    found: dict[int, BuildRow] = {}
    for part in parts(build_ids):
        rows = tx.conn.execute(_many, {"which": part})
        found.update({row.id: BuildRow(**row._mapping) for row in rows})
    return found


def add(
    tx: Tx, repository_id: int, push_id: int | None, new: Sequence[NewBuild], now: datetime
) -> list[tuple[int, NewBuild]]:
    """Store builds, as yet without jobs, and give them with their ids. One that was stored before is left out."""
    fresh = _not_stored(tx, repository_id, new)
    if not fresh:
        return []
    number = tx.conn.execute(
        update(repositories)
        .where(repositories.c.id == repository_id)
        .values(next_build_number=repositories.c.next_build_number + len(fresh))
        .returning(repositories.c.next_build_number)
    ).scalar_one() - len(fresh)
    added, told = [], []
    for offset, build in enumerate(fresh):
        build_id = _add_one(tx, repository_id, push_id, build, number + offset, now)
        added.append((build_id, build))
        details = {"number": number + offset, "commit": build.commit, "ref": build.ref, "workflow": build.plan.workflow}
        told.append(
            Event(
                EventKind.BUILD_CREATED,
                now,
                build.cause,
                repository_id=repository_id,
                build_id=build_id,
                details=details,
            )
        )
    events.add(tx, told)
    return added


_insert = insert(builds).returning(builds.c.id)


def _add_one(tx: Tx, repository_id: int, push_id: int | None, build: NewBuild, number: int, now: datetime) -> int:
    values = {
        "repository_id": repository_id,
        "number": number,
        "commit": build.commit,
        "tree": build.tree,
        "ref": build.ref,
        "event": build.event,
        "workflow": build.plan.workflow,
        "source": build.plan.source,
        "plan": plans.keep(tx, build.plan),
        "push_id": push_id,
        "payload": build.payload,
        "priority": build.priority,
        "trusted": build.trusted,
        "created_at": now,
        "occasion": build.occasion,
    }
    build_id: int = tx.conn.execute(_insert, values).scalar_one()
    return build_id


def _not_stored(tx: Tx, repository_id: int, new: Sequence[NewBuild]) -> list[NewBuild]:
    commits = sorted({build.commit for build in new})
    stored: set[tuple[str, ...]] = set()
    for start in range(0, len(commits), 500):
        query = select(builds.c.commit, builds.c.ref, builds.c.event, builds.c.source, builds.c.occasion).where(
            builds.c.repository_id == repository_id, builds.c.commit.in_(commits[start : start + 500])
        )
        stored.update(tuple(row) for row in tx.conn.execute(query))
    return [
        build
        for build in new
        if (build.commit, build.ref, build.event, build.plan.source, build.occasion) not in stored
    ]


def built_commits(tx: Tx, repository_id: int, commits: Iterable[str]) -> set[str]:
    """Those of `commits` that have a build already."""
    wanted = list(commits)
    found: set[str] = set()
    for start in range(0, len(wanted), 500):
        query = select(builds.c.commit).where(
            builds.c.repository_id == repository_id,
            builds.c.event != "bisect",
            builds.c.commit.in_(wanted[start : start + 500]),
        )
        found.update(tx.conn.execute(query).scalars())
    return found


def waiting_on_ref(tx: Tx, repository_id: int, ref: str, before: int) -> list[int]:
    """Builds of a ref older than build `before` with jobs that have not started (for superseding)."""
    query = (
        select(builds.c.id)
        .join(jobs, jobs.c.build_id == builds.c.id)
        .where(
            builds.c.repository_id == repository_id,
            builds.c.ref == ref,
            builds.c.id < before,
            jobs.c.state.in_((JobState.WAITING.value, JobState.QUEUED.value)),
        )
        .distinct()
    )
    return list(tx.conn.execute(query).scalars())


def set_group(tx: Tx, build_id: int, group: str, reason: str | None) -> None:
    """Keep the concurrency group of a build."""
    tx.conn.execute(update(builds).where(builds.c.id == build_id).values(concurrency_group=group, reason=reason))


def open_in_group(tx: Tx, repository_id: int, group: str) -> list[int]:
    """The open builds of a concurrency group, oldest first."""
    query = (
        select(builds.c.id)
        .join(jobs, jobs.c.build_id == builds.c.id)
        .where(
            builds.c.repository_id == repository_id,
            builds.c.concurrency_group == group,
            jobs.c.state.in_(OPEN),
        )
        .distinct()
        .order_by(builds.c.id)
    )
    return list(tx.conn.execute(query).scalars())


def prioritise(tx: Tx, build_id: int, priority: int) -> int:
    """Set a build's priority and shift its open jobs by the difference; give how many those are."""
    before = select(builds.c.priority).where(builds.c.id == build_id).scalar_subquery()
    moved = (
        update(jobs)
        .where(jobs.c.build_id == build_id, jobs.c.state.in_(OPEN))
        .values(priority=jobs.c.priority + priority - before)
    )
    count = tx.conn.execute(moved).rowcount
    tx.conn.execute(update(builds).where(builds.c.id == build_id).values(priority=priority))
    return count
