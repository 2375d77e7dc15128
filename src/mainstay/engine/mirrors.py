"""The server's mirrors by repository: opened when first needed, their git programs ended together."""

from pathlib import Path

from mainstay.git.mirror import Mirror
from mainstay.git.standing import Standing


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
