"""What the command palette finds: a few rows of each kind by a part of their name, never a walk through the history."""

from collections.abc import Sequence

from sqlalchemy import func, select

from mainstay.store.database import Tx
from mainstay.store.schema import commits, refs, tests

FEW = 6


def refs_like(tx: Tx, repository_id: int, text: str) -> list[str]:
    """Refs of a repository with `text` in their name, last moved first."""
    query = select(refs.c.name).where(refs.c.repository_id == repository_id, _holds(refs.c.name, text))
    return list(tx.conn.execute(query.order_by(refs.c.moved_at.desc()).limit(FEW)).scalars())


def tests_like(tx: Tx, repository_id: int, text: str) -> list[str]:
    """Names of tests of a repository with `text` in them."""
    query = select(tests.c.name).where(tests.c.repository_id == repository_id, _holds(tests.c.name, text))
    return list(tx.conn.execute(query.limit(FEW)).scalars())


def commits_by_prefix(tx: Tx, repository_ids: Sequence[int], prefix: str) -> list[tuple[int, str, str]]:
    """Repository, id and subject of the commits that begin so; one look into the index for each repository."""
    found: list[tuple[int, str, str]] = []
    for repository_id in repository_ids:
        query = select(commits.c.repository_id, commits.c.sha, commits.c.subject).where(
            commits.c.repository_id == repository_id, commits.c.sha >= prefix, commits.c.sha < prefix + "g"
        )
        found += [tuple(row) for row in tx.conn.execute(query.limit(FEW))]
        if len(found) >= FEW:
            break
    return found


def _holds(column: object, text: str):  # type: ignore[no-untyped-def]  # a column expression
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return func.lower(column).like(f"%{escaped}%", escape="\\")
