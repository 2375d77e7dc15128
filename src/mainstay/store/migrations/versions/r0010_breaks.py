"""Branches that went red, and the search for who did it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("repositories", sa.Column("bisect", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.create_table(
        "breaks",
        sa.Column("id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("job_key", sa.Text(), nullable=False),
        sa.Column("build_id", Id, nullable=False),
        sa.Column("good", sa.String(length=64), nullable=False),
        sa.Column("candidates", sa.Text(), nullable=False),
        sa.Column("tests", sa.Text(), nullable=False),
        sa.Column("suspect", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("culprit", sa.String(length=64), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("named_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_breaks_repository_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name="fk_breaks_build_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_breaks"),
    )
    op.create_index("ix_breaks_repository_id_id", "breaks", ["repository_id", "id"])
    op.create_index("ix_breaks_build_id", "breaks", ["build_id"])
    op.create_table(
        "probes",
        sa.Column("break_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("build_id", Id, nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["break_id"], ["breaks.id"], name="fk_probes_break_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name="fk_probes_build_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("break_id", "number", name="pk_probes"),
    )
    op.create_index("ix_probes_build_id", "probes", ["build_id"])
    op.create_table(
        "break_looks",
        sa.Column("build_id", Id, nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name="fk_break_looks_build_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("build_id", name="pk_break_looks"),
    )
