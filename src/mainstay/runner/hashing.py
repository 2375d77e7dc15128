"""`hashFiles(...)`: one digest over the files that patterns choose, as GitHub computes it."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from mainstay.model.errors import BadInput
from mainstay.runner import below
from mainstay.workflow.globs import select_files

FOLLOW = "--follow-symbolic-links"


def hash_files(workspace: Path, patterns: tuple[str, ...]) -> str:
    """SHA-256 over the SHA-256 of each chosen file in the workspace, in order of paths; empty when there is none."""
    wanted = tuple(pattern for pattern in patterns if pattern.lower() != FOLLOW)
    whole = hashlib.sha256()
    chosen = select_files(wanted, files_below(workspace), str(workspace))
    for path in chosen:
        try:
            with below.opened(workspace, workspace / path) as fd, os.fdopen(os.dup(fd), "rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise BadInput(f"hashFiles: {path[:200]} cannot be read: {error.strerror}") from None
    return whole.hexdigest() if chosen else ""


def files_below(folder: Path) -> Iterator[str]:
    """Relative paths of all plain files, sorted; links that lead out of the folder and git's own are left out."""
    top = folder.resolve()
    for path, folders, names in os.walk(folder):
        if Path(path) == folder and ".git" in folders:
            folders.remove(".git")
        folders.sort()
        for name in sorted(names):
            file = Path(path, name)
            if file.is_symlink() and not file.resolve().is_relative_to(top):
                continue
            if file.is_file():
                yield file.relative_to(folder).as_posix()
