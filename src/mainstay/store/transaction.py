"""What a query sees (`Tx`) and what runs it (`Database`), the same for both kinds of database.

All queries are plain synchronous functions whose first argument is a `Tx`. They know nothing of threads, event loops
or retries: `Database` runs the whole function as one transaction, so waiting costs once per transaction, not per
statement.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Concatenate, Literal, ParamSpec, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
P = ParamSpec("P")
Kind = Literal["sqlite", "postgresql"]
WakeCallback = Callable[[str], None]

EVERYTHING = "*"
"""The topic that stands for all topics: announced when wake-ups may have been missed."""

log = logging.getLogger(__name__)


class Tx:
    """One transaction while it runs. Nothing of it may be kept after the function that was given it has returned."""

    __slots__ = ("conn", "kind", "topics")

    def __init__(self, conn: Connection, kind: Kind) -> None:
        self.conn = conn
        self.kind: Kind = kind
        self.topics: dict[str, None] = {}
        """Topics to announce, in order and once each."""

    def wake(self, topic: str) -> None:
        """Announce `topic` once this transaction is committed, and not at all if it is not.

        `topic` is a short line of text without a line break. On PostgreSQL the other servers hear it too.
        """
        if not topic or "\n" in topic:
            raise ValueError(f"A topic is a line of text, not {topic!r}.")
        self.topics[topic] = None


class Database(ABC):
    """A database that is open. It belongs to the event loop in which it was opened; `close` it there."""

    kind: Kind

    def __init__(self, where: str) -> None:
        self.where = where
        """The place in words for messages, without a password."""
        self._callbacks: list[WakeCallback] = []

    @abstractmethod
    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, ...)` as one transaction and return its value after the commit.

        An exception from `fn` undoes the transaction and comes out here. `fn` may be run more than once (a deadlock, a
        lost connection), so it must do nothing but read and write through `tx`. When the awaiting task is cancelled,
        the transaction has happened wholly or not at all. On PostgreSQL it runs as READ COMMITTED: a function that
        decides on what it has read locks those rows first (`dialect.for_update`).

        Raises `Unavailable` when the database cannot be reached or written now.
        """

    @abstractmethod
    async def read(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, ...)` on one snapshot: all its statements see the same state. Writing in it is an error."""

    @abstractmethod
    async def migrate(self) -> None:
        """Bring the tables up to date, where they are behind. Opening has done so; a restore may set them back."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was asked for and let go of all threads and connections. Closing twice is harmless."""

    def on_wake(self, callback: WakeCallback) -> Callable[[], None]:
        """Call `callback(topic)` in the event loop for every topic announced here or by another server.

        `EVERYTHING` means that announcements may have been missed. Returns a function that ends it.
        """
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    def announce(self, topics: Iterable[str]) -> None:
        """Hand topics to the callbacks. A callback that fails is logged and keeps nobody else from being woken."""
        for topic in topics:
            for callback in tuple(self._callbacks):
                try:
                    callback(topic)
                except Exception:
                    log.exception("A callback for the topic %r failed", topic)
