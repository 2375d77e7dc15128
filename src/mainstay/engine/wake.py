"""Waking those who wait for a topic: tasks of this process, told by this server's turns or by another server's."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from mainstay.store.database import EVERYTHING, Database


class Watch:
    """A set of topics that somebody waits for. What was announced before `wait` is not lost."""

    __slots__ = ("_event", "topics")

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.topics = topics
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Something was announced."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Until one of the topics was announced since the last call, or the time is over (then False)."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Wake:
    """All watches of this process by topic."""

    def __init__(self, database: Database) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._stop = database.on_wake(self.announce)

    def announce(self, topic: str) -> None:
        """Wake those who watch `topic`."""
        if topic == EVERYTHING:
            for watches in tuple(self._watches.values()):
                for watch in tuple(watches):
                    watch.fire()
            return
        for watch in tuple(self._watches.get(topic, ())):
            watch.fire()

    @contextmanager
    def watch(self, *topics: str) -> Iterator[Watch]:
        """Watch topics for the time of a `with` block; open it before reading what the topics are about."""
        watch = Watch(topics)
        for topic in topics:
            self._watches.setdefault(topic, set()).add(watch)
        try:
            yield watch
        finally:
            for topic in topics:
                watches = self._watches[topic]
                watches.discard(watch)
                if not watches:
                    del self._watches[topic]

    @property
    def size(self) -> int:
        """How many topics are watched (it must not grow with time)."""
        return len(self._watches)

    def close(self) -> None:
        """Hear nothing more."""
        self._stop()
