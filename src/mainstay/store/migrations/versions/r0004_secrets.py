"""Secrets, variables, what jobs used an environment, secrets of webhooks; repositories can be paused."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _values("secrets", sa.Column("sealed", sa.LargeBinary(), nullable=False), sa.Column("used_at", sa.BigInteger()))
    _values("variables", sa.Column("value", sa.Text(), nullable=False))
    op.create_table(
        "environment_jobs",
        sa.Column("job_id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("environment", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_environment_jobs_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_environment_jobs_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_environment_jobs"),
    )
    op.create_index(
        "ix_environment_jobs_repository_id_environment_job_id",
        "environment_jobs",
        ["repository_id", "environment", "job_id"],
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_webhook_secrets_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", name="pk_webhook_secrets"),
    )
    op.add_column("repositories", sa.Column("paused_at", sa.BigInteger(), nullable=True))
    op.add_column("repositories", sa.Column("paused_by", sa.Text(), nullable=True))


def _values(table: str, *columns: sa.Column[object]) -> None:
    """A table of values by place and name."""
    op.create_table(
        table,
        sa.Column("place", sa.String(length=300), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("repository_id", Id, nullable=True),
        sa.Column("environment", sa.String(length=255), nullable=True),
        columns[0],
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        *columns[1:],
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=f"fk_{table}_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("place", "name", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_repository_id", table, ["repository_id"])
