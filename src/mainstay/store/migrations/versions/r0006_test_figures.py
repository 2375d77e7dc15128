"""Figures of tests: what lists of tests are sorted by, counted from their results."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_index("ix_builds_repository_id_tree", "builds", ["repository_id", "tree"])
    op.create_table(
        "test_counting",
        sa.Column("attempt_id", Id, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="fk_test_counting_attempt_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_test_counting"),
    )
    op.create_table(
        "test_days",
        sa.Column("test_id", Id, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trees", sa.Integer(), nullable=False),
        sa.Column("flaky", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["test_id"], ["tests.id"], name="fk_test_days_test_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("test_id", "day", name="pk_test_days"),
    )
    op.create_table(
        "test_figures",
        sa.Column("test_id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("build_id", Id, nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trees", sa.Integer(), nullable=False),
        sa.Column("flaky", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("ran_at", sa.BigInteger(), nullable=False),
        sa.Column("broke_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_test_figures_repository_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["test_id"], ["tests.id"], name="fk_test_figures_test_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("test_id", name="pk_test_figures"),
    )
    for name, column, where in (
        ("duration", "duration_s", None),
        ("ran", "ran_at", None),
        ("broke", "broke_at", "broke_at IS NOT NULL"),
        ("score", "score", "score > 0"),
        ("failures", "failures", "failures > 0"),
        ("state", "state", None),
    ):
        only = None if where is None else sa.text(where)
        columns = ["repository_id", column, "test_id"]
        op.create_index(f"ix_test_figures_{name}", "test_figures", columns, sqlite_where=only, postgresql_where=only)
    # What is there already is counted by and by, as if it had just ended.
    op.execute(
        "INSERT INTO test_counting (attempt_id, position) SELECT id, 0 FROM attempts WHERE finished_at IS NOT NULL"
        " AND state <> 'lost' AND EXISTS (SELECT 1 FROM test_results WHERE test_results.attempt_id = attempts.id)"
    )
