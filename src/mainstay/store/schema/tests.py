"""Tests and their results."""

from sqlalchemy import Column, Float, Index, Integer, String, Table, Text, UniqueConstraint

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, JsonText

# Tests of a repository: a test is a thing with a history.
tests = Table(
    "tests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    UniqueConstraint("repository_id", "digest"),
)

# One row per test per attempt (and rerun within it).
test_results = Table(
    "test_results",
    metadata,
    Column("attempt_id", Id, owned_by("attempts"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("test_id", Id, owned_by("tests"), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("rerun", Integer, nullable=False),
    Column("details", JsonText),
    Index(None, "test_id", "attempt_id"),
)
