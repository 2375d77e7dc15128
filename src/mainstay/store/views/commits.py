"""Commits as lists and pages show them, found through their builds."""

from collections.abc import Sequence

from sqlalchemy import func, select

from mainstay.store.database import Tx
from mainstay.store.schema import builds, commits, refs

SCAN = 400
"""How many builds are looked at for a page of commits."""


def page(tx: Tx, repository_id: int, ref: str | None, before: int | None, limit: int) -> tuple[list[str], int | None]:
    """Commits with builds older than build `before`, by their newest build, and where to look on (None: at the end).

    A commit stands where its newest build is, so that none stands on two pages.
    """
    scope = [builds.c.repository_id == repository_id]
    if ref is not None:
        scope.append(builds.c.ref == ref)
    query = select(builds.c.id, builds.c.commit).where(*scope).order_by(builds.c.id.desc()).limit(SCAN)
    if before is not None:
        query = query.where(builds.c.id < before)
    rows = tx.conn.execute(query).all()
    shown_before = _with_newer_builds(tx, scope, {row.commit for row in rows}, before)
    found: dict[str, None] = {}
    last = None
    for row in rows:
        if row.commit not in found and row.commit not in shown_before:
            if len(found) == limit:
                return list(found), last
            found[row.commit] = None
        last = row.id
    return list(found), last if len(rows) == SCAN else None


def _with_newer_builds(tx: Tx, scope: Sequence[object], shas: set[str], before: int | None) -> set[str]:
    if before is None or not shas:
        return set()
    query = select(builds.c.commit).where(*scope, builds.c.commit.in_(sorted(shas)), builds.c.id >= before)  # type: ignore[arg-type]
    return set(tx.conn.execute(query.distinct()).scalars())


def by_prefix(tx: Tx, repository_id: int, prefix: str) -> list[str]:
    """At most two commits whose id begins with `prefix`: two mean that it is ambiguous."""
    query = select(commits.c.sha).where(
        commits.c.repository_id == repository_id, commits.c.sha >= prefix, commits.c.sha < prefix + "g"
    )
    return list(tx.conn.execute(query.order_by(commits.c.sha).limit(2)).scalars())


def built_by_prefix(tx: Tx, repository_id: int, prefix: str) -> list[str]:
    """The same among the commits that have builds."""
    query = select(builds.c.commit).where(
        builds.c.repository_id == repository_id, builds.c.commit >= prefix, builds.c.commit < prefix + "g"
    )
    return list(tx.conn.execute(query.distinct().limit(2)).scalars())


def refs_at(tx: Tx, repository_id: int, sha: str) -> list[str]:
    """The refs that point at a commit."""
    query = select(refs.c.name).where(refs.c.repository_id == repository_id, refs.c.commit == sha)
    return list(tx.conn.execute(query.order_by(refs.c.name).limit(50)).scalars())


def branches(tx: Tx, repository_id: int, limit: int = 200) -> list[tuple[str, str]]:
    """The refs of a repository and their commits, last moved first."""
    query = select(refs.c.name, refs.c.commit).where(refs.c.repository_id == repository_id)
    return [(row.name, row.commit) for row in tx.conn.execute(query.order_by(refs.c.moved_at.desc()).limit(limit))]


def count_of_builds(tx: Tx, repository_id: int) -> int:
    """The highest build number that was given."""
    query = select(func.max(builds.c.number)).where(builds.c.repository_id == repository_id)
    return tx.conn.execute(query).scalar() or 0
