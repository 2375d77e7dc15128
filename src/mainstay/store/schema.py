"""The tables, one comment each. What can be derived is not stored: states of builds and commits are folded from jobs.

Changing a table means a new file in `store/migrations/`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from mainstay.store.types import Id, JsonText, Moment

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _of(table: str) -> ForeignKey:
    return ForeignKey(f"{table}.id", ondelete="CASCADE")


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
)

# The place reached per ref: moved in the transaction that stores the builds of the move.
refs = Table(
    "refs",
    metadata,
    Column("repository_id", Id, _of("repositories"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("commit", String(64), nullable=False),
    Column("moved_at", Moment, nullable=False),
)

# Every ref move that was noticed.
pushes = Table(
    "pushes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, _of("repositories"), nullable=False),
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
    Column("repository_id", Id, _of("repositories"), primary_key=True),
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
    Column("repository_id", Id, _of("repositories"), nullable=False),
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
    Column("build_id", Id, _of("builds"), nullable=False),
    Column("repository_id", Id, _of("repositories"), nullable=False),
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
    Column("job_id", Id, _of("jobs"), nullable=False),
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
    UniqueConstraint("job_id", "number"),
    Index(None, "runner_id", "id"),
    Index(
        "ix_attempts_running",
        "lease_until",
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
)

# An attempt's log in pieces, in offset order: small ones inline while the job runs, large ones as zstd frames in the
# blob store (`blob`). Finished logs are packed into few pieces by retention's housekeeping.
log_pieces = Table(
    "log_pieces",
    metadata,
    Column("attempt_id", Id, _of("attempts"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary),
    Column("blob", String(100)),
)

# Tests of a repository: a test is a thing with a history.
tests = Table(
    "tests",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, _of("repositories"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    UniqueConstraint("repository_id", "digest"),
)

# One row per test per attempt (and rerun within it).
test_results = Table(
    "test_results",
    metadata,
    Column("attempt_id", Id, _of("attempts"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("test_id", Id, _of("tests"), nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("rerun", Integer, nullable=False),
    Column("details", JsonText),
    Index(None, "test_id", "attempt_id"),
)

# Bundles that jobs kept; the bytes are in the blob store.
artifacts = Table(
    "artifacts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("attempt_id", Id, _of("attempts"), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blob", String(100), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("keep_until", Moment),
    UniqueConstraint("attempt_id", "name"),
)

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
)

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

# Schedules of workflow files: when each was last and is next due.
schedules = Table(
    "schedules",
    metadata,
    Column("repository_id", Id, _of("repositories"), primary_key=True),
    Column("source", Text, primary_key=True),
    Column("cron", String(200), primary_key=True),
    Column("last_at", Moment),
    Column("next_at", Moment),
)

# Caches kept for jobs, by exact key and scope; the bytes are in the blob store.
caches = Table(
    "caches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, _of("repositories"), nullable=False),
    Column("scope", Text, nullable=False),
    Column("key", String(512), nullable=False),
    Column("version", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blob", String(100), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment, nullable=False),
    UniqueConstraint("repository_id", "scope", "key", "version"),
)

# Small values of the server itself: its identity, retention rules.
settings = Table(
    "settings",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", JsonText, nullable=False),
)
