"""Tokens: only their hashes are kept."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, insert, or_, select, update

from mainstay.model.person import Scope, Token
from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore
from mainstay.store.schema import tokens


def hash_of(token: str) -> str:
    """SHA-256 of a token, hex. Tokens are 256 random bits, so no salt or slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(kind: str) -> str:
    """A fresh random token; its prefix tells people and secret scanners what it is."""
    return f"mst_{kind}_{secrets.token_urlsafe(32)}"


def add(
    tx: Tx,
    kind: str,
    name: str,
    token: str,
    now: datetime,
    expires_at: datetime | None = None,
    *,
    person_id: int | None = None,
    scope: Scope = Scope.ADMIN,
    repositories: Sequence[int] | None = None,
    address: str | None = None,
    agent: str | None = None,
    parent_id: int | None = None,
) -> int:
    """Store a token's hash and give its id."""
    values = {
        "kind": kind,
        "name": name,
        "hash": hash_of(token),
        "created_at": now,
        "expires_at": expires_at,
        "person_id": person_id,
        "scope": scope.value,
        "repositories": None if repositories is None else sorted(repositories),
        "address": address and address[:100],
        "agent": agent and agent[:200],
        "parent_id": parent_id,
    }
    token_id: int = tx.conn.execute(insert(tokens).values(**values).returning(tokens.c.id)).scalar_one()
    return token_id


def _live(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)


def find(tx: Tx, token: str, now: datetime) -> Any:
    """The live token's row, or None."""
    return tx.conn.execute(select(tokens).where(tokens.c.hash == hash_of(token), *_live(now))).first()


def use(tx: Tx, token: str, kind: str, now: datetime) -> Any:
    """Take a token that is good once: its row, or None when it was used before, is too old or was never made.

    Revoking is the test as well, so of two visitors at once only one comes in.
    """
    used = (
        update(tokens)
        .where(tokens.c.hash == hash_of(token), tokens.c.kind == kind, *_live(now))
        .values(revoked_at=now, used_at=now)
        .returning(tokens.c.id, tokens.c.name, tokens.c.person_id)
    )
    return tx.conn.execute(used).first()


def first_use(tx: Tx, kind: str, token: str, now: datetime, until: datetime) -> bool:
    """Take a token that carries its own proof and is good once: False when it was taken before `until`."""
    row = {"kind": kind, "name": "used", "hash": hash_of(token), "created_at": now, "expires_at": until}
    return tx.conn.execute(insert_ignore(tx, tokens).values(**row, revoked_at=now)).rowcount == 1


def touch(tx: Tx, token_id: int, now: datetime) -> None:
    """Keep when it was last used."""
    tx.conn.execute(update(tokens).where(tokens.c.id == token_id).values(used_at=now))


def revoke(tx: Tx, token_id: int, now: datetime) -> None:
    """Make a token worthless, and the sessions that were opened with it."""
    both = (tokens.c.id == token_id) | (tokens.c.parent_id == token_id)
    tx.conn.execute(update(tokens).where(both, tokens.c.revoked_at.is_(None)).values(revoked_at=now))
    tx.wake("tokens")


def revoke_all(tx: Tx, person_id: int, kinds: Sequence[str], now: datetime, but: int | None = None) -> int:
    """Make a person's tokens of these kinds worthless, but one; give how many that were."""
    chosen = update(tokens).where(tokens.c.person_id == person_id, tokens.c.kind.in_(kinds), *_live(now))
    if but is not None:
        chosen = chosen.where(tokens.c.id != but)
    count = tx.conn.execute(chosen.values(revoked_at=now)).rowcount
    tx.wake("tokens")
    return count


def get(tx: Tx, token_id: int, now: datetime) -> Token | None:
    """One live token."""
    row = tx.conn.execute(select(tokens).where(tokens.c.id == token_id, *_live(now))).first()
    return None if row is None else _token(row)


def came_by_link(tx: Tx, session_id: int) -> bool:
    """Whether a session was opened with a link that was made for its person, to set a password with."""
    link = tokens.alias("link")
    query = select(tokens.c.id).join(link, link.c.id == tokens.c.parent_id)
    return tx.conn.execute(query.where(tokens.c.id == session_id, link.c.kind == "signin")).first() is not None


def bounds_of(tx: Tx, token_id: int) -> frozenset[int] | None:
    """The only repositories that a token opens; None: it has no such bounds."""
    found = tx.conn.execute(select(tokens.c.repositories).where(tokens.c.id == token_id)).scalar()
    return None if found is None else frozenset(found)


def listed(tx: Tx, kind: str, now: datetime, person_id: int | None = None, limit: int = 500) -> list[Token]:
    """The live tokens of a kind, newest first; with `person_id` only that person's."""
    query = select(tokens).where(tokens.c.kind == kind, *_live(now)).order_by(tokens.c.id.desc()).limit(limit)
    if person_id is not None:
        query = query.where(tokens.c.person_id == person_id)
    return [_token(row) for row in tx.conn.execute(query)]


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        kind=row.kind,
        name=row.name,
        person_id=row.person_id,
        scope=Scope(row.scope),
        repositories=None if row.repositories is None else tuple(row.repositories),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        address=row.address,
        agent=row.agent,
    )
