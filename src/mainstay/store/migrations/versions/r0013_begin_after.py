"""Where the first look at a repository begins is known to whoever looks first, also after a crash."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("repositories", sa.Column("since", sa.String(64)))
