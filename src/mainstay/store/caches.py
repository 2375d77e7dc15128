"""Caches that jobs keep for later builds, by key and scope (a ref); the bytes are in the blob store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update

from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore
from mainstay.store.schema import caches


def find(tx: Tx, repository_id: int, scopes: Sequence[str], version: str, key: str, prefixes: Sequence[str]) -> Any:
    """The cache with that key, else the newest whose key begins with the first prefix that fits; as a row, or None.

    Scopes are tried in order, all keys in the first before any in the second.
    """
    base = select(caches).where(caches.c.repository_id == repository_id, caches.c.version == version)
    for scope in scopes:
        within = base.where(caches.c.scope == scope)
        row = tx.conn.execute(within.where(caches.c.key == key)).first()
        for prefix in () if row is not None else prefixes:
            fits = within.where(caches.c.key.startswith(prefix, autoescape=True)).order_by(caches.c.id.desc())
            row = tx.conn.execute(fits.limit(1)).first()
            if row is not None:
                break
        if row is not None:
            return row
    return None


def get(tx: Tx, repository_id: int, cache_id: int) -> Any:
    """One cache of a repository, or None."""
    query = select(caches).where(caches.c.id == cache_id, caches.c.repository_id == repository_id)
    return tx.conn.execute(query).first()


def touch(tx: Tx, cache_id: int, now: datetime) -> None:
    """It was used: the least recently used go first."""
    tx.conn.execute(update(caches).where(caches.c.id == cache_id).values(used_at=now))


def add(
    tx: Tx, repository_id: int, scope: str, key: str, version: str, size_bytes: int, blob: str, now: datetime
) -> None:
    """Store a cache; one with the same key stays as it is."""
    values = {
        "repository_id": repository_id,
        "scope": scope,
        "key": key,
        "version": version,
        "size_bytes": size_bytes,
        "blob": blob,
        "created_at": now,
        "used_at": now,
    }
    tx.conn.execute(insert_ignore(tx, caches), values)


def trim(tx: Tx, limit_bytes: int) -> int:
    """Delete the least recently used caches of each repository that has more than its share; give how many."""
    gone = 0
    sums = select(caches.c.repository_id, func.sum(caches.c.size_bytes)).group_by(caches.c.repository_id)
    for repository_id, total in tx.conn.execute(sums).all():
        over = int(total) - limit_bytes
        oldest = select(caches.c.id, caches.c.size_bytes).where(caches.c.repository_id == repository_id)
        for row in tx.conn.execute(oldest.order_by(caches.c.used_at)).all() if over > 0 else ():
            tx.conn.execute(delete(caches).where(caches.c.id == row.id))
            gone += 1
            over -= row.size_bytes
            if over <= 0:
                break
    return gone
