"""The files of a folder as it is now, uncommitted changes included: what `mainstay check` looks at."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mainstay.git import process as git
from mainstay.git.process import GitError
from mainstay.model.errors import NotFound

NOT_LOOKED_INTO = frozenset({".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox"})
"""Where there is no git to tell what belongs to the project."""
LARGEST_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class WorkTree:
    """A folder's files: those that git tracks or would track, or all of them where there is no git."""

    root: Path
    listed: tuple[str, ...]
    branch: str | None = None
    """The branch that is checked out; None: none is, or there is no git."""
    main: str = "main"
    """The branch that changes go to, as far as the folder knows."""

    @classmethod
    def of(cls, folder: Path) -> "WorkTree":
        """The files of a folder. Raises NotFound when there is no such folder."""
        if not folder.is_dir():
            raise NotFound(f"there is no folder {folder}.")
        root = folder.resolve()
        try:
            listed, branch, main = asyncio.run(_asked_git(root))
        except GitError:
            return cls(root, tuple(_walk(root)))
        paths = os.fsdecode(listed).split("\0")
        return cls(root, tuple(path for path in paths if path and (root / path).is_file()), branch, main)

    def paths(self) -> Sequence[str]:
        """Every path, relative to the root, with `/`."""
        return self.listed

    def read(self, path: str) -> bytes | None:
        """The bytes of one file; None when there is no such regular file in the folder."""
        file = self.root / path
        if file.is_symlink() or not file.resolve().is_relative_to(self.root) or not file.is_file():
            return None
        with file.open("rb") as opened:
            return opened.read(LARGEST_BYTES + 1)


async def _asked_git(root: Path) -> tuple[bytes, str | None, str]:
    """The list of files, the branch that is checked out, and the one that changes go to. Raises GitError."""
    env = {"GIT_CEILING_DIRECTORIES": str(root.parent)}
    asked = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    listed = await git.run(*asked, cwd=root, env=env)
    branch = await git.run("symbolic-ref", "--quiet", "--short", "HEAD", cwd=root, env=env, ok=(0, 1, 128))
    names = ("refs/remotes/origin/HEAD", "refs/heads/main", "refs/heads/master")
    refs = await git.run("for-each-ref", "--format=%(refname) %(symref)", *names, cwd=root, env=env)
    known = dict(line.split(" ", 1) for line in refs.text.splitlines() if " " in line)
    remote = known.get(names[0], "").removeprefix("refs/remotes/origin/")
    main = remote or next((ref.removeprefix("refs/heads/") for ref in names[1:] if ref in known), "main")
    return listed.stdout, branch.text if branch.exit_code == 0 and branch.text else None, main


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in NOT_LOOKED_INTO)
        yield from ((Path(folder) / name).relative_to(root).as_posix() for name in sorted(names))
