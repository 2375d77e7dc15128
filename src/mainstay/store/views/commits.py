"""Commits as lists and pages show them, found through their builds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from mainstay.store.database import Tx
from mainstay.store.dialect import parts
from mainstay.store.schema import builds, commits, jobs, pushes, refs

SCAN = 400
"""How many builds are looked at for a page of commits."""


def page(tx: Tx, repository_id: int, ref: str | None, before: int | None, limit: int) -> tuple[list[str], int | None]:
    """Commits with builds older than build `before`, by their newest build, and where to look on (None: at the end).

    A commit stands where its newest build is, so that none stands on two pages.
    """
    scope = [builds.c.repository_id == repository_id, builds.c.event != "bisect"]
    if ref is not None:
        scope.append(builds.c.ref == ref)
    query = select(builds.c.id, builds.c.commit).where(*scope).order_by(builds.c.id.desc()).limit(SCAN)
    if before is not None:
        query = query.where(builds.c.id < before)
    rows = tx.conn.execute(query).all()
    shown_before = _with_newer_builds(tx, repository_id, ref, {row.commit for row in rows}, before)
    found: dict[str, None] = {}
    last = None
    for row in rows:
        if row.commit not in found and row.commit not in shown_before:
            if len(found) == limit:
                return list(found), last
            found[row.commit] = None
        last = row.id
    return list(found), last if len(rows) == SCAN else None


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a repository's line of builds, as the commits whose newest build stands in it."""

    commits: tuple[tuple[int, str], ...]
    """The newest build's id and the commit, newest first."""
    edge: int | None
    """The build where to look on, in the direction that was looked in; None: at the end."""


def window(
    tx: Tx,
    repository_id: int,
    ref: str | None,
    *,
    before: int | None,
    after: int | None,
    size: int,
    fitting: Callable[[set[str]], set[str]] | None = None,
) -> Window:
    """The commits that stand among the next `size` builds older than `before`, or else newer than `after`.

    A commit stands where its newest build is (of that ref, if one is given). `fitting` chooses among them.
    """
    scope = [builds.c.repository_id == repository_id, builds.c.event != "bisect"]
    if ref is not None:
        scope.append(builds.c.ref == ref)
    query = select(builds.c.id, builds.c.commit).where(*scope).limit(size)
    if after is None:
        query = query.order_by(builds.c.id.desc())
        rows = tx.conn.execute(query if before is None else query.where(builds.c.id < before)).all()
        seen_after = before
    else:
        rows = tx.conn.execute(query.where(builds.c.id > after).order_by(builds.c.id)).all()
        seen_after = rows[-1].id + 1 if len(rows) == size else None
    edge = rows[-1].id if len(rows) == size else None
    newest: dict[str, int] = {}
    for row in rows:
        newest[row.commit] = max(row.id, newest.get(row.commit, 0))
    wanted = set(newest) if fitting is None else fitting(set(newest))
    wanted -= _with_newer_builds(tx, repository_id, ref, wanted, seen_after)
    found = [(build_id, sha) for sha, build_id in newest.items() if sha in wanted]
    return Window(tuple(sorted(found, reverse=True)), edge)


