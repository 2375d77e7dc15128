"""People, their roles, tokens that belong to them, the audit trail.

Columns are added one by one: making a table anew, as SQLite needs for anything more, would empty what refers to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("full_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("group_role", sa.String(length=20), nullable=True),
        sa.Column("password", sa.String(length=200), nullable=True),
        sa.Column("issuer", sa.String(length=500), nullable=True),
        sa.Column("subject", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
        sa.UniqueConstraint("name", name="uq_people_name"),
        sa.UniqueConstraint("issuer", "subject", name="uq_people_issuer_subject"),
    )
    op.create_table(
        "memberships",
        sa.Column("person_id", Id, nullable=False),
        sa.Column("repository_id", Id, nullable=False),
        sa.Column("origin", sa.String(length=10), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_memberships_person_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_memberships_repository_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "repository_id", "origin", name="pk_memberships"),
    )
    op.create_index("ix_memberships_repository_id", "memberships", ["repository_id"])
    op.create_table(
        "audit",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("repository_id", Id, nullable=True),
        sa.Column("person_id", Id, nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_repository_id_id", "audit", ["repository_id", "id"])
    op.create_index("ix_audit_person_id_id", "audit", ["person_id", "id"])
    op.create_index("ix_audit_action_id", "audit", ["action", "id"])
    op.create_table(
        "throttles",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_throttles"),
    )
    op.add_column("tokens", sa.Column("person_id", Id, nullable=True))
    op.add_column("tokens", sa.Column("scope", sa.String(length=10), server_default="admin", nullable=False))
    op.add_column("tokens", sa.Column("repositories", sa.Text(), nullable=True))
    op.add_column("tokens", sa.Column("address", sa.String(length=100), nullable=True))
    op.add_column("tokens", sa.Column("agent", sa.String(length=200), nullable=True))
    op.add_column("tokens", sa.Column("parent_id", Id, nullable=True))
    op.create_index("ix_tokens_person_id_id", "tokens", ["person_id", "id"])
    op.add_column("repositories", sa.Column("public", sa.Boolean(), server_default=sa.text("false"), nullable=False))
