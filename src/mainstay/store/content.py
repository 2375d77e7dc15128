"""What every blob store does, whether in a folder or in a bucket.

A key is the SHA-256 of the content in hex. A blob is there whole or not at all. Rows refer to blobs by key; what no row
refers to is deleted by `sweep`, never by those who delete rows.
"""

import errno
import hashlib
import os
import re
import tempfile
import threading
from abc import ABC, abstractmethod
from asyncio import to_thread
from collections.abc import AsyncIterable, AsyncIterator, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mainstay.model.errors import NotFound, TooLarge, Unavailable

CHUNK_BYTES = 1 << 20
"""Streams are read and written in pieces of about this size."""

KEY = re.compile(r"[0-9a-f]{64}")
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a blob store holds."""

    count: int
    size_bytes: int


class Blobs(ABC):
    """A place for blobs. Raises `Unavailable` when it cannot be reached or is full."""

    @abstractmethod
    async def put(self, data: bytes) -> str:
        """Store bytes and give their key. Once this returns, they survive a power cut."""

    @abstractmethod
    async def put_stream(self, stream: AsyncIterable[bytes], max_bytes: int) -> tuple[str, int]:
        """Store what a stream gives; its key and size. Raises `TooLarge` over `max_bytes`; then nothing is stored."""

    @abstractmethod
    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` up to `end`, or as many of them as there are. Raises `NotFound`."""

    @abstractmethod
    def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The same in pieces. Raises `NotFound` at the first one."""

    @abstractmethod
    async def size(self, key: str) -> int | None:
        """How many bytes it has; None: it is not there."""

    async def exists(self, key: str) -> bool:
        return await self.size(key) is not None

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete it now, whoever refers to it. It need not be there."""

    @abstractmethod
    async def sweep(self, referenced: Container[str], older_than_s: float) -> int:
        """Delete the blobs that are not `referenced` and were last put longer than this ago; give how many.

        `put` makes a blob young again even if it was there already: who stores a blob and then its row has this long.
        """

    @abstractmethod
    def keys(self) -> AsyncIterator[str]:
        """All keys, in no order."""

    @abstractmethod
    async def usage(self) -> Usage:
        """How many blobs there are and how large they are together. Looks at each one: not for every page."""


def checked(key: str) -> str:
    """`key` if it has the form of one, so that it may become part of a path."""
    if not KEY.fullmatch(key):
        raise NotFound(f"There is no blob {key[:80]!r}: keys are 64 hex digits.")
    return key


@contextmanager
def in_words(what: str, folder: Path) -> Iterator[None]:
    """Errors of the disk as `Unavailable`, with what was tried and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise Unavailable(f"Cannot {what}: the disk of {folder} is full. Make room, then try again.") from error
        raise Unavailable(f"Cannot {what} in {folder}: {error}. Check the folder and who may write to it.") from error


class Spool:
    """A temporary file that a stream is written to while its bytes are counted and hashed. Used in threads."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._lock = threading.Lock()
        """A cancelled caller discards the file while a thread may still be writing to it."""
        self.size = 0
        with in_words("store a blob", folder):
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix="incoming-")
        self._file = os.fdopen(handle, "wb", buffering=0)
        self.path = Path(name)

    @classmethod
    async def fill(cls, folder: Path, stream: AsyncIterable[bytes], max_bytes: int) -> Self:
        """A file with all that the stream gives, safely on the disk. The caller discards it."""
        spool = await to_thread(cls, folder, max_bytes)
        try:
            waiting: list[bytes] = []
            waiting_bytes = 0
            async for data in stream:
                waiting.append(data)
                waiting_bytes += len(data)
                if waiting_bytes >= CHUNK_BYTES:
                    await to_thread(spool.append, waiting)
                    waiting, waiting_bytes = [], 0
            await to_thread(spool.append, waiting)
            await to_thread(spool.sync)
        except BaseException:
            spool.discard()
            raise
        return spool

    @property
    def key(self) -> str:
        return self._hash.hexdigest()

    def append(self, parts: list[bytes]) -> None:
        with self._lock, in_words("store a blob", self._folder):
            for part in parts:
                self.size += len(part)
                if self.size > self._max_bytes:
                    raise TooLarge(f"Cannot store this: it has more than the {self._max_bytes} bytes that are allowed.")
                self._hash.update(part)
                view = memoryview(part)
                while view:
                    view = view[self._file.write(view) or 0 :]

    def sync(self) -> None:
        with self._lock, in_words("store a blob", self._folder):
            os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Close the file, and delete it unless it has been moved."""
        with self._lock:
            self._file.close()
            self.path.unlink(missing_ok=True)
