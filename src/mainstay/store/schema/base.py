"""What all tables are made with."""

from sqlalchemy import ForeignKey, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def owned_by(table: str) -> ForeignKey:
    """A reference to a row that this one goes with."""
    return ForeignKey(f"{table}.id", ondelete="CASCADE")
