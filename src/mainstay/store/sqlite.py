"""How transactions run on SQLite: one thread writes, a few threads read, each with its own connection.

Writes that wait at the same time are committed together (`_Writer`), because a commit that survives a power cut costs
one fsync however much is in it. Readers see the last committed state and never wait for the writer, nor it for them.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine

from mainstay.model.errors import BadInput, Unavailable
from mainstay.store import migrations
from mainstay.store.dialect import in_words, is_write_refused
from mainstay.store.transaction import Database, P, T, Tx

BUSY_S = 10.0
"""How long to wait for another process that is writing to the same file."""
READERS = 4
"""At most; a reader starts when all others are busy."""
BATCH = 500
"""At most this many writes share a commit,"""
BATCH_S = 0.02
"""and no further one joins after this long, so that the first one need not wait for long."""
WRITER_CACHE_KIB = 2048
READER_CACHE_KIB = 512
WAL_LIMIT_BYTES = 16 << 20
"""The log file is cut back to this after a burst."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Call:
    """One transaction that was asked for, and where its caller waits."""

    run: Callable[[Tx], Any]
    future: asyncio.Future[Any]
    value: Any = None
    error: BaseException | None = None
    topics: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Answer the caller, in the event loop. It may have been cancelled meanwhile."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.error)


