"""A runner that says goodbye is offline at once."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runners", sa.Column("left_at", sa.BigInteger(), nullable=True))
