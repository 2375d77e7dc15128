"""Processes that take jobs."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, Text, text

from mainstay.store.schema.base import metadata
from mainstay.store.types import Id, JsonText, Moment

# Processes that take jobs. A name belongs to the token that first used it.
runners = Table(
    "runners",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("token_id", Id, ForeignKey("tokens.id", ondelete="SET NULL")),
    Column("boot", String(64), nullable=False),
    Column("labels", JsonText, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("executor", String(20), nullable=False),
    Column("version", String(40), nullable=False),
    Column("system", Text, nullable=False, server_default=""),
    Column("first_seen_at", Moment, nullable=False),
    Column("last_contact_at", Moment, nullable=False),
    Column("draining", Boolean, nullable=False, server_default=text("false")),
    Column("removed_at", Moment),
    Column("left_at", Moment),  # it said that it ends, and was not heard of since
)
