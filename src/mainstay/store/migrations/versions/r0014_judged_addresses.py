"""Whether a repository's address is judged before each look, by who gave it. Those that are there were given before."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("repositories", sa.Column("judged", sa.Boolean, nullable=False, server_default=sa.text("false")))
