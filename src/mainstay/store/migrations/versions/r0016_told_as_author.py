"""Whether somebody is told of branches that commits of theirs broke."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("people", sa.Column("told_as_author", sa.Boolean(), nullable=False, server_default=sa.text("true")))
