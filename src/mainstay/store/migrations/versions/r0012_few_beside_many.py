"""The last failure of a test is found however long ago it was, and what a runner holds whatever it has held."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index(
        "ix_test_results_failures",
        "test_results",
        ["test_id", "attempt_id"],
        sqlite_where=sa.text("outcome IN ('failed', 'error')"),
        postgresql_where=sa.text("outcome IN ('failed', 'error')"),
    )
    op.create_index(
        "ix_attempts_held",
        "attempts",
        ["runner_id"],
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
