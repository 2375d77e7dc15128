"""Branches that went red, and the search for who did it."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, JsonText, Moment

# A job of a workflow that went red on a branch; see model/breakage.py.
breaks = Table(
    "breaks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("ref", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("job_key", Text, nullable=False),
    Column("build_id", Id, owned_by("builds"), nullable=False),
    Column("good", String(64), nullable=False),
    Column("candidates", JsonText, nullable=False),
    Column("tests", JsonText, nullable=False),
    Column("suspect", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
    Column("culprit", String(64)),
    Column("opened_at", Moment, nullable=False),
    Column("named_at", Moment),
    Column("ended_at", Moment),
    Index(None, "repository_id", "id"),
    Index(None, "build_id"),
)

# Builds that were started for such a search.
probes = Table(
    "probes",
    metadata,
    Column("break_id", Id, owned_by("breaks"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("build_id", Id, ForeignKey("builds.id", ondelete="SET NULL")),
    Column("commit", String(64), nullable=False),
    Index(None, "build_id"),
)

# Builds that have ended and whose branch is to be looked at.
break_looks = Table(
    "break_looks",
    metadata,
    Column("build_id", Id, owned_by("builds"), primary_key=True),
)
