"""From a plan to the bytes that came of it: builds, jobs, attempts, logs, artifacts, caches."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from mainstay.store.schema.base import metadata, owned_by
from mainstay.store.types import Id, JsonText, Moment

# Plans by the digest of their JSON, shared by all builds with the same workflow file.
plans = Table(
    "plans",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("body", JsonText, nullable=False),
)

# One workflow run for one commit and one event. `position` numbers the branch's line of builds for the strip.
builds = Table(
    "builds",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("tree", String(64), nullable=False),
    Column("ref", Text, nullable=False),
    Column("event", String(40), nullable=False),
    Column("workflow", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("plan", String(64), ForeignKey("plans.digest"), nullable=False),
    Column("push_id", Id, ForeignKey("pushes.id", ondelete="SET NULL")),
    Column("payload", JsonText, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("reason", Text),
    Column("created_at", Moment, nullable=False),
    Column("concurrency_group", Text),
    Column("occasion", String(100), nullable=False, server_default=""),
    # `occasion`: why it is not the same as another of this commit; empty for pushes, the time for schedules.
    UniqueConstraint("repository_id", "number"),
    UniqueConstraint("repository_id", "commit", "ref", "event", "source", "occasion"),
    Index(None, "repository_id", "id"),
    Index(None, "repository_id", "ref", "id"),
    Index(None, "repository_id", "tree"),
    Index(
        None,
        "repository_id",
        "concurrency_group",
        sqlite_where=text("concurrency_group IS NOT NULL"),
        postgresql_where=text("concurrency_group IS NOT NULL"),
    ),
)

# One node of a build's graph. `fit` is its labels sorted and joined by commas: what a runner must offer.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("build_id", Id, owned_by("builds"), nullable=False),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
    Column("waits_for", String(20)),  # while it is waiting: needs, concurrency or runner
    Column("matrix", JsonText, nullable=False),
    Column("strategy", JsonText, nullable=False),
    Column("needs", JsonText, nullable=False),
    Column("labels", JsonText, nullable=False),
    Column("fit", Text, nullable=False),
    Column("allowed_to_fail", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("outputs", JsonText, nullable=False),
    Column("time_limit_s", Float, nullable=False),
    Column("concurrency_group", Text),
    Column("reused_from", Id),
    Column("changed_at", Moment, nullable=False),
    Index(None, "build_id"),
    Index(
        None,
        "concurrency_group",
        sqlite_where=text("concurrency_group IS NOT NULL"),
        postgresql_where=text("concurrency_group IS NOT NULL"),
    ),
    # Open jobs are few beside the history: claims and "what waits" read only these.
    Index(
        "ix_jobs_queued",
        "repository_id",
        "fit",
        text("priority DESC"),
        "id",
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
    # Lists of builds in one state, of all repositories or of one.
    Index("ix_jobs_state", "state", "build_id"),
    Index(None, "repository_id", "state", "build_id"),
)

# One try of a job; a re-run adds one. `source_tokens` are hashes; each opens the repository for this try.
attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", Id, owned_by("jobs"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("cause", Text, nullable=False),
    Column("queued_at", Moment, nullable=False),
    Column("runner_id", Id, ForeignKey("runners.id", ondelete="SET NULL")),
    Column("runner", Text),
    Column("lease_until", Moment),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("commit", String(64)),
    Column("exit_code", Integer),
    Column("reason", Text),
    Column("cancel_reason", Text),
    Column("source_tokens", JsonText),
    Column("sequence", Integer, nullable=False, server_default="-1"),
    Column("steps", JsonText, nullable=False),
    Column("annotations", JsonText),
    Column("summary", Text),
    Column("tests", JsonText, nullable=False),
    Column("log_bytes", BigInteger, nullable=False, server_default="0"),
    Column("log_notice", Text),
    Column("log_breaks", BigInteger, default=0),  # line breaks in the log; NULL: it began before they were counted
    UniqueConstraint("job_id", "number"),
    Index(None, "runner_id", "id"),
    Index(
        "ix_attempts_running",
        "lease_until",
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    # What a runner holds, asked at every one of its requests, is little beside what it has held.
    Index(
        "ix_attempts_held",
        "runner_id",
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
)

# An attempt's log in pieces, in offset order: small ones inline while the job runs, large ones as zstd frames in the
# blob store (`blob`). Finished logs are packed into few pieces by retention's housekeeping.
log_pieces = Table(
    "log_pieces",
    metadata,
    Column("attempt_id", Id, owned_by("attempts"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary),
    Column("blob", String(100)),
    Column("breaks", BigInteger),  # line breaks before the piece; NULL: not counted
)

# Bundles that jobs kept; the bytes are in the blob store.
artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("attempt_id", Id, owned_by("attempts"), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blob", String(100), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("keep_until", Moment),
    UniqueConstraint("attempt_id", "name"),
)

# Caches kept for jobs, by exact key and scope; the bytes are in the blob store.
caches = Table(
    "caches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, owned_by("repositories"), nullable=False),
    Column("scope", Text, nullable=False),
    Column("key", String(512), nullable=False),
    Column("version", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blob", String(100), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment, nullable=False),
    UniqueConstraint("repository_id", "scope", "key", "version"),
)
