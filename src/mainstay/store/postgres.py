"""How transactions run on PostgreSQL: each on a connection of a pool, tried again where that is safe.

What is tried again: a transaction that PostgreSQL has undone itself (serialization failure, deadlock) and one whose
connection broke before COMMIT was sent. Where the answer to COMMIT is lost, PostgreSQL is asked on a new connection
what became of the transaction (`pg_xact_status`): committed counts as done, aborted is tried again, and where even
that cannot be found out the caller gets `Unavailable` that says so.

Every transaction is a task of its own, so cancelling a caller never leaves a connection in the middle of something.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Concatenate
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mainstay.model.errors import MainstayError, Unavailable
from mainstay.store import migrations
from mainstay.store.dialect import RETRIED_STATES, in_words, is_write_refused, sqlstate_of
from mainstay.store.transaction import EVERYTHING, Database, P, T, Tx

POOL = 10
"""Connections for transactions, beside the one that listens."""
TRIES = 6
PAUSE_S = 0.02
"""Before the second try; three times as long before each further one, give or take a half."""
CONNECT_S = 10.0
COMMAND_S = 75.0
"""After this long without an answer the line is taken for dead. Longer than `statement_timeout`."""
SETTINGS = {
    "application_name": "mainstay",
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "60s",  # Locks of a server that hangs are freed.
    "jit": "off",  # Our statements are short; compiling them takes longer than running them.
    "max_parallel_workers_per_gather": "0",  # So does starting processes for one, where an index would do.
}
OLDEST = 15
"""The first major version of PostgreSQL that is tested."""

CHANNEL = "mainstay"
PAYLOAD_BYTES = 7900
"""PostgreSQL takes payloads of less than 8,000 bytes."""
PING_S = 30.0
"""How often the listening connection is asked whether it lives."""
RECONNECT_S = (0.1, 10.0)
"""The listener's first and longest pause before it connects again."""

GONE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

log = logging.getLogger(__name__)


