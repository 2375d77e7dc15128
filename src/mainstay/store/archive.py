"""A .tar.zst of plain files, written and read in one stream, with a reader that trusts nothing it reads.

Only plain members with names of a given form are read: no links, folders, devices or extended headers, so a hostile
archive has no way to name a place outside, or to make the reader keep more than a piece in memory.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mainstay.model.errors import BadInput, Conflict
from mainstay.store.zstd import OPTIONS, WRITE_OPTIONS, ZstdError, ZstdFile

BLOCK = tarfile.BLOCKSIZE
CHUNK_BYTES = 1 << 20


class ArchiveWriter:
    """Writes members one after the other. The file gets its name only when all is in it and on the disk."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise Conflict(f"Cannot write {path}: there is a file of that name already. Choose another, or delete it.")
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._left = 0
        self._padding = 0

    def __enter__(self) -> Self:
        # Mode 0600: hashes of tokens, logs and perhaps the sealing key are in it.
        handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(handle, "wb")
        self._zstd = ZstdFile(self._file, "wb", options=WRITE_OPTIONS)
        return self

    def begin(self, name: str, size: int) -> None:
        """Begin a member; `write` its `size` bytes next."""
        self._end_member()
        info = tarfile.TarInfo(name)
        info.size = size
        info.mode = 0o600
        self._zstd.write(info.tobuf(tarfile.GNU_FORMAT))
        self._left = size
        self._padding = -size % BLOCK

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        self._zstd.write(data)

    def add(self, name: str, data: bytes) -> None:
        self.begin(name, len(data))
        self.write(data)

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self.begin(name, os.fstat(file.fileno()).st_size)
            while data := file.read(CHUNK_BYTES):
                self.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._end_member()
                self._zstd.write(bytes(2 * BLOCK))
                self._zstd.close()
                self._file.flush()
                os.fsync(self._file.fileno())
                os.link(self._partial, self._path)  # Unlike a rename, this never replaces a file.
        finally:
            with suppress(OSError, ZstdError):
                self._zstd.close()
            self._file.close()
            self._partial.unlink(missing_ok=True)

    def _end_member(self) -> None:
        if self._left:
            raise RuntimeError(f"a member of {self._path} was announced with {self._left} bytes more than it has")
        self._zstd.write(bytes(self._padding))
        self._padding = 0


class ArchiveMember:
    """One file in an archive while it is being read."""

    def __init__(self, name: str, size: int, archive: "ArchiveReader") -> None:
        self.name = name
        self.size = size
        self._left = size
        self._archive = archive

    def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        data = self._archive.take(min(self._left, CHUNK_BYTES))
        self._left -= len(data)
        return data

    def all(self, max_bytes: int) -> bytes:
        if self.size > max_bytes:
            raise BadInput(f"{self._archive.words} {self.name} is larger than the {max_bytes} bytes that are allowed.")
        return b"".join(iter(self.read, b""))

    def lines(self, max_bytes: int) -> Iterator[bytes]:
        """Its lines, without the line breaks; `max_bytes` limits each one."""
        rest = b""
        while data := self.read():
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            if len(rest) > max_bytes:
                raise BadInput(f"{self._archive.words} {self.name} has a line over the {max_bytes} bytes allowed.")
        if rest:
            yield rest


class ArchiveReader:
    """Reads members in their order. Raises `BadInput` for anything that `ArchiveWriter` does not write."""

    def __init__(self, path: Path, names: re.Pattern[str]) -> None:
        """`names` must match the whole of each member's name."""
        self.words = f"The backup {path} cannot be used:"
        self._path = path
        self._names = names

    def __enter__(self) -> Self:
        try:
            self._file = ZstdFile(self._path, "rb", options=OPTIONS)
        except OSError as error:
            raise BadInput(f"{self.words} {error}.") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[ArchiveMember]:
        seen: set[str] = set()
        while (member := self._next()) is not None:
            if member.name in seen:
                raise BadInput(f"{self.words} {member.name} is in it twice.")
            seen.add(member.name)
            yield member
            while member.read():
                pass  # What the caller did not want.
            self.take(-member.size % BLOCK)

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        data = self._some(size)
        while len(data) < size and (more := self._some(size - len(data))):
            data += more
        if len(data) < size:
            raise BadInput(f"{self.words} it is cut short.")
        return data

    def _some(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (ZstdError, EOFError, OSError) as error:
            raise BadInput(f"{self.words} it is damaged or cut short ({error}).") from error

    def _next(self) -> ArchiveMember | None:
        header = self.take(BLOCK)
        if not any(header):
            # Read to the very end, where the checksum is.
            if any(self.take(BLOCK)) or self._some(1):
                raise BadInput(f"{self.words} something follows after its end.")
            return None
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.TarError, UnicodeError, ValueError) as error:
            raise BadInput(f"{self.words} it is damaged ({error}).") from error
        if info.type != tarfile.REGTYPE or info.size < 0 or not self._names.fullmatch(info.name):
            raise BadInput(f"{self.words} {info.name[:100]!r} does not belong into a backup.")
        return ArchiveMember(info.name, info.size, self)
