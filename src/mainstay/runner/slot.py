"""One kept work tree on disk: made, given a commit, swept, taken over from an earlier run.

FOLDER/work      what a job sees
FOLDER/git       our private git folder for it: HEAD and index; objects are the mirror's
FOLDER/clean     present while `work` is known to be clean; holds the machine's boot id
"""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mainstay.git.process import run as run_git
from mainstay.runner.gitdir import Refs, set_head, set_stores, write_commit, write_empty, write_private
from mainstay.runner.index import IndexUnreadable, read_index, read_tree_id
from mainstay.runner.sweep import Doubtful, Sweep
from mainstay.runner.trash import mounts_below

CHECK_OUT_S: Final = 1800.0
OLD_NS: Final = 50_000_000
"""A file this old can no longer be changed within the tick of the clock in which it was written."""
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class Slot:
    """One kept tree."""

    folder: Path
    repository: int
    commit: str | None = None
    """What lies in it, known to be clean and whole; None: git must look."""
    stores: tuple[Path, ...] = ()
    """Where its objects are."""
    hash_bytes: int = 20
    folder_mode: int = 0o755
    """The rights a folder has when it is made here."""
    identity: tuple[int, int] = (0, 0)
    """Device and inode of `work`: a job may not put another folder in its place."""
    name: str = ""
    """The repository's."""
    begun: tuple[object, ...] | None = None
    """What `next` was made for."""
    size_bytes: int = 0
    used_at: float = 0.0

    @property
    def work(self) -> Path:
        """The work tree."""
        return self.folder / "work"

    @property
    def git(self) -> Path:
        """The private git folder."""
        return self.folder / "git"

    @property
    def index(self) -> Path:
        """Its index."""
        return self.folder / "git" / "index"

    def make(self, stores: tuple[Path, ...], hash_bytes: int) -> None:
        """New and empty."""
        self.folder.mkdir(parents=True)
        write_private(self.git, stores, sha256=hash_bytes == 32)
        self.work.mkdir()
        self.stores, self.hash_bytes, self.commit = stores, hash_bytes, None
        self._know_folder()

    def lend(self, stores: tuple[Path, ...]) -> None:
        """From here on a job may do anything to it."""
        (self.folder / "clean").unlink(missing_ok=True)
        if stores != self.stores:
            set_stores(self.git, stores)
            self.stores = stores

    async def check_out(self, commit: str) -> None:
        """Compare every file with the index and write it where it differs; whatever lies in its place goes.

        What is not tracked stays: that is `sweep`'s. Raises GitError.
        """
        self.commit = None
        # `^{commit}`: only a commit will do. The caller has seen to it that it is 40 or 64 hex digits.
        words = ("read-tree", "--reset", "-u", commit + "^{commit}")
        await run_git(*words, git_dir=self.git, work_tree=self.work, timeout_s=CHECK_OUT_S)
        set_head(self.git, commit)

    def give_git(self, ref: str, refs: Refs) -> None:
        """The job's own `.git`, for the commit that is checked out."""
        assert self.commit is not None
        if self.begun != self._begin_for():
            self.begin_git()
        os.rename(self.folder / "next", self.work / ".git")
        self.begun = None
        write_commit(self.work / ".git", self.index, self.commit, ref, refs)

    def begin_git(self) -> None:
        """What can be made of the next job's `.git` before that job is there."""
        begun = self.folder / "next"
        shutil.rmtree(begun, ignore_errors=True)
        write_empty(begun, self.work / ".git", self.stores, self.name, self.hash_bytes == 32)
        self.begun = self._begin_for()

    def _begin_for(self) -> tuple[object, ...]:
        return self.stores, self.name, self.hash_bytes

    def tree_id(self) -> str | None:
        """The tree object that the index is equal to, as git wrote it. Raises IndexUnreadable, OSError."""
        return read_tree_id(self.index, self.hash_bytes)

    def sweep(self, discard: Callable[[Path], None], *, rested: bool = False) -> bool:
        """Remove what the commit has not. Whether it is whole; False: clean, but git must write files anew.

        `rested`: no job has run since git wrote it, and the clock has ticked. Blocking. Raises Doubtful, OSError,
        IndexUnreadable.
        """
        status = self.work.lstat()
        if (status.st_dev, status.st_ino) != self.identity:
            raise Doubtful("the job put something else in the place of its work tree")
        if mounts := mounts_below(self.folder):
            raise Doubtful(f"something is mounted in it: {mounts[0]}")
        if rested:
            os.utime(self.index)
        index = read_index(self.index, self.hash_bytes)
        self.size_bytes = index.size_bytes()
        sweep = Sweep(self.work, index, self.folder_mode, discard)
        whole = sweep.run()
        if not whole:
            self.commit = None
        elif time.time_ns() - sweep.youngest_ns > OLD_NS:
            # Git compares whole seconds, so it reads the content of all files that are as young as the index. They
            # were just seen to be as it left them, by a finer clock: an index a second younger spares it that.
            later_ns = time.time_ns() + 10**9
            os.utime(self.index, ns=(later_ns, later_ns))
        return whole

    def lay_ready(self) -> None:
        """After a sweep that found it whole: for the next job, and the next start of the runner."""
        self.begin_git()
        (self.folder / "clean").write_text(boot_id())

    def _know_folder(self) -> None:
        status = self.work.lstat()
        self.folder_mode, self.identity = status.st_mode & 0o7777, (status.st_dev, status.st_ino)


def taken_over(folder: Path, discard: Callable[[Path], None]) -> Slot | None:
    """A tree of an earlier run, if it was left clean and is whole, and the machine has not stopped since.

    After a power cut files may be there without what was written to them.
    """
    if not folder.parent.name.isdigit():
        return None
    slot = Slot(folder, int(folder.parent.name))
    try:
        if (folder / "clean").read_text() != boot_id():
            return None
        slot._know_folder()
        slot.stores = tuple(map(Path, os.fsdecode((slot.git / "objects/info/alternates").read_bytes()).splitlines()))
        commit = (slot.git / "HEAD").read_text().strip()
        slot.hash_bytes = len(commit) // 2
        if not slot.sweep(discard):
            return None
    except (OSError, IndexUnreadable, Doubtful):
        return None
    slot.commit = commit
    return slot


def boot_id() -> str:
    """Changes when the machine starts."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return "unknown"
