"""What is said differently to SQLite and to PostgreSQL, and what their errors mean.

Queries ask here and never look at `tx.kind`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Insert, Select, Table, func, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mainstay.model.errors import BadInput, MainstayError, Unavailable
from mainstay.store.transaction import Tx

S = TypeVar("S", bound=Select[Any])
T = TypeVar("T")

MIGRATION_LOCK = 0x6D61696E73746179
"""The number of PostgreSQL's advisory lock that one starting server takes: "mainstay" in ASCII."""


def insert_ignore(tx: Tx, table: Table) -> Insert:
    """An insert that leaves rows out whose key is there already. Add `.values(...)`, or execute it with a list."""
    if tx.kind == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    # Imported here, and below, because it comes with all of PostgreSQL's drivers (3 MB, 20 ms).
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table).on_conflict_do_nothing()


def upsert(tx: Tx, table: Table, key: Iterable[Column[Any]], update: Iterable[Column[Any]]) -> Insert:
    """An insert that sets the columns `update` to the given values where a row with the same `key` is there already.

    `key` are the columns of a primary key or unique constraint. Add `.values(...)`, or execute it with a list.
    """
    names = [column.name for column in key]
    if tx.kind == "sqlite":
        lite = sqlite.insert(table)
        return lite.on_conflict_do_update(index_elements=names, set_={c.name: lite.excluded[c.name] for c in update})
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    post = postgresql.insert(table)
    return post.on_conflict_do_update(index_elements=names, set_={c.name: post.excluded[c.name] for c in update})


def upsert_adding(tx: Tx, table: Table, key: Iterable[Column[Any]], add: Iterable[Column[Any]]) -> Insert:
    """The same, but the given values of the columns `add` are added to those of a row that is there already."""
    names = [column.name for column in key]
    if tx.kind == "sqlite":
        lite = sqlite.insert(table)
        sums = {column.name: column + lite.excluded[column.name] for column in add}
        return lite.on_conflict_do_update(index_elements=names, set_=sums)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    post = postgresql.insert(table)
    sums = {column.name: column + post.excluded[column.name] for column in add}
    return post.on_conflict_do_update(index_elements=names, set_=sums)


def for_update(tx: Tx, query: S, of: Table | Sequence[Table] | None = None) -> S:
    """Lock the selected rows until the end of the transaction; whoever wants them meanwhile waits.

    On SQLite there is one writer at a time, so nothing needs to be locked.
    """
    return query if tx.kind == "sqlite" else query.with_for_update(of=of)


def for_no_key_update(tx: Tx, query: S) -> S:
    """The same, but rows that only refer to the locked ones may be written meanwhile."""
    return query if tx.kind == "sqlite" else query.with_for_update(key_share=True)


def for_update_skip_locked(tx: Tx, query: S, of: Table | Sequence[Table] | None = None) -> S:
    """The same, but rows that another transaction has locked are passed over instead of waited for."""
    return query if tx.kind == "sqlite" else query.with_for_update(of=of, skip_locked=True)


def passes_over_locked(tx: Tx) -> bool:
    """Whether another transaction may have passed over rows that this one has locked (`for_update_skip_locked`)."""
    return tx.kind != "sqlite"


def has_lateral(tx: Tx) -> bool:
    """Whether a query in FROM may look at the rows before it. Where it may not, a statement costs next to nothing."""
    return tx.kind != "sqlite"


def others_may_commit(tx: Tx) -> bool:
    """Whether a transaction that has written is still open beside this one: its ids may be lower than those seen."""
    if tx.kind == "sqlite":
        return False  # one writes at a time
    asked = "SELECT pg_snapshot_xmin(s) < pg_snapshot_xmax(s) FROM pg_current_snapshot() AS s"
    return bool(tx.conn.execute(text(asked)).scalar_one())


