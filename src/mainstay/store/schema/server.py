"""The server's own: its story and its small values."""

from sqlalchemy import Column, Index, String, Table, Text

from mainstay.store.schema.base import metadata
from mainstay.store.types import Id, JsonText, Moment

# The story: what happened and why, in order. Read by `why`, the pages and the event stream.
events = Table(
    "events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("repository_id", Id),
    Column("build_id", Id),
    Column("job_id", Id),
    Column("attempt_id", Id),
    Column("runner_id", Id),
    Column("actor", Text),
    Column("cause", Text, nullable=False),
    Column("details", JsonText, nullable=False),
    Index(None, "build_id", "id"),
    Index(None, "repository_id", "id"),
)

# Small values of the server itself: its identity, retention rules.
settings = Table(
    "settings",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", JsonText, nullable=False),
)