class _Worker(threading.Thread):
    """A thread with a connection of its own that runs calls from a queue until it finds None there."""

    def __init__(self, name: str, database: "SqliteDatabase", calls: queue.SimpleQueue[_Call | None]) -> None:
        super().__init__(name=name, daemon=True)
        self.database = database
        self.calls = calls
        self.ended: asyncio.Future[None] = database.loop.create_future()
        self._engine: Engine | None = None
        self._conn: Connection | None = None

    def run(self) -> None:
        try:
            while (call := self.calls.get()) is not None:
                self.serve(call)
        finally:
            self._disconnect()
            self.database.in_loop(self._say_ended)

    def _say_ended(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    @abstractmethod
    def serve(self, call: _Call) -> None:
        """Run `call` (and perhaps more from the queue) and see to it that every one of them is answered."""

    def connection(self, cache_kib: int, *, query_only: bool) -> Connection:
        """This thread's connection, opened when first needed and after it had to be given up."""
        if self._conn is None:
            self._engine = engine_for(self.database.path, cache_kib, query_only=query_only)
            self._conn = self._engine.connect()
        return self._conn

    def roll_back(self, conn: Connection) -> None:
        """Leave no transaction open, whatever happened before; give the connection up where that fails."""
        try:
            _raw(conn).rollback()
        except sqlite3.Error:
            log.exception(
                "A connection to %s could not be rolled back; it is closed and opened anew", self.database.path
            )
            self._disconnect()

    def _disconnect(self) -> None:
        engine, self._engine, self._conn = self._engine, None, None
        if engine is not None:
            engine.dispose()

    def _translated(self, error: BaseException) -> BaseException:
        """What the caller shall see. A future takes no StopIteration, and a thread must not end by SystemExit."""
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            return in_words(error, self.database.where)
        return RuntimeError(f"A transaction ended with {error!r}")


class _Reader(_Worker):
    """Runs one call after the other, each on a snapshot of its own."""

    def serve(self, call: _Call) -> None:
        if call.future.cancelled():
            return
        self.database.busy_readers += 1
        try:
            conn = self.connection(READER_CACHE_KIB, query_only=True)
            try:
                _raw(conn).execute("BEGIN")
                call.value = call.run(Tx(conn, "sqlite"))
            finally:
                self.roll_back(conn)
        except BaseException as error:  # noqa: BLE001 - goes to the caller; this thread lives on
            call.error = self._translated(error)
            if is_write_refused(error):
                call.error = TypeError(f"A function that reads tried to write: {error}")
        finally:
            self.database.busy_readers -= 1
        self.database.answer([call])


class _Writer(_Worker):
    """Group commit: takes what waits, gives each call a savepoint in one transaction, answers all after the COMMIT."""

    def serve(self, call: _Call) -> None:
        batch: list[_Call] = []
        try:
            conn = self.connection(WRITER_CACHE_KIB, query_only=False)
            try:
                self._run_batch(conn, call, batch)
                _raw(conn).execute("COMMIT")
            except BaseException:
                self.roll_back(conn)
                raise
        except BaseException as error:  # noqa: BLE001 - goes to the callers; this thread lives on
            # The commit failed, or SQLite itself gave up the whole transaction (disk full): nobody's write is stored.
            failure = self._translated(error)
            for each in batch or [call]:
                each.error = each.error or failure
                each.topics = []
        self.database.answer(batch or [call])

    def _run_batch(self, conn: Connection, first: _Call, batch: list[_Call]) -> None:
        """Run `first` and whatever else waits; `batch` grows as calls are begun."""
        raw = _raw(conn)
        raw.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + BATCH_S
        call: _Call | None = first
        while call is not None:
            if not call.future.cancelled():
                batch.append(call)
                self._run_one(conn, raw, call)
            call = self._next() if len(batch) < BATCH and time.monotonic() < until else None

    def _next(self) -> _Call | None:
        try:
            call = self.calls.get_nowait()
        except queue.Empty:
            return None
        if call is None:
            self.calls.put(None)  # The end was asked for: `run` shall find it after this batch.
        return call

    def _run_one(self, conn: Connection, raw: sqlite3.Connection, call: _Call) -> None:
        """Run one call so that its error undoes only its own changes. Raises when the whole transaction is gone."""
        tx = Tx(conn, "sqlite")
        raw.execute("SAVEPOINT one")
        try:
            call.value = call.run(tx)
            raw.execute("RELEASE one")
            call.topics = list(tx.topics)
        except BaseException as error:
            if not raw.in_transaction:
                raise
            raw.execute("ROLLBACK TO one")
            raw.execute("RELEASE one")
            call.value, call.error = None, self._translated(error)


class SqliteDatabase(Database):
    """A file, opened by this process. Announcements reach this process only: one server per file."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__(f"the SQLite database {path}")
        self.path = path
        self.loop = asyncio.get_running_loop()
        self.busy_readers = 0
        """A hint only (threads change it without a lock): too few or too many readers do no harm."""
        self._writes: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._writer = _Writer("mainstay-write", self, self._writes)
        self._readers: list[_Reader] = []
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> "SqliteDatabase":
        """Open or make the file of `sqlite:///PATH` and migrate it."""
        path = _path_of(url)
        self = cls(path)
        await asyncio.to_thread(self._prepare)
        self._writer.start()
        return self

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._put(self._writes, lambda tx: fn(tx, *args, **kwargs))

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if len(self._readers) < READERS and self.busy_readers + self._reads.qsize() >= len(self._readers):
            self._add_reader()
        return await self._put(self._reads, lambda tx: fn(tx, *args, **kwargs))

    async def migrate(self) -> None:
        await asyncio.to_thread(self._prepare)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        for _ in self._readers:
            self._reads.put(None)
        for worker in (self._writer, *self._readers):
            await asyncio.shield(worker.ended)
            worker.join()

    def answer(self, calls: list[_Call]) -> None:
        """Called by a worker: answer the callers and announce their topics, all in one visit to the event loop."""
        self.in_loop(lambda: self._settle(calls))

    def in_loop(self, callback: Callable[[], object]) -> None:
        """Called by a worker: run `callback` in the event loop, unless that has ended without waiting for us."""
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:
            log.debug("The event loop has ended before %s was closed", self.where)

    def _settle(self, calls: list[_Call]) -> None:
        topics: dict[str, None] = {}
        for call in calls:
            topics.update(dict.fromkeys(call.topics))
            call.settle()
        self.announce(topics)

    async def _put(self, calls: queue.SimpleQueue[_Call | None], run: Callable[[Tx], T]) -> T:
        if self._closed:
            raise Unavailable(f"Cannot use {self.where}: it was closed, the server is stopping.")
        future: asyncio.Future[T] = self.loop.create_future()
        calls.put(_Call(run, future))
        return await future

    def _add_reader(self) -> None:
        if not self._closed:
            reader = _Reader(f"mainstay-read-{len(self._readers) + 1}", self, self._reads)
            self._readers.append(reader)
            reader.start()

    def _prepare(self) -> None:
        """Make the file, choose WAL (it stays with the file) and migrate."""
        engine = engine_for(self.path, WRITER_CACHE_KIB, query_only=False, foreign_keys=False)
        try:
            with engine.connect() as conn:
                if _journal_mode(_raw(conn)) != "wal":
                    raise Unavailable(f"Cannot use {self.where}: its file system does not allow WAL (shared memory).")
                if migrations.revision_of(conn) != migrations.HEAD:
                    self._migrate(conn)
        except Exception as error:  # noqa: BLE001 - raised again, in words
            translated = in_words(error, self.where)
            raise translated from (None if translated is error else error)
        finally:
            engine.dispose()

    def _migrate(self, conn: Connection) -> None:
        """All or nothing. Foreign keys are off here, as tables may have to be made anew, and checked at the end."""
        raw = _raw(conn)
        raw.execute("BEGIN IMMEDIATE")
        try:
            migrations.upgrade(conn, self.where)
            if broken := raw.execute("PRAGMA foreign_key_check").fetchone():
                raise RuntimeError(
                    f"After the migration a row of {broken[0]} names a row of {broken[2]} that is not there"
                )
            raw.execute("COMMIT")
        except BaseException:
            raw.rollback()
            raise


def engine_for(path: Path, cache_kib: int, *, query_only: bool, foreign_keys: bool = True) -> Engine:
    """An engine with a single connection. `isolation_level=None`: this file says BEGIN and COMMIT itself."""

    def connect() -> sqlite3.Connection:
        raw = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute(f"PRAGMA foreign_keys={int(foreign_keys)}")
        raw.execute(f"PRAGMA cache_size=-{cache_kib}")
        raw.execute("PRAGMA mmap_size=0")
        raw.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
        raw.execute("PRAGMA trusted_schema=0")
        raw.execute(f"PRAGMA query_only={int(query_only)}")
        return raw

    return create_engine(URL.create("sqlite", database=str(path)), creator=connect, poolclass=StaticPool)


def _raw(conn: Connection) -> sqlite3.Connection:
    raw = conn.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _journal_mode(raw: sqlite3.Connection) -> str:
    """Choose WAL; the mode the file then has. SQLite itself does not wait for others that change it too."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            return str(raw.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _path_of(url: str) -> Path:
    path = Path(unquote(urlsplit(url).path.removeprefix("/")))
    if not url.startswith("sqlite:///") or not path.is_absolute():
        raise BadInput(
            f"A SQLite database is named by an absolute path, as in sqlite:////var/lib/mainstay/main.db, not {url!r}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