def parts(items: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """A list in parts that fit into one statement each: databases limit the number of its parameters."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def has_table(conn: Connection, name: str) -> bool:
    """Whether there is a table of that name. Unlike a SELECT from it, this never breaks the transaction."""
    if conn.dialect.name == "sqlite":
        found = conn.execute(text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"), {"name": name})
    else:
        found = conn.execute(text("SELECT 1 WHERE to_regclass(:name) IS NOT NULL"), {"name": name})
    return found.first() is not None


def lock_for_migration(conn: Connection) -> None:
    """Let one process migrate at a time. On SQLite the caller's BEGIN IMMEDIATE has seen to it."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})


def reset_counters(conn: Connection, columns: Iterable[Column[Any]]) -> None:
    """After rows were inserted with their ids: let the next id be above them. SQLite does so by itself."""
    if conn.dialect.name == "sqlite":
        return
    for column in columns:
        sequence = func.pg_get_serial_sequence(column.table.name, column.name)
        highest = func.max(column)
        conn.execute(select(func.setval(sequence, highest)).having(highest.is_not(None)))


def storable(tx: Tx, words: str | None) -> str | None:
    """Text as it can be stored: PostgreSQL cannot hold the character NUL; the replacement character stands for it."""
    return words.replace("\0", "\ufffd") if words and tx.kind == "postgresql" else words


SQLITE_UNAVAILABLE = {
    "SQLITE_FULL": "its disk is full. Make room; nothing was changed.",
    "SQLITE_BUSY": "another process kept it locked. Try again; see that only one server uses the file.",
    "SQLITE_LOCKED": "another process kept it locked. Try again; see that only one server uses the file.",
    "SQLITE_IOERR": "its disk gave an error. Check the disk and the system's log.",
    "SQLITE_READONLY": "it may not be written. Check the owner and the rights of the file and of its folder.",
    "SQLITE_CANTOPEN": "it cannot be opened. Check that its folder is there and who may write to it.",
    "SQLITE_CORRUPT": "the file is damaged. Restore a backup.",
    "SQLITE_NOTADB": "the file is not a SQLite database.",
}

POSTGRES_UNAVAILABLE = {
    "08": "the connection to it broke. Try again.",
    "28": "it refuses the user or the password. Check the database URL.",
    "3D": "there is no such database. Make it with createdb, or check the database URL.",
    "42501": "the user may not do this. Grant it the right to use and make tables in its schema.",
    "53100": "its disk is full. Make room; nothing was changed.",
    "53": "it is short of connections or memory. Try again; see max_connections.",
    "55P03": "a lock was not free in time. Try again.",
    "57014": "a statement took too long and was stopped. Try again.",
    "57": "it is stopping or starting. Try again.",
    "58": "its disk or system gave an error. Check the database server's log.",
    "25006": "it is a standby that may not be written. Name the primary in the database URL.",
}

DATA_EXCEPTION = "22"
"""PostgreSQL's class of errors in values: out of range, bytes that are no text."""

RETRIED_STATES = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: PostgreSQL has undone the transaction and asks for another try."""


def sqlstate_of(error: BaseException) -> str:
    """PostgreSQL's five-letter code of an error, "" if it has none."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(origin, "sqlstate", None) or "")


def is_write_refused(error: BaseException) -> bool:
    """Whether the database said that nothing may be written. While reading, that is a mistake in the query."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return getattr(origin, "sqlite_errorname", None) == "SQLITE_READONLY" or sqlstate_of(error) == "25006"


def in_words(error: Exception, where: str) -> Exception:
    """An error in words: `Unavailable` for the database's surroundings, `BadInput` for a value that cannot be held.

    Any other error comes back as it is.

    Broken constraints stay what they are (`sqlalchemy.exc.IntegrityError`): queries know what those mean.
    """
    if isinstance(error, MainstayError):
        return error
    origin = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(origin, OverflowError) or sqlstate_of(error).startswith(DATA_EXCEPTION):
        refused = BadInput(f"a value cannot be stored: {origin}")
        refused.__cause__ = error
        return refused
    reason = None
    if name := getattr(origin, "sqlite_errorname", None):
        reason = next((words for prefix, words in SQLITE_UNAVAILABLE.items() if name.startswith(prefix)), None)
    elif state := sqlstate_of(error):
        reason = next((words for prefix, words in POSTGRES_UNAVAILABLE.items() if state.startswith(prefix)), None)
    elif isinstance(origin, (OSError, TimeoutError, PoolTimeout)) or getattr(error, "connection_invalidated", False):
        reason = "it cannot be reached. Check that it runs, and the database URL."
    if reason is None:
        return error
    unavailable = Unavailable(f"Cannot use {where}: {reason} ({origin})")
    unavailable.__cause__ = error
    return unavailable
