"""The first tables. What each is for stands in `store/schema/`; a test compares the two."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("repository_id", Id, nullable=True),
        sa.Column("build_id", Id, nullable=True),
        sa.Column("job_id", Id, nullable=True),
        sa.Column("attempt_id", Id, nullable=True),
        sa.Column("runner_id", Id, nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_build_id_id", "events", ["build_id", "id"])
    op.create_index("ix_events_repository_id_id", "events", ["repository_id", "id"])
    op.create_table(
        "plans",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_plans"),
    )
    op.create_table(
        "repositories",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("branches", sa.Text(), nullable=False),
        sa.Column("commits", sa.String(length=20), nullable=False),
        sa.Column("supersede", sa.Boolean(), nullable=False),
        sa.Column("poll_s", sa.Float(), nullable=False),
        sa.Column("default_ref", sa.Text(), nullable=True),
        sa.Column("key_public", sa.Text(), nullable=True),
        sa.Column("key_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_poll_at", sa.BigInteger(), nullable=True),
        sa.Column("next_build_number", sa.Integer(), server_default="1", nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
        sa.UniqueConstraint("name", name="uq_repositories_name"),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", Id, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )
    op.create_table(
        "caches",
        sa.Column("id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_caches_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_caches"),
        sa.UniqueConstraint(
            "repository_id", "scope", "key", "version", name="uq_caches_repository_id_scope_key_version"
        ),
    )
    op.create_table(
        "commits",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.Column("tree", sa.String(length=64), nullable=False),
        sa.Column("parents", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("authored_at", sa.BigInteger(), nullable=False),
        sa.Column("committed_at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_commits_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "sha", name="pk_commits"),
    )
    op.create_table(
        "pushes",
        sa.Column("id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("old", sa.String(length=64), nullable=True),
        sa.Column("new", sa.String(length=64), nullable=True),
        sa.Column("noticed_by", sa.String(length=20), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("commits", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_pushes_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pushes"),
    )
    op.create_index("ix_pushes_repository_id_id", "pushes", ["repository_id", "id"])
    op.create_table(
        "refs",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_refs_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "name", name="pk_refs"),
    )
    op.create_table(
        "runners",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("token_id", Id, nullable=True),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("executor", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("system", sa.Text(), server_default="", nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_contact_at", sa.BigInteger(), nullable=False),
        sa.Column("draining", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name="fk_runners_token_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_runners"),
        sa.UniqueConstraint("name", name="uq_runners_name"),
    )
    op.create_table(
        "schedules",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("cron", sa.String(length=200), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_schedules_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "source", "cron", name="pk_schedules"),
    )
    op.create_table(
        "tests",
        sa.Column("id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_tests_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tests"),
        sa.UniqueConstraint("repository_id", "digest", name="uq_tests_repository_id_digest"),
    )
    op.create_table(
        "builds",
        sa.Column("id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.Column("tree", sa.String(length=64), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("push_id", Id, nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("concurrency_group", sa.Text(), nullable=True),
        sa.Column("occasion", sa.String(length=100), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["plan"], ["plans.digest"], name="fk_builds_plan"),
        sa.ForeignKeyConstraint(["push_id"], ["pushes.id"], name="fk_builds_push_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_builds_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_builds"),
        sa.UniqueConstraint(
            "repository_id",
            "commit",
            "ref",
            "event",
            "source",
            "occasion",
            name="uq_builds_repository_id_commit_ref_event_source_occasion",
        ),
        sa.UniqueConstraint("repository_id", "number", name="uq_builds_repository_id_number"),
    )
    op.create_index("ix_builds_repository_id_id", "builds", ["repository_id", "id"])
    op.create_index("ix_builds_repository_id_ref_id", "builds", ["repository_id", "ref", "id"])
    op.create_index(
        "ix_builds_repository_id_concurrency_group",
        "builds",
        ["repository_id", "concurrency_group"],
        sqlite_where=sa.text("concurrency_group IS NOT NULL"),
        postgresql_where=sa.text("concurrency_group IS NOT NULL"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", Id, nullable=False),
        sa.Column("build_id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("waits_for", sa.String(length=20), nullable=True),
        sa.Column("matrix", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("fit", sa.Text(), nullable=False),
        sa.Column("allowed_to_fail", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("time_limit_s", sa.Float(), nullable=False),
        sa.Column("concurrency_group", sa.Text(), nullable=True),
        sa.Column("reused_from", Id, nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name="fk_jobs_build_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_jobs_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_build_id", "jobs", ["build_id"])
    op.create_index(
        "ix_jobs_concurrency_group",
        "jobs",
        ["concurrency_group"],
        sqlite_where=sa.text("concurrency_group IS NOT NULL"),
        postgresql_where=sa.text("concurrency_group IS NOT NULL"),
    )
    op.create_index("ix_jobs_repository_id_state_build_id", "jobs", ["repository_id", "state", "build_id"])
    op.create_index("ix_jobs_state", "jobs", ["state", "build_id"])
    op.create_table(
        "attempts",
        sa.Column("id", Id, nullable=False),
        sa.Column("job_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("runner_id", Id, nullable=True),
        sa.Column("runner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("source_tokens", sa.Text(), nullable=True),
        sa.Column("sequence", sa.Integer(), server_default="-1", nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("tests", sa.Text(), nullable=False),
        sa.Column("log_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("log_notice", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_attempts_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["runner_id"], ["runners.id"], name="fk_attempts_runner_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
        sa.UniqueConstraint("job_id", "number", name="uq_attempts_job_id_number"),
    )
    op.create_index("ix_attempts_runner_id_id", "attempts", ["runner_id", "id"])
    op.create_index(
        "ix_attempts_running",
        "attempts",
        ["lease_until"],
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "artifacts",
        sa.Column("id", Id, nullable=False),
        sa.Column("attempt_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("keep_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_artifacts_attempt_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
        sa.UniqueConstraint("attempt_id", "name", name="uq_artifacts_attempt_id_name"),
    )
    op.create_table(
        "log_pieces",
        sa.Column("attempt_id", Id, nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("blob", sa.String(length=100), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_log_pieces_attempt_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt_id", "start", name="pk_log_pieces"),
    )
    op.create_table(
        "test_results",
        sa.Column("attempt_id", Id, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("test_id", Id, nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("rerun", sa.Integer(), nullable=False),
        sa.Column("details", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name="fk_test_results_attempt_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["test_id"], ["tests.id"], name="fk_test_results_test_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attempt_id", "position", name="pk_test_results"),
    )
    op.create_index("ix_test_results_test_id_attempt_id", "test_results", ["test_id", "attempt_id"])
    op.create_index(
        "ix_jobs_queued",
        "jobs",
        ["repository_id", "fit", sa.text("priority DESC"), "id"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
