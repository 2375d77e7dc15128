"""Unpacks bundles into a job's folders: bounded, and through no link, whoever put it there.

A job may have left links in its folders that lead out of its sandbox, and the runner sees more than a job does: so
every folder on the way is opened by itself, and a link among them is refused.
"""

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mainstay.model.errors import MainstayError

MAX_ENTRIES = 200_000
MAX_BYTES = 8 << 30
"""Of all files of one bundle."""
COPY_BYTES = 1 << 20
MAX_DIRECTORY = 24 << 20
"""Bytes of a zip's list of what it holds, which is read into memory as a whole."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BadBundle(MainstayError):
    """It cannot be unpacked; the message says why."""

    code = "bad-bundle"


class Into:
    """A folder of a job that is written to."""

    def __init__(self, root: Path) -> None:
        """`root` is the job's own, and not a link. Raises OSError."""
        self._root = os.open(root, FOLDER)
        self._open: tuple[tuple[str, ...], int] = ((), self._root)
        """The folder that was used last: files come in the order of their folders."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """No more is written."""
        self._close_last()
        os.close(self._root)

    def file(self, parts: tuple[str, ...], source: IO[bytes], most: int, mode: int) -> int:
        """Write a file, in place of whatever has its name; its size. Raises BadBundle when it is over `most` bytes."""
        folder = self.folder(parts[:-1])
        self._clear(parts[-1], folder)
        size = 0
        with os.fdopen(os.open(parts[-1], FILE, mode, dir_fd=folder), "wb") as file:
            while piece := source.read(COPY_BYTES):
                size += len(piece)
                if size > most:
                    raise BadBundle("what it holds is larger than the limit of what is unpacked")
                file.write(piece)
        return size

    def link(self, parts: tuple[str, ...], target: str) -> bool:
        """Make a symbolic link; False: it is not made, because it would lead out."""
        place = list(parts[:-1])
        for part in target.split("/"):
            if part == ".." and place:
                place.pop()
            elif part == ".." or target.startswith("/"):
                return False
            elif part not in ("", "."):
                place.append(part)
        folder = self.folder(parts[:-1])
        self._clear(parts[-1], folder)
        os.symlink(target, parts[-1], dir_fd=folder)
        return True

    def folder(self, parts: tuple[str, ...]) -> int:
        """A descriptor of a folder, made if it is missing; good until the next call."""
        if self._open[0] == parts:
            return self._open[1]
        at = os.dup(self._root)
        try:
            for number, part in enumerate(parts):
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
                try:
                    below = os.open(part, FOLDER, dir_fd=at)
                except NotADirectoryError:
                    raise BadBundle(f"{'/'.join(parts[: number + 1])} is a link or a file, not a folder") from None
                os.close(at)
                at = below
        except BaseException:
            os.close(at)
            raise
        self._close_last()
        self._open = (parts, at)
        return at

    def _clear(self, name: str, folder: int) -> None:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise BadBundle(f"a folder is in the way of the file {name}") from None

    def _close_last(self) -> None:
        if self._open[1] != self._root:
            os.close(self._open[1])
        self._open = ((), self._root)


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a name inside a bundle. Raises BadBundle for one that leads out or that no file can have."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name or not parts or len(name) > 4000:
        raise BadBundle(f"it holds a file with the name {name[:200]!r}, which does not stay in its folder")
    return parts


class _Bounded(io.BufferedReader):
    """A file of which only so much is read into memory at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = MAX_DIRECTORY + 1 if size is None or size < 0 else size
        data = super().read(min(wanted, MAX_DIRECTORY + 1))
        if len(data) > MAX_DIRECTORY:
            raise BadBundle(f"its list of files has more than {MAX_DIRECTORY >> 20} MiB")
        return data


def unpack_zip(bundle: Path, root: Path, below: tuple[str, ...], check: Callable[[], None]) -> int:
    """Unpack a zip into the folder `below` of `root`; how many files it held. `check` raises to have it stopped.

    Blocking. Raises BadBundle, OSError. Folders and plain files only: whatever else is in it is a plain file then.
    """
    try:
        with _Bounded(io.FileIO(bundle)) as file, zipfile.ZipFile(file) as opened, Into(root) as into:
            entries = opened.infolist()
            if len(entries) > MAX_ENTRIES:
                raise BadBundle(f"it holds {len(entries)} files; at most {MAX_ENTRIES} are unpacked")
            into.folder(below)
            left, count = MAX_BYTES, 0
            for entry in entries:
                check()
                parts = (*below, *parts_of(entry.filename))
                if entry.is_dir():
                    into.folder(parts)
                    continue
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise BadBundle(f"it holds a link, {entry.filename[:200]}; links are not unpacked")
                with opened.open(entry) as source:
                    left -= into.file(parts, source, left, 0o644)
                count += 1
            return count
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error) as error:
        raise BadBundle(f"it is no zip that can be read: {error}") from error
