"""The way in: opens the database that a URL names and brings its tables up to date. See `transaction` for its use."""

from urllib.parse import urlsplit

from mainstay.model.errors import BadInput
from mainstay.store.sqlite import SqliteDatabase
from mainstay.store.transaction import EVERYTHING, Database, Tx

__all__ = ["EVERYTHING", "Database", "Tx", "open_database"]


async def open_database(url: str) -> Database:
    """Open `sqlite:///ABSOLUTE/PATH` (made if missing) or `postgresql://...` and migrate it if it is behind.

    Raises `BadInput` for any other URL, `Conflict` for a database of a newer Mainstay, `Unavailable` when it cannot be
    reached.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return await SqliteDatabase.open(url)
    if scheme in ("postgresql", "postgres"):
        # Imported here because asyncpg and the asynchronous half of SQLAlchemy cost a server on SQLite start-up time
        # and memory that it has no use for.
        from mainstay.store.postgres import PostgresDatabase  # noqa: PLC0415

        return await PostgresDatabase.open(url)
    raise BadInput(f"The database URL must begin with sqlite:/// or postgresql://, not {scheme or url!r}.")
