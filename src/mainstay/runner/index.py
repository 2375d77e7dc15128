"""Reading git's index file: what our private git folder says lies in a work tree, and how it looked when put there.

Format: git's Documentation/gitformat-index, versions 2 and 3 (what git writes unless it is told otherwise; our git
folders tell it only to note where the entries end).
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

HEAD: Final = struct.Struct("!4sII")
STAT: Final = struct.Struct("!10I")
GITLINK: Final = 0o160000
EXTENDED: Final = 0x4000
NAME_LENGTH: Final = 0x0FFF


class IndexUnreadable(Exception):
    """Not an index file as git writes it here: truncated, of another version, or with conflicts."""


class Entry(NamedTuple):
    """One tracked file, with what `lstat` gave right after git had written it, each field cut to 32 bits.

    A tuple in the order of the file: thousands are made at once.
    """

    ctime_s: int
    ctime_rest_ns: int
    mtime_s: int
    mtime_rest_ns: int
    device: int
    inode: int
    mode: int
    uid: int
    gid: int
    size_bytes: int
    digest: bytes

    def looks_like(self, status: os.stat_result) -> bool:
        """Whether nothing that changes with a file's content, place or rights has changed."""
        return (
            self.ctime_s * 10**9 + self.ctime_rest_ns == status.st_ctime_ns
            and self.mtime_s * 10**9 + self.mtime_rest_ns == status.st_mtime_ns
            and self.inode == status.st_ino & 0xFFFFFFFF
            and self.size_bytes == status.st_size & 0xFFFFFFFF
            and self.uid == status.st_uid
            and self.mode & 0o170000 == status.st_mode & 0o170000
        )


@dataclass(frozen=True, slots=True)
class Index:
    """A whole index."""

    entries: dict[str, Entry]
    """By path, as `os.fsdecode` shows it."""
    tree: str | None
    """The tree object this index is equal to, when git says it is equal to one."""
    written_ns: int

    def folders(self) -> set[str]:
        """All folders that hold tracked files, without the root."""
        found: set[str] = set()
        for path in self.entries:
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return found

    def submodules(self) -> set[str]:
        """Places of submodules: folders that git makes and leaves empty."""
        return {path for path, entry in self.entries.items() if entry.mode == GITLINK}

    def size_bytes(self) -> int:
        """What the files take on a disk with blocks of 4 KiB."""
        return sum(entry.size_bytes + 4095 & ~4095 for entry in self.entries.values())


def read_index(path: Path, hash_bytes: int = 20) -> Index:
    """The index at `path`; `hash_bytes` is 32 in SHA-256 repositories. Raises IndexUnreadable, OSError."""
    data = path.read_bytes()
    written_ns = path.stat().st_mtime_ns
    try:
        entries, end = _entries(data, hash_bytes)
        return Index(entries, _root_tree(data, end, hash_bytes), written_ns)
    except (struct.error, ValueError, IndexError) as error:
        raise IndexUnreadable(f"{path} is no index that can be read: {error}") from error


def read_tree_id(path: Path, hash_bytes: int = 20) -> str | None:
    """Only `Index.tree`, without the entries: a hundred times quicker. Raises IndexUnreadable, OSError."""
    data = path.read_bytes()
    mark = len(data) - hash_bytes - (12 + hash_bytes)
    if data[mark : mark + 4] != b"EOIE":
        return read_index(path, hash_bytes).tree
    try:
        return _root_tree(data, int.from_bytes(data[mark + 8 : mark + 12]), hash_bytes)
    except (ValueError, IndexError) as error:
        raise IndexUnreadable(f"{path} is no index that can be read: {error}") from error


def _entries(data: bytes, hash_bytes: int) -> tuple[dict[str, Entry], int]:
    signature, version, count = HEAD.unpack_from(data)
    if signature != b"DIRC" or version not in (2, 3):
        raise ValueError(f"signature {signature!r}, version {version}")
    entries: dict[str, Entry] = {}
    at = HEAD.size
    for _ in range(count):
        digest_at = at + STAT.size
        flags = int.from_bytes(data[digest_at + hash_bytes : digest_at + hash_bytes + 2])
        name_at = digest_at + hash_bytes + (4 if flags & EXTENDED else 2)
        length = flags & NAME_LENGTH
        end = name_at + length if length < NAME_LENGTH else data.index(b"\0", name_at)
        if flags & 0x3000:
            raise ValueError("it holds a conflict")
        digest = data[digest_at : digest_at + hash_bytes]
        entries[os.fsdecode(data[name_at:end])] = Entry._make((*STAT.unpack_from(data, at), digest))
        at += (end - at + 8) & ~7  # one to eight NULs, up to a multiple of eight
    return entries, at


def _root_tree(data: bytes, at: int, hash_bytes: int) -> str | None:
    """From the extension TREE: its first entry is the root, with a count below zero when it is out of date."""
    while at + 8 <= len(data) - hash_bytes:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8])
        if name == b"TREE":
            end_of_line = data.index(b"\n", at + 8)
            count = int(data[at + 8 : end_of_line].split(b"\0")[1].split(b" ")[0])
            return data[end_of_line + 1 : end_of_line + 1 + hash_bytes].hex() if count >= 0 else None
        at += 8 + size
    return None
