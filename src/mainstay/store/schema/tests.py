"""Tests and their results, and the figures that are counted from them."""

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint, text

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, JsonText, Moment

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
    # Failures are few beside the rest: a test's last one is found however long ago it was.
    Index(
        "ix_test_results_failures",
        "test_id",
        "attempt_id",
        sqlite_where=text("outcome IN ('failed', 'error')"),
        postgresql_where=text("outcome IN ('failed', 'error')"),
    ),
)

# Ended attempts whose results are yet to be counted into days and figures, and how far that has come.
test_counting = Table(
    "test_counting",
    metadata,
    Column("attempt_id", Id, owned_by("attempts"), primary_key=True),
    Column("position", Integer, nullable=False),
)

# What all jobs of a build divide their tests by: zstd of a JSON object, seconds by name, as first asked for.
split_pins = Table(
    "split_pins",
    metadata,
    Column("build_id", Id, owned_by("builds"), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# What one day's results of a test add up to. It outlives the results: a year of it is 365 small rows per test.
test_days = Table(
    "test_days",
    metadata,
    Column("test_id", Id, owned_by("tests"), primary_key=True),
    Column("day", Integer, primary_key=True),  # days since 1970
    Column("runs", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("trees", Integer, nullable=False),
    Column("flaky", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
)

# How each test stands: sums over the days of its window, for lists that are sorted by them.
test_figures = Table(
    "test_figures",
    metadata,
    Column("test_id", Id, owned_by("tests"), primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("state", String(10), nullable=False),
    Column("build_id", Id, nullable=False),  # the newest build it was in
    Column("runs", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("trees", Integer, nullable=False),
    Column("flaky", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("ran_at", Moment, nullable=False),
    Column("broke_at", Moment),  # when it began to fail, the last time it did
    Index("ix_test_figures_duration", "repository_id", "duration_s", "test_id"),
    Index("ix_test_figures_ran", "repository_id", "ran_at", "test_id"),
    Index(
        "ix_test_figures_broke",
        "repository_id",
        "broke_at",
        "test_id",
        sqlite_where=text("broke_at IS NOT NULL"),
        postgresql_where=text("broke_at IS NOT NULL"),
    ),
    Index(
        "ix_test_figures_score",
        "repository_id",
        "score",
        "test_id",
        sqlite_where=text("score > 0"),
        postgresql_where=text("score > 0"),
    ),
    Index(
        "ix_test_figures_failures",
        "repository_id",
        "failures",
        "test_id",
        sqlite_where=text("failures > 0"),
        postgresql_where=text("failures > 0"),
    ),
    Index("ix_test_figures_state", "repository_id", "state", "test_id"),
)
