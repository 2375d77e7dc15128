"""The durations that the jobs of a build divide their tests by."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "split_pins",
        sa.Column("build_id", Id, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name="fk_split_pins_build_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("build_id", name="pk_split_pins"),
    )
