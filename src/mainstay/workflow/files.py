"""What this room asks of a commit's files: their paths and, one by one, their bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Files(Protocol):
    """The tracked files of one commit (or of a working tree)."""

    def paths(self) -> Sequence[str]:
        """Every tracked path, relative to the root, with `/`. Called once per plan."""

    def read(self, path: str) -> bytes | None:
        """The bytes of one file; None when there is no such regular file."""


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """Files that are already in memory: path to bytes."""

    contents: Mapping[str, bytes]

    def paths(self) -> Sequence[str]:
        return tuple(self.contents)

    def read(self, path: str) -> bytes | None:
        return self.contents.get(path)
