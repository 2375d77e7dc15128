"""Who may do what."""

from sqlalchemy import Column, String, Table

from mainstay.store.schema.base import metadata
from mainstay.store.types import Id, Moment

# Who may do what: only the hash of a token is kept.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("used_at", Moment),
    Column("revoked_at", Moment),
)
