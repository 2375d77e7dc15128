"""Pieces of logs know how many line breaks stand before them, so that any line of a large log is found at once."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("log_breaks", sa.BigInteger(), nullable=True))
    op.add_column("log_pieces", sa.Column("breaks", sa.BigInteger(), nullable=True))