class PostgresDatabase(Database):
    """A database shared by any number of servers. Announcements travel in the transaction, by NOTIFY."""

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        super().__init__(f"the PostgreSQL database {parts.path.lstrip('/')} at {parts.hostname or 'the local socket'}")
        self._url = url
        self._name = secrets.token_hex(8)
        """Stands in the payloads, so that this process does not hear itself."""
        self._engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=self._connect, pool_size=POOL, max_overflow=0, pool_use_lifo=True
        )
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._slots = asyncio.Semaphore(POOL)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listener: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> "PostgresDatabase":
        """Connect, migrate and listen."""
        self = cls(url)
        try:
            await self._tried(self._prepare)
            listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._listener = asyncio.create_task(self._listen(listening))
            await listening
        except BaseException:
            await self.close()
            raise
        return self

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._put(lambda: self._write_once(lambda tx: fn(tx, *args, **kwargs)))

    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._put(lambda: self._read_once(lambda tx: fn(tx, *args, **kwargs)))

    async def migrate(self) -> None:
        await self._tried(self._prepare)

    async def close(self) -> None:
        self._closed = True
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._engine.dispose()

    async def _put(self, once: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `once`, with its repetitions, in a task that the caller's cancelling does not reach."""
        await self._slots.acquire()
        if self._closed:
            self._slots.release()
            raise Unavailable(f"Cannot use {self.where}: it was closed, the server is stopping.")
        task = asyncio.create_task(self._tried(once))
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return await asyncio.shield(task)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # Seen here, as a cancelled caller no longer looks at it.

    async def _tried(self, once: Callable[[], Coroutine[Any, Any, T]]) -> T:
        for attempt in range(TRIES):
            try:
                return await once()
            except Exception as error:  # noqa: BLE001 - raised again unless it is known to pass
                if attempt == TRIES - 1 or not _is_worth_another_try(error):
                    raise in_words(error, self.where) from error.__cause__
                log.info("A transaction on %s is tried again: %s", self.where, error)
            await asyncio.sleep(_about(PAUSE_S * 3**attempt))
        raise AssertionError("The last try returns or raises")

    async def _read_once(self, run: Callable[[Tx], T]) -> T:
        async with _connection(self._snapshots) as conn:
            try:
                return await conn.run_sync(lambda sync: run(Tx(sync, "postgresql")))
            except DBAPIError as error:
                if is_write_refused(error):
                    raise TypeError(f"A function that reads tried to write: {error.orig}") from error
                raise

    async def _write_once(self, run: Callable[[Tx], T]) -> T:
        lost: Exception | None = None
        async with _connection(self._engine) as conn:
            value, topics, xid = await conn.run_sync(self._work, run)
            try:
                await conn.commit()
            except Exception as error:
                if sqlstate_of(error)[:2] in ("23", "40"):
                    raise  # It answered, and the answer is no: a broken constraint or a conflict.
                lost = error
                await conn.invalidate()
        if lost is not None and not await self._was_committed(xid, lost):
            raise lost
        self.announce(topics)
        return value

    def _work(self, conn: Connection, run: Callable[[Tx], T]) -> tuple[T, tuple[str, ...], str | None]:
        """All but the COMMIT: the value, the topics and the transaction's number, None if it has written nothing."""
        tx = Tx(conn, "postgresql")
        value = run(tx)
        xid = "SELECT CAST(pg_current_xact_id_if_assigned() AS text)"
        if not tx.topics:
            return value, (), conn.exec_driver_sql(xid).scalar()
        number = None
        for payload in _payloads(self._name, tx.topics):
            number = conn.exec_driver_sql(f"{xid}, pg_notify($1, $2)", (CHANNEL, payload)).scalar()
        return value, tuple(tx.topics), number

    async def _was_committed(self, xid: str | None, lost: Exception) -> bool:
        """What became of a transaction whose COMMIT was not answered."""
        if xid is None:
            return False
        for attempt in range(TRIES):
            try:
                async with _connection(self._engine) as conn:
                    asked = await conn.exec_driver_sql("SELECT pg_xact_status(CAST(CAST($1 AS text) AS xid8))", (xid,))
                    status = asked.scalar()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                log.warning("Could not ask %s what became of a transaction: %s", self.where, error)
                status = "in progress"
            if status in ("committed", "aborted"):
                return bool(status == "committed")
            await asyncio.sleep(_about(PAUSE_S * 3**attempt))
        raise Unavailable(
            f"The connection to {self.where} broke while a change was committed, and it is not known whether it was"
            " stored. Look, and ask again if it was not."
        ) from lost

    async def _connect(self) -> "asyncpg.Connection[Any]":
        return await asyncpg.connect(self._url, timeout=CONNECT_S, command_timeout=COMMAND_S, server_settings=SETTINGS)

    async def _prepare(self) -> None:
        """Refuse a PostgreSQL that is too old; migrate if the tables are behind."""
        async with _connection(self._engine) as conn:
            revision = await conn.run_sync(migrations.revision_of)
            version = int((conn.dialect.server_version_info or (0,))[0])
            if version < OLDEST:
                raise Unavailable(f"Cannot use {self.where}: it is PostgreSQL {version}, {OLDEST} or newer is needed.")
            if revision == migrations.HEAD:
                return
            await conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
            await conn.exec_driver_sql("SET LOCAL lock_timeout = 0")
            await conn.run_sync(migrations.upgrade, self.where)
            await conn.commit()

    async def _listen(self, listening: asyncio.Future[None]) -> None:
        """Keep a connection that hears the other servers. Whenever it was lost, everything is announced once."""
        pause = RECONNECT_S[0]
        while True:
            try:
                async with self._hearing() as (conn, closed):
                    pause = RECONNECT_S[0]
                    if listening.done():
                        self.announce([EVERYTHING])
                    else:
                        listening.set_result(None)
                    await _until_dead(conn, closed)
            except Exception as error:  # noqa: BLE001 - without this connection nothing of other servers is heard
                if not listening.done():
                    listening.set_exception(in_words(error, self.where) if isinstance(error, GONE) else error)
                    return
                log.warning("Lost the connection that listens to %s: %s", self.where, error)
            await asyncio.sleep(_about(pause))
            pause = min(pause * 2, RECONNECT_S[1])

    @asynccontextmanager
    async def _hearing(self) -> "AsyncIterator[tuple[asyncpg.Connection[Any], asyncio.Event]]":
        """A connection that listens, and an event that is set when it ends."""
        conn = await self._connect()
        try:
            closed = asyncio.Event()
            conn.add_termination_listener(lambda _: closed.set())
            await conn.add_listener(CHANNEL, self._heard)
            yield conn, closed
        finally:
            conn.terminate()

    def _heard(self, _conn: object, _pid: int, _channel: str, payload: object) -> None:
        sender, *topics = str(payload).split("\n")
        if sender != self._name:
            self.announce(topics)


@asynccontextmanager
async def _connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of the pool. Nothing more is said on a line that is dead: rolling back there would wait for ever."""
    async with engine.connect() as conn:
        try:
            yield conn
        except (OSError, TimeoutError):
            await conn.invalidate()
            raise


async def _until_dead(conn: "asyncpg.Connection[Any]", closed: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.timeout(PING_S):
                await closed.wait()
            return
        except TimeoutError:
            await conn.execute("SELECT 1", timeout=CONNECT_S)


def _payloads(sender: str, topics: Iterable[str]) -> Iterator[str]:
    """The sender and the topics, a line each, in as few payloads as they fit in."""
    payload = sender
    for topic in topics:
        longer = f"{payload}\n{topic}"
        if len(longer.encode()) > PAYLOAD_BYTES and payload != sender:
            yield payload
            longer = f"{sender}\n{topic}"
        payload = longer
    yield payload


def _about(seconds: float) -> float:
    """Half as long to half as long again, so that those who failed together do not try again together."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret


def _is_worth_another_try(error: Exception) -> bool:
    """Whether the transaction is certainly undone and may well succeed the next time."""
    if isinstance(error, MainstayError):
        return False
    state = sqlstate_of(error)
    if state:
        return state in RETRIED_STATES or state[:2] == "08" or state in ("57P01", "57P02", "57P03", "53300")
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, OSError)
    return isinstance(error, (ConnectionError, asyncpg.InterfaceError))
