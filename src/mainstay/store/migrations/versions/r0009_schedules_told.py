"""Schedules tell what came of their last start and what was missed; branches are listed by when they moved."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("schedules", sa.Column("build_id", Id, nullable=True))
    op.add_column("schedules", sa.Column("told", sa.Text(), nullable=True))
    op.add_column("schedules", sa.Column("missed", sa.Integer(), server_default="0", nullable=False))
    op.create_index("ix_refs_repository_id_moved_at", "refs", ["repository_id", "moved_at"])