def said(tx: Tx, repository_id: int, shas: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """What is searched of commits: the commit, who made it, the message."""
    for part in parts(sorted(shas)):
        query = select(commits.c.sha, commits.c.author, commits.c.email, commits.c.message)
        for row in tx.conn.execute(query.where(commits.c.repository_id == repository_id, commits.c.sha.in_(part))):
            yield row[0], f"{row[1]} {row[2]}", row[3]


def any_newer(tx: Tx, repository_id: int, ref: str | None, build_id: int) -> bool:
    """Whether there is a newer build than that one (of that ref, if one is given)."""
    query = select(builds.c.id).where(builds.c.repository_id == repository_id, builds.c.id > build_id)
    if ref is not None:
        query = query.where(builds.c.ref == ref)
    return tx.conn.execute(query.limit(1)).first() is not None


def job_states(tx: Tx, repository_id: int, shas: Sequence[str]) -> dict[str, dict[int, list[str]]]:
    """By commit, and by build: the states its jobs are in, each once. For many commits whose jobs are not shown."""
    # Two looks: joined and asked for each once, SQLite reads all builds of the repository.
    own: dict[int, str] = {}
    for part in parts(shas):
        query = select(builds.c.id, builds.c.commit).where(
            builds.c.repository_id == repository_id, builds.c.commit.in_(part), builds.c.event != "bisect"
        )
        own.update((row.id, row.commit) for row in tx.conn.execute(query))
    found: dict[str, dict[int, list[str]]] = {}
    for ids in parts(sorted(own)):
        states = select(jobs.c.build_id, jobs.c.state).where(jobs.c.build_id.in_(ids)).distinct()
        for row in tx.conn.execute(states):
            found.setdefault(own[row.build_id], {}).setdefault(row.build_id, []).append(row.state)
    return found


def children_of(tx: Tx, repository_id: int, sha: str, after: int, before: int) -> list[str]:
    """The commits with `sha` as a parent among those built between two builds: there is no index over parents."""
    near = select(builds.c.commit).where(
        builds.c.repository_id == repository_id, builds.c.id > after, builds.c.id < before
    )
    query = select(commits.c.sha, commits.c.parents).where(
        commits.c.repository_id == repository_id, commits.c.sha.in_(near)
    )
    return [row.sha for row in tx.conn.execute(query) if sha in row.parents]


def push_of(tx: Tx, repository_id: int, sha: str) -> tuple[str, str | None, datetime] | None:
    """The last push with this commit at its end, among the newest: its ref, its note, when."""
    newest = select(pushes).where(pushes.c.repository_id == repository_id).order_by(pushes.c.id.desc()).limit(1000)
    some = newest.subquery()
    query = select(some.c.ref, some.c.note, some.c.at).where(some.c.new == sha).order_by(some.c.id.desc()).limit(1)
    row = tx.conn.execute(query).first()
    return None if row is None else (row.ref, row.note, row.at)


def _with_newer_builds(tx: Tx, repository_id: int, ref: str | None, shas: set[str], before: int | None) -> set[str]:
    if before is None or not shas:
        return set()
    # Compared here: told of the ref and the id, SQLite reads all newer builds of it instead of the index over commits.
    query = select(builds.c.commit, builds.c.id, builds.c.ref).where(
        builds.c.repository_id == repository_id, builds.c.commit.in_(sorted(shas)), builds.c.event != "bisect"
    )
    return {row.commit for row in tx.conn.execute(query) if row.id >= before and ref in (None, row.ref)}


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
    return [(each.name, each.commit) for each in moved_refs(tx, repository_id, "", 0, limit)]


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch or tag and where it stands."""

    name: str
    commit: str
    moved_at: datetime


def moved_refs(tx: Tx, repository_id: int, prefix: str, skip: int, limit: int) -> list[Ref]:
    """The refs whose names begin so, last moved first."""
    query = select(refs.c.name, refs.c.commit, refs.c.moved_at).where(refs.c.repository_id == repository_id)
    if prefix:
        query = query.where(refs.c.name >= prefix, refs.c.name < prefix + "\U0010ffff")
    query = query.order_by(refs.c.moved_at.desc(), refs.c.name).offset(skip).limit(limit)
    return [Ref(row.name, row.commit, row.moved_at) for row in tx.conn.execute(query)]


def count_of_refs(tx: Tx, repository_id: int, prefix: str) -> int:
    """How many refs have names that begin so."""
    query = select(func.count()).where(
        refs.c.repository_id == repository_id, refs.c.name >= prefix, refs.c.name < prefix + "\U0010ffff"
    )
    return int(tx.conn.execute(query).scalar_one())


def usual_branches(tx: Tx, repository_ids: Sequence[int], names: Sequence[str]) -> dict[int, list[str]]:
    """Of each of these repositories, those of these refs that it has."""
    found: dict[int, list[str]] = {}
    for start in range(0, len(repository_ids), 500):
        query = select(refs.c.repository_id, refs.c.name).where(
            refs.c.repository_id.in_(repository_ids[start : start + 500]), refs.c.name.in_(names)
        )
        for row in tx.conn.execute(query):
            found.setdefault(row.repository_id, []).append(row.name)
    return found
