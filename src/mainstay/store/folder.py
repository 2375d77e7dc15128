"""Blobs in a folder: `ab/cd/abcd...`. Written beside, synced, then renamed, so no half file ever has a blob's name."""

import hashlib
import os
import threading
import time
from asyncio import to_thread
from collections.abc import AsyncIterable, AsyncIterator, Container, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from mainstay.model.errors import NotFound
from mainstay.store.content import CHUNK_BYTES, KEY, Blobs, Spool, Usage, checked, in_words


class FolderBlobs(Blobs):
    """A folder that this process alone writes to. File access is done in threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._aging = threading.Lock()
        """Held while a blob is made young or deleted for its age, so that these cannot cross."""

    async def put(self, data: bytes) -> str:
        return await to_thread(self._put, data)

    async def put_stream(self, stream: AsyncIterable[bytes], max_bytes: int) -> tuple[str, int]:
        spool = await Spool.fill(self._incoming, stream, max_bytes)
        try:
            await to_thread(self._keep, spool.path, spool.key)
        finally:
            spool.discard()
        return spool.key, spool.size

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return await to_thread(self._get, key, start, end)

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        file = await to_thread(self._open, key)
        try:
            place = start
            while end is None or place < end:
                wanted = CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - place)
                data = await to_thread(self._read, file, place, wanted)
                if not data:
                    return
                yield data
                place += len(data)
        finally:
            file.close()

    async def size(self, key: str) -> int | None:
        def look() -> int | None:
            with in_words("look at a blob", self.folder):
                try:
                    return self._path(key).stat().st_size
                except FileNotFoundError:
                    return None

        return await to_thread(look)

    async def delete(self, key: str) -> None:
        def unlink() -> None:
            with in_words("delete a blob", self.folder):
                self._path(key).unlink(missing_ok=True)

        await to_thread(unlink)

    async def sweep(self, referenced: Container[str], older_than_s: float) -> int:
        # The files' times are the system's, so they are compared with the system's clock.
        return await to_thread(self._sweep, referenced, time.time() - older_than_s)

    async def keys(self) -> AsyncIterator[str]:
        for key in await to_thread(lambda: [entry.name for entry in self._entries()]):
            yield key

    async def usage(self) -> Usage:
        def add_up() -> Usage:
            count = size = 0
            for entry in self._entries():
                with suppress(FileNotFoundError):
                    size += entry.stat().st_size
                    count += 1
            return Usage(count, size)

        return await to_thread(add_up)

    def _path(self, key: str) -> Path:
        checked(key)
        return self.folder / key[:2] / key[2:4] / key

    def _put(self, data: bytes) -> str:
        key = hashlib.sha256(data).hexdigest()
        if self._made_young(key):
            return key
        spool = Spool(self._incoming, len(data))
        try:
            spool.append([data])
            spool.sync()
            self._keep(spool.path, key)
        finally:
            spool.discard()
        return key

    def _made_young(self, key: str) -> bool:
        """Whether the blob is there already; then `sweep` takes it for a new one."""
        with self._aging, in_words("store a blob", self.folder):
            try:
                os.utime(self._path(key))
            except FileNotFoundError:
                return False
            return True

    def _keep(self, spooled: Path, key: str) -> None:
        """Give a synced file its name, and see that the name survives a power cut."""
        path = self._path(key)
        if self._made_young(key):
            return
        with in_words("store a blob", self.folder):
            for folder in (path.parent.parent, path.parent):
                with suppress(FileExistsError):
                    folder.mkdir()
                    _sync_folder(folder.parent)
            with self._aging:
                os.replace(spooled, path)
            _sync_folder(path.parent)

    def _get(self, key: str, start: int, end: int | None) -> bytes:
        with self._open(key) as file:
            wanted = max(0, os.fstat(file.fileno()).st_size - start if end is None else end - start)
            return self._read(file, start, wanted)

    def _open(self, key: str) -> BinaryIO:
        with in_words("read a blob", self.folder):
            try:
                return self._path(key).open("rb", buffering=0)
            except FileNotFoundError:
                raise NotFound(
                    f"The blob {key} is not in {self.folder}: it was deleted by hand, or the folder is not the one that"
                    " belongs to the database."
                ) from None

    def _read(self, file: BinaryIO, start: int, wanted: int) -> bytes:
        """Up to `wanted` bytes, fewer only at the file's end."""
        parts: list[bytes] = []
        with in_words("read a blob", self.folder):
            while wanted > 0 and (data := os.pread(file.fileno(), wanted, start)):
                parts.append(data)
                start += len(data)
                wanted -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _sweep(self, referenced: Container[str], before: float) -> int:
        count = sum(self._swept(entry, before) for entry in self._entries() if entry.name not in referenced)
        for left_over in _scan(self._incoming):
            self._swept(left_over, before)
        return count

    def _swept(self, entry: os.DirEntry[str], before: float) -> bool:
        """Delete a file that is old, while nobody can make it young."""
        with self._aging, in_words("delete a blob", self.folder):
            try:
                if os.stat(entry.path).st_mtime >= before:  # Not `entry.stat`, which may be of before.
                    return False
                os.unlink(entry.path)
            except FileNotFoundError:
                return False
            return True

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        """All blobs' files."""
        for outer in _scan(self.folder):
            if len(outer.name) == 2:
                for inner in _scan(outer.path):
                    yield from (entry for entry in _scan(inner.path) if KEY.fullmatch(entry.name))


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
