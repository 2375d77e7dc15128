"""What is watched: repositories, where their refs stand, what was pushed, when schedules are due."""

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text, text

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, JsonText, Moment

# What is watched. `error`, `failures`, `next_poll_at` tell how the last look at the remote went.
repositories = Table(
    "repositories",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("url", Text),
    Column("branches", JsonText, nullable=False),
    Column("commits", String(20), nullable=False),
    Column("supersede", Boolean, nullable=False),
    Column("poll_s", Float, nullable=False),
    Column("default_ref", Text),
    Column("key_public", Text),
    Column("key_sealed", LargeBinary),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment),
    Column("error", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("next_poll_at", Moment),
    Column("next_build_number", Integer, nullable=False, server_default="1"),
    Column("removed_at", Moment),
    Column("public", Boolean, nullable=False, server_default=text("false")),
    Column("paused_at", Moment),
    Column("paused_by", Text),
    Column("bisect", Boolean, nullable=False, server_default=text("true")),  # whether skipped commits are searched
    Column("since", String(64)),  # the commit that the first look begins after
    Column("judged", Boolean, nullable=False, server_default=text("false")),  # whether MAINSTAY_REACH bounds its url
)

# The place reached per ref: moved in the transaction that stores the builds of the move.
refs = Table(
    "refs",
    metadata,
    Column("repository_id", Id, owned_by("repositories"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("commit", String(64), nullable=False),
    Column("moved_at", Moment, nullable=False),
    Index(None, "repository_id", "moved_at"),
)

# Moves of which the first builds are stored and others are to follow: what a killed server had begun is not forgotten
# when the ref has gone elsewhere meanwhile.
begun_moves = Table(
    "begun_moves",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("ref", Text, nullable=False),
    Column("old", String(64)),
    Column("new", String(64), nullable=False),
    Index(None, "repository_id", "ref", "new", unique=True),
)

# Every ref move that was noticed.
pushes = Table(
    "pushes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("ref", Text, nullable=False),
    Column("old", String(64)),
    Column("new", String(64)),
    Column("noticed_by", String(20), nullable=False),
    Column("at", Moment, nullable=False),
    Column("commits", Integer, nullable=False),
    Column("note", Text),
    Index(None, "repository_id", "id"),
)

# What is shown of a commit; written once.
commits = Table(
    "commits",
    metadata,
    Column("repository_id", Id, owned_by("repositories"), primary_key=True),
    Column("sha", String(64), primary_key=True),
    Column("tree", String(64), nullable=False),
    Column("parents", JsonText, nullable=False),
    Column("author", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("authored_at", Moment, nullable=False),
    Column("committed_at", Moment, nullable=False),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
)

# Schedules of workflow files: when each was last and is next due, what came of it, how often it was missed.
schedules = Table(
    "schedules",
    metadata,
    Column("repository_id", Id, owned_by("repositories"), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("cron", String(200), primary_key=True),
    Column("last_at", Moment),
    Column("next_at", Moment),
    Column("build_id", Id),  # that the last start made; the build may have been deleted since
    Column("told", Text),  # why the last start made none, in words
    Column("missed", Integer, nullable=False, server_default="0"),
)
