"""The server's mirrors by repository: opened when first needed, their git programs ended together."""

from collections.abc import Mapping
from pathlib import Path

from mainstay.git.mirror import Mirror
from mainstay.git.standing import Standing

LIVES_HERE = "lives-here"
"""A file in the mirror of a repository that has no address: what is pushed to it is in this server's folder."""


class Mirrors:
    """A folder of bare mirrors, `ID.git` each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[int, Mirror] = {}
        self._standing = Standing()

    def path_of(self, repository_id: int) -> Path:
        """Where the mirror of a repository is."""
        return self.folder / f"{repository_id}.git"

    def of(self, repository_id: int) -> Mirror:
        """The mirror of a repository; `create` it before it is used for the first time."""
        if repository_id not in self._open:
            self._open[repository_id] = Mirror(self.path_of(repository_id), self._standing)
        return self._open[repository_id]

    def present(self) -> set[int]:
        """The repositories that have a mirror on this server."""
        return {int(path.stem) for path in self.folder.glob("*.git") if path.stem.isdecimal()}

    def exists(self, repository_id: int) -> bool:
        """Whether there is a mirror of it on this server."""
        return (self.path_of(repository_id) / "HEAD").is_file()

    async def has(self, repository_id: int, sha: str) -> bool:
        """Whether an object of a repository is on this server."""
        if not self.exists(repository_id):
            return False
        mirror = self.of(repository_id)
        await mirror.create()
        return await mirror.commit_of(sha) is not None

    async def lives_here(self, repository_id: int, reached: Mapping[str, str]) -> bool:
        """Whether a repository without an address is this server's to look at.

        Its commits are in the folder of one server. To every other one it must not look as if all its refs were gone.
        """
        if not self.exists(repository_id):
            return not reached
        mark = self.path_of(repository_id) / LIVES_HERE
        if not mark.exists() and await self.of(repository_id).refs():
            mark.touch()
        return not reached or mark.exists()

    async def drop(self, repository_id: int) -> None:
        """End the git programs of one mirror."""
        mirror = self._open.pop(repository_id, None)
        if mirror is not None:
            await mirror.close()

    async def close(self) -> None:
        """End the git programs of all mirrors."""
        for repository_id in tuple(self._open):
            await self.drop(repository_id)
        await self._standing.close()
