"""What a commit changed: files with their added and deleted lines. Bounded, as a commit may touch everything."""

from dataclasses import dataclass
from pathlib import Path

from mainstay.git.names import check_sha
from mainstay.git.process import GitTimedOut, run
from mainstay.model.errors import TooLarge

FILES = 300
"""Files that are named; more are counted."""
LIMIT_BYTES = 8 << 20
TIME_S = 3.0
RENAMES = 200
"""Renames are looked for among so many files at most; git's work grows with the square."""


@dataclass(frozen=True, slots=True)
class TouchedFile:
    """One file. The counts of lines are None for bytes that are no text."""

    path: str
    before: str | None
    """Its path before, where it was renamed."""
    added: int | None
    deleted: int | None


@dataclass(frozen=True, slots=True)
class Touched:
    """What differs between two commits."""

    files: tuple[TouchedFile, ...]
    count: int
    """Of all files, also of those that are not named."""
    added: int
    deleted: int
    whole: bool = True
    """False: there is more than was looked at in the time and size that a page has."""


async def touched(git_dir: Path, old: str | None, new: str) -> Touched:
    """The files that differ; with None, all that a root commit has. Raises GitError where a commit is not there."""
    names = ("--root", check_sha(new)) if old is None else (check_sha(old), check_sha(new))
    args = ("diff-tree", "-r", "-z", "--numstat", "--no-commit-id", "-M", f"-l{RENAMES}", "--no-ext-diff", *names)
    try:
        told = await run(*args, git_dir=git_dir, timeout_s=TIME_S, limit_bytes=LIMIT_BYTES)
    except (TooLarge, GitTimedOut):
        return Touched((), 0, 0, 0, whole=False)
    files = _files(told.stdout.decode("utf-8", "replace"))
    return Touched(
        tuple(files[:FILES]),
        len(files),
        sum(each.added or 0 for each in files),
        sum(each.deleted or 0 for each in files),
    )


def _files(text: str) -> list[TouchedFile]:
    """`ADDED\\tDELETED\\tPATH\\0`, or for a rename `ADDED\\tDELETED\\t\\0BEFORE\\0PATH\\0`."""
    found = []
    fields = iter(text.split("\0"))
    for field in fields:
        added, tab, rest = field.partition("\t")
        deleted, second, path = rest.partition("\t")
        if not (tab and second):
            continue
        before = None
        if not path:
            before, path = next(fields, ""), next(fields, "")
        found.append(TouchedFile(path, before, _number(added), _number(deleted)))
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
