"""Brings the tables of a database to the form this version knows. Revisions lie in `versions/`, one file each.

The usual start costs one SELECT (`revision_of`); alembic is imported only when there is something to do.
"""

from pathlib import Path

from sqlalchemy import Connection, text

from mainstay.model.errors import Conflict
from mainstay.store import dialect

HEAD = "0016"
"""The newest revision in `versions/`."""


def known() -> frozenset[str]:
    """All revisions that this version can make: the files in `versions/`, each named after its own."""
    return frozenset(path.name[1:5] for path in (Path(__file__).parent / "versions").glob("r[0-9]*_*.py"))


def revision_of(conn: Connection) -> str | None:
    """The revision a database is at; None: it has no tables of ours yet."""
    if not dialect.has_table(conn, "alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(conn: Connection, where: str, to: str = HEAD) -> None:
    """Migrate within the transaction that is open on `conn`, which the caller commits.

    Raises `Conflict` when the database is of a newer version than this one knows.
    """
    # Imported here because a server that is up to date, which is nearly every start, needs none of it (0.1 s, 10 MB).
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    dialect.lock_for_migration(conn)
    present = revision_of(conn)
    if present == to:
        return  # Another server was quicker.
    if present is not None and present not in known():
        raise Conflict(
            f"Cannot open {where}: its tables are of a newer Mainstay (revision {present}, this version knows up to"
            f" {HEAD}). Start that newer version, or restore a backup that this version made."
        )
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, to)
