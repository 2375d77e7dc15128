"""Making a used work tree as clean as a fresh one, without asking git: nothing a job left is read, run or followed.

One walk compares every file with the index of our private git folder. What git did not put there is moved to the
trash; what git did put there and no longer looks untouched is removed, for git to write anew. A job cannot fake the
look: any change of a file moves its ctime, and where the clock is too coarse to tell, the content is hashed.
"""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.runner.index import GITLINK, Entry, Index


class Doubtful(Exception):
    """This tree cannot be proven clean; it must be thrown away. Says why."""


@dataclass(slots=True)
class Sweep:
    """One walk over one work tree."""

    root: Path
    index: Index
    folder_mode: int
    """The mode every folder has when git makes it here."""
    discard: Callable[[Path], None]
    """Takes a folder out of the tree, whatever is in it (a rename into the trash)."""
    seen: int = 0
    """Tracked files found untouched."""
    removed: int = 0
    youngest_ns: int = 0
    """When the last of the untouched files was written."""
    _folders: set[str] = field(default_factory=set)
    _submodules: set[str] = field(default_factory=set)

    def run(self) -> bool:
        """Whether every tracked file lies there untouched; if not, git is to write the missing ones.

        Blocking: about 4 us a file. Raises Doubtful.
        """
        self._folders = self.index.folders()
        self._submodules = self.index.submodules()
        try:
            self._walk(str(self.root), "")
        except OSError as error:
            raise Doubtful(f"{error.filename}: {error.strerror}") from error
        return self.seen == len(self.index.entries)

    def _walk(self, folder: str, inside: str) -> None:
        """`inside`: its path within the tree, empty or with a slash at its end."""
        self._own(folder)
        with os.scandir(folder) as listing:
            entries = list(listing)
        for entry in entries:
            path = inside + entry.name
            tracked = self.index.entries.get(path)
            if path in self._folders and entry.is_dir(follow_symlinks=False):
                self._walk(entry.path, path + "/")
            elif path in self._submodules and entry.is_dir(follow_symlinks=False):
                self._empty(entry.path)
            elif tracked is not None and tracked.mode != GITLINK and self._untouched(entry.path, tracked):
                self.seen += 1
            else:
                self._remove(entry.path, entry.is_dir(follow_symlinks=False))

    def _own(self, folder: str) -> None:
        """See to it that a folder git made is ours and has the rights it had."""
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise Doubtful(f"{folder} is not the folder it was")
        if stat.S_IMODE(status.st_mode) != self.folder_mode:
            os.chmod(folder, self.folder_mode)

    def _empty(self, folder: str) -> None:
        """A submodule's place: whatever was checked out there goes."""
        self._own(folder)
        self.seen += 1
        with os.scandir(folder) as listing:
            for entry in list(listing):
                self._remove(entry.path, entry.is_dir(follow_symlinks=False))

    def _untouched(self, path: str, tracked: Entry) -> bool:
        status = os.lstat(path)
        if not tracked.looks_like(status):
            return False
        rights = self.folder_mode & (0o777 if tracked.mode & 0o100 else 0o666)
        if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) != rights:
            return False
        young_ns = max(status.st_ctime_ns, status.st_mtime_ns)
        self.youngest_ns = max(self.youngest_ns, young_ns)
        if young_ns < self.index.written_ns:
            return True
        # Written in the same tick of the clock as the index: a change within that tick would not show.
        return _digest(path, status, len(tracked.digest)) == tracked.digest

    def _remove(self, path: str, is_folder: bool) -> None:
        self.removed += 1
        if is_folder:
            os.chmod(path, 0o700)  # a folder can only be moved by who may write to it
            self.discard(Path(path))
        else:
            os.unlink(path)


def _digest(path: str, status: os.stat_result, size: int) -> bytes:
    """Git's name of a file's content. Wrong for files that git converts: those are just written anew."""
    content = os.fsencode(os.readlink(path)) if stat.S_ISLNK(status.st_mode) else Path(path).read_bytes()
    name = "sha256" if size == 32 else "sha1"
    return hashlib.new(name, b"blob %d\0%s" % (len(content), content), usedforsecurity=False).digest()
