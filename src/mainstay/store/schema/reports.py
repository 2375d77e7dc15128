"""What people are told, and what is still to be told."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint, text

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, JsonText, Moment

# Branches that are to be judged because a build of theirs ended, or they were moved back: the turn writes them.
to_judge = Table(
    "to_judge",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("ref", Text, nullable=False),
    Column("build_id", Id, owned_by("builds")),
    Column("due_at", Moment, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
)

# What was last found of each branch, and told: a message is made when this changes, in the same transaction.
standings = Table(
    "standings",
    metadata,
    Column("repository_id", Id, owned_by("repositories"), primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("light", String(10), nullable=False),
    Column("commit", String(64), nullable=False),
    Column("since_at", Moment, nullable=False),
    Column("told_at", Moment),
    Column("report_id", Id),
    Column("told", JsonText, nullable=False),  # the authors' addresses that were told of the breakage
)

# One thing that is told, with all it says, whoever it is told to. `answers` is the report it follows up.
reports = Table(
    "reports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("at", Moment, nullable=False),
    Column("answers", Id),
    Column("facts", JsonText, nullable=False),
    Index(None, "repository_id", "id"),
    Index(None, "at"),
)

# Where reports of a repository go. Addresses hold tokens, so they are sealed; `shown` is what may be seen of them.
channels = Table(
    "channels",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("shown", Text, nullable=False),
    Column("target_sealed", LargeBinary, nullable=False),
    Column("secret_sealed", LargeBinary),
    Column("branches", JsonText, nullable=False),
    Column("kinds", JsonText, nullable=False),
    Column("language", String(10), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("repository_id", "name"),
)

# The outbox: one message to one recipient. `due_at` is pushed on while somebody tries, so a killed try is repeated.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("report_id", Id, owned_by("reports"), nullable=False),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("channel_id", Id, ForeignKey("channels.id", ondelete="CASCADE")),
    Column("kind", String(20), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("language", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment),
    Column("ended_at", Moment),
    Column("error", Text),
    Column("status", Integer),
    Index(None, "repository_id", "id"),
    Index(None, "report_id"),
    Index(None, "channel_id"),
    # What is to be sent is little beside what was.
    Index(
        "ix_deliveries_waiting",
        "kind",
        "due_at",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
)

# Addresses that want no mail of a repository; NULL: of none.
refusals = Table(
    "refusals",
    metadata,
    Column("id", Id, primary_key=True),
    Column("address", String(254), nullable=False),
    Column("repository_id", Id, owned_by("repositories")),
    Column("at", Moment, nullable=False),
    Index(None, "address"),
)

# Flaky tests that were told of, and when.
flaky_told = Table(
    "flaky_told",
    metadata,
    Column("test_id", Id, owned_by("tests"), primary_key=True),
    Column("at", Moment, nullable=False),
)

# What people asked to hear; `repository_id` NULL: of all repositories that they may see.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("person_id", Id, owned_by("people"), nullable=False),
    Column("repository_id", Id, owned_by("repositories")),
    Column("branches", JsonText, nullable=False),
    Column("kinds", JsonText, nullable=False),
    Column("language", String(10), nullable=False),
    Column("created_at", Moment, nullable=False),
    Index(None, "person_id"),
    Index(None, "repository_id"),
)
