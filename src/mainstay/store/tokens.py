"""Tokens: only their hashes are kept."""

import hashlib
import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update

from mainstay.store.database import Tx
from mainstay.store.schema import tokens


def hash_of(token: str) -> str:
    """SHA-256 of a token, hex. Tokens are 256 random bits, so no salt or slow hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(kind: str) -> str:
    """A fresh random token; its prefix tells people and secret scanners what it is."""
    return f"mst_{kind}_{secrets.token_urlsafe(32)}"


def add(tx: Tx, kind: str, name: str, token: str, now: datetime, expires_at: datetime | None = None) -> int:
    """Store a token's hash and give its id."""
    values = {"kind": kind, "name": name, "hash": hash_of(token), "created_at": now, "expires_at": expires_at}
    token_id: int = tx.conn.execute(insert(tokens).values(**values).returning(tokens.c.id)).scalar_one()
    return token_id


def find(tx: Tx, token: str, now: datetime) -> Any:
    """The live token's row, or None."""
    query = select(tokens).where(
        tokens.c.hash == hash_of(token),
        tokens.c.revoked_at.is_(None),
        or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
    )
    return tx.conn.execute(query).first()


def revoke(tx: Tx, token_id: int, now: datetime) -> None:
    """Make a token worthless."""
    tx.conn.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_at=now))
    tx.wake("tokens")
