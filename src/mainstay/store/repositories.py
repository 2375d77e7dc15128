"""Repositories, the places reached per ref, pushes and commits."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from mainstay.model.errors import Conflict, NotFound
from mainstay.model.repository import Commit, CommitPolicy, Push, RefMove, Repository
from mainstay.store import secrets, variables
from mainstay.store.database import Tx
from mainstay.store.dialect import for_no_key_update, insert_ignore, upsert
from mainstay.store.schema import begun_moves, commits, pushes, refs, repositories


def _repository(row: Any) -> Repository:
    return Repository(
        id=row.id,
        name=row.name,
        url=row.url,
        branches=tuple(row.branches),
        commits=CommitPolicy(row.commits),
        supersede=row.supersede,
        poll_s=row.poll_s,
        public=row.public,
        default_ref=row.default_ref,
        key_public=row.key_public,
        created_at=row.created_at,
        seen_at=row.seen_at,
        error=row.error,
        failures=row.failures,
        next_poll_at=row.next_poll_at,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        bisect=row.bisect,
        since=row.since,
        judged=row.judged,
    )


_live = select(repositories).where(repositories.c.removed_at.is_(None))


def add(tx: Tx, repository: Repository, now: datetime) -> Repository:
    """Store a new repository (its `id` is given here). Raises Conflict when the name is taken."""
    if tx.conn.execute(select(repositories.c.id).where(repositories.c.name == repository.name)).first():
        raise Conflict(f"there is already a repository named {repository.name}; choose another name or remove it first")
    key = tx.conn.execute(
        insert(repositories)
        .values(
            name=repository.name,
            url=repository.url,
            branches=list(repository.branches),
            commits=repository.commits.value,
            supersede=repository.supersede,
            poll_s=repository.poll_s,
            public=repository.public,
            since=repository.since,
            created_at=now,
        )
        .returning(repositories.c.id)
    ).scalar_one()
    return get(tx, key)


def may_bisect(tx: Tx, repository_id: int) -> bool:
    """Whether commits that were skipped may be tested when a branch goes red: not while it is paused."""
    query = select(repositories.c.bisect).where(repositories.c.id == repository_id, repositories.c.paused_at.is_(None))
    return bool(tx.conn.execute(query).scalar())


def get(tx: Tx, repository_id: int) -> Repository:
    """One repository. Raises NotFound."""
    row = tx.conn.execute(_live.where(repositories.c.id == repository_id)).first()
    if row is None:
        raise NotFound(f"there is no repository with the id {repository_id}")
    return _repository(row)


def unknown(name: str) -> NotFound:
    """What is said of a name that no repository has."""
    return NotFound(f"there is no repository named {name[:100]!r}; `mainstay repo list` shows those there are")


def by_name(tx: Tx, name: str) -> Repository:
    """One repository by its name. Raises NotFound with the command that lists them."""
    row = tx.conn.execute(_live.where(repositories.c.name == name)).first()
    if row is None:
        raise unknown(name)
    return _repository(row)


def all_of(tx: Tx, seen: frozenset[int] | None = None) -> list[Repository]:
    """Every watched repository, by name; with `seen` only those."""
    found = tx.conn.execute(_live.order_by(repositories.c.name))
    return [_repository(row) for row in found if seen is None or row.id in seen]


def change(tx: Tx, repository_id: int, **values: object) -> Repository:
    """Set columns of a repository by their names."""
    if values:
        tx.conn.execute(update(repositories).where(repositories.c.id == repository_id).values(**values))
        if "public" in values:
            tx.wake("tokens")  # what anybody may see is remembered with them
    return get(tx, repository_id)


def remove(tx: Tx, repository: Repository, now: datetime) -> None:
    """Stop watching it, free its name, forget its secrets. Housekeeping deletes its history later."""
    secrets.forget(tx, repository.id)
    variables.forget(tx, repository.id)
    tx.conn.execute(
        update(repositories)
        .where(repositories.c.id == repository.id)
        .values(removed_at=now, name=f"-{repository.id}-{repository.name}"[:100], key_sealed=None)
    )


def key_context(repository_id: int) -> str:
    """What the private half of a deploy key is sealed for."""
    return f"deploy key of {repository_id}"


def set_key(tx: Tx, repository_id: int, public: str, sealed: bytes) -> None:
    """Keep a deploy key: the public half in words, the private half sealed."""
    change(tx, repository_id, key_public=public, key_sealed=sealed)


def set_default_ref(tx: Tx, repository_id: int, ref: str) -> Repository:
    """Keep which branch is the default one."""
    return change(tx, repository_id, default_ref=ref)


def lock(tx: Tx, repository_id: int) -> None:
    """Let nobody else store pushes of this repository, or come into its groups, until the transaction ends."""
    tx.conn.execute(for_no_key_update(tx, select(repositories.c.id).where(repositories.c.id == repository_id)))


def sealed_key(tx: Tx, repository_id: int) -> bytes | None:
    """The sealed private half of its deploy key."""
    return tx.conn.execute(select(repositories.c.key_sealed).where(repositories.c.id == repository_id)).scalar()


def reached(tx: Tx, repository_id: int) -> dict[str, str]:
    """The commit each ref was last stored at."""
    rows = tx.conn.execute(select(refs.c.name, refs.c.commit).where(refs.c.repository_id == repository_id))
    return {row.name: row.commit for row in rows}


def move_ref(tx: Tx, repository_id: int, move: RefMove, now: datetime) -> None:
    """Set the place reached on a ref; in the same transaction as the builds of the move."""
    if move.new is None:
        tx.conn.execute(delete(refs).where(refs.c.repository_id == repository_id, refs.c.name == move.ref))
        return
    values = {"repository_id": repository_id, "name": move.ref, "commit": move.new, "moved_at": now}
    tx.conn.execute(upsert(tx, refs, [refs.c.repository_id, refs.c.name], [refs.c.commit, refs.c.moved_at]), values)


def begin_move(tx: Tx, repository_id: int, move: RefMove) -> None:
    """Keep that the first builds of a move are stored and others are to follow, wherever its ref goes meanwhile."""
    values = {"repository_id": repository_id, "ref": move.ref, "old": move.old, "new": move.new}
    tx.conn.execute(insert_ignore(tx, begun_moves), [values])


def end_move(tx: Tx, repository_id: int, move: RefMove) -> None:
    """All builds of a move are stored."""
    this = (begun_moves.c.repository_id == repository_id, begun_moves.c.ref == move.ref, begun_moves.c.new == move.new)
    tx.conn.execute(delete(begun_moves).where(*this))


def begun(tx: Tx, repository_id: int) -> list[RefMove]:
    """The moves of which only a part is stored, in the order in which they were seen."""
    query = select(begun_moves).where(begun_moves.c.repository_id == repository_id).order_by(begun_moves.c.id)
    return [RefMove(row.ref, row.old, row.new) for row in tx.conn.execute(query)]


def add_push(
    tx: Tx, repository_id: int, move: RefMove, noticed_by: str, count: int, note: str | None, now: datetime
) -> int:
    """Store a noticed ref move and give its id."""
    push_id: int = tx.conn.execute(
        insert(pushes)
        .values(
            repository_id=repository_id,
            ref=move.ref,
            old=move.old,
            new=move.new,
            noticed_by=noticed_by,
            at=now,
            commits=count,
            note=note,
        )
        .returning(pushes.c.id)
    ).scalar_one()
    return push_id


def pushes_of(tx: Tx, repository_id: int, limit: int = 50) -> list[Push]:
    """The last ref moves, newest first."""
    query = select(pushes).where(pushes.c.repository_id == repository_id).order_by(pushes.c.id.desc()).limit(limit)
    return [
        Push(row.id, repository_id, RefMove(row.ref, row.old, row.new), row.noticed_by, row.at, row.commits, row.note)
        for row in tx.conn.execute(query)
    ]


def keep_commits(tx: Tx, repository_id: int, found: Iterable[Commit]) -> None:
    """Store what is shown of commits; those stored before are left as they are."""
    rows = [
        {
            "repository_id": repository_id,
            "sha": commit.sha,
            "tree": commit.tree,
            "parents": list(commit.parents),
            "author": commit.author,
            "email": commit.email,
            "authored_at": commit.authored_at,
            "committed_at": commit.committed_at,
            "subject": commit.subject,
            "message": commit.message,
        }
        for commit in found
    ]
    if rows:
        tx.conn.execute(insert_ignore(tx, commits), rows)


def known_commits(tx: Tx, repository_id: int, shas: Sequence[str]) -> dict[str, Commit]:
    """Those of `shas` that are stored."""
    found: dict[str, Commit] = {}
    for start in range(0, len(shas), 500):
        part = shas[start : start + 500]
        query = select(commits).where(commits.c.repository_id == repository_id, commits.c.sha.in_(part))
        for row in tx.conn.execute(query):
            found[row.sha] = Commit(
                row.sha,
                row.tree,
                tuple(row.parents),
                row.author,
                row.email,
                row.authored_at,
                row.committed_at,
                row.subject,
                row.message,
            )
    return found
