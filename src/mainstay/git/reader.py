"""Reading objects of a repository through a standing `git cat-file`, trees and commits parsed and remembered here."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mainstay.git.names import check_sha
from mainstay.git.objects import Entry, Object, tree_entries
from mainstay.git.process import GitError, Process
from mainstay.git.standing import CAT_FILE, Standing, died
from mainstay.model.errors import NotFound, TooLarge

WINDOW = 200
"""Requests written before the answers are read: they fit into a pipe, so neither side can block the other."""
OBJECT_LIMIT_BYTES = 64 * 1024 * 1024
REMEMBERED_ENTRIES = 50_000
"""How many lines of trees one reader remembers; successive commits share nearly all of them."""
KEPT_OBJECT_BYTES = 16 * 1024
KEPT_BYTES = 256 * 1024
"""Commits, workflow files and the like that one reader keeps: a push is looked at from several sides, each of which
would ask git for the same few. An id always stands for the same bytes."""
PATHS_LIMIT = 1_000_000
TIMEOUT_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Info:
    """What a name stands for, without its bytes."""

    sha: str
    kind: str
    size_bytes: int


class Answers:
    """The answers of one `cat-file --batch-command`, taken apart."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._buffer = bytearray()

    async def head(self) -> Info | None:
        """The first line of an answer; None for an object that is missing or a name that stands for several."""
        while (end := self._buffer.find(b"\n")) < 0:
            await self._more()
        words = bytes(self._buffer[:end]).decode("utf-8", "replace").rsplit(" ", 2)
        del self._buffer[: end + 1]
        if words[-1] in ("missing", "ambiguous"):
            return None
        if len(words) != 3:
            raise GitError(f"git cat-file gave an answer that is not understood: {' '.join(words)[:200]!r}")
        return Info(words[0], words[1], int(words[2]))

    async def body(self, size_bytes: int) -> bytes:
        """The bytes of an answer whose first line promised that many."""
        while len(self._buffer) <= size_bytes:
            await self._more()
        data = bytes(self._buffer[:size_bytes])
        del self._buffer[: size_bytes + 1]
        return data

    async def _more(self) -> None:
        data = await self._process.read()
        if not data:
            raise await died(self._process)
        self._buffer += data


class ObjectReader:
    """Reads the objects of one git directory."""

    def __init__(self, git_dir: Path, standing: Standing, *, whole: bool = False) -> None:
        """`whole`: nothing is ever dropped from it, so what was read once need not be asked for again."""
        self.git_dir = git_dir
        self._standing = standing
        self._whole = whole
        self._trees: OrderedDict[str, tuple[Entry, ...]] = OrderedDict()
        self._remembered = 0
        self._named: set[str] = set()
        self._kept: OrderedDict[str, Object] = OrderedDict()
        self._kept_bytes = 0

    def names(self, sha: str) -> bool:
        """Whether a tree read here names this object: then, where trees are whole, it is there. False says nothing."""
        return sha in self._named

    async def infos(self, names: Sequence[str]) -> list[Info | None]:
        """Id, kind and size of each name; None where there is no such object. Names are ids or checked refs."""
        if all(name in self._kept for name in names):
            return [Info(name, self._kept[name].kind, len(self._kept[name].data)) for name in names]

        async def take(answers: Answers) -> Info | None:
            return await answers.head()

        return await self._ask("info", names, take)

    async def objects(self, shas: Sequence[str], limit_bytes: int = OBJECT_LIMIT_BYTES) -> list[Object | None]:
        """The objects with these ids; None where there is none. TooLarge when they hold more than `limit_bytes`."""
        kept = [self._kept.get(sha) for sha in shas]
        unknown = [sha for sha, thing in zip(shas, kept, strict=True) if thing is None]
        read = iter(await self._read(unknown, limit_bytes) if unknown else ())
        found = [thing if thing is not None else next(read) for thing in kept]
        if sum(len(thing.data) for thing in found if thing is not None) > limit_bytes:
            raise TooLarge(f"{len(shas)} objects of {self.git_dir.name} exceed {limit_bytes} bytes.")
        if self._whole:
            self._keep((sha, thing) for sha, thing in zip(shas, found, strict=True) if thing is not None)
        return found

    def written(self, objects: Mapping[str, Object]) -> None:
        """These have just been written here, with all that they refer to: they need not be read."""
        self._keep(objects.items())
        for sha, thing in objects.items():
            if thing.kind == "tree" and sha not in self._trees:
                self._remember(sha, tree_entries(thing.data, len(sha)))

    def forget(self) -> None:
        """Remember nothing: who uses it next may find another state on disk."""
        self._trees.clear()
        self._named.clear()
        self._kept.clear()
        self._remembered = self._kept_bytes = 0

    def _keep(self, objects: Iterable[tuple[str, Object]]) -> None:
        """Remember what is small; what was asked for last stays longest. Trees are remembered taken apart."""
        for sha, thing in objects:
            if thing.kind == "tree" or len(thing.data) > KEPT_OBJECT_BYTES:
                continue
            if sha not in self._kept:
                self._kept[sha] = thing
                self._kept_bytes += len(thing.data)
            self._kept.move_to_end(sha)
        while self._kept_bytes > KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped.data)

    async def _read(self, shas: Sequence[str], limit_bytes: int) -> list[Object | None]:
        left = limit_bytes

        async def take(answers: Answers) -> Object | None:
            nonlocal left
            info = await answers.head()
            if info is None:
                return None
            left -= info.size_bytes
            if left < 0:
                raise TooLarge(f"The {info.kind} {info.sha} and those asked for with it exceed {limit_bytes} bytes.")
            return Object(info.kind, await answers.body(info.size_bytes))

        return await self._ask("contents", shas, take)

    async def object(self, sha: str, kind: str, limit_bytes: int = OBJECT_LIMIT_BYTES) -> bytes:
        """The bytes of the object with this id and kind. Raises NotFound."""
        (found,) = await self.objects([check_sha(sha)], limit_bytes)
        if found is None or found.kind != kind:
            raise NotFound(f"There is no {kind} {sha} in {self.git_dir.name}.")
        return found.data

    async def trees(self, shas: Iterable[str]) -> list[tuple[Entry, ...]]:
        """The lines of these trees. Raises NotFound."""
        wanted = list(shas)
        found = {sha: self._trees[sha] for sha in wanted if sha in self._trees}
        missing = [sha for sha in dict.fromkeys(wanted) if sha not in found]
        for sha, thing in zip(missing, await self.objects(missing) if missing else (), strict=True):
            if thing is None or thing.kind != "tree":
                raise NotFound(f"There is no tree {sha} in {self.git_dir.name}.")
            found[sha] = tree_entries(thing.data, len(sha))
            self._remember(sha, found[sha])
        for sha in wanted:
            if sha in self._trees:
                self._trees.move_to_end(sha)
        return [found[sha] for sha in wanted]

    async def entry(self, tree: str, path: str) -> Entry | None:
        """The line for `path`, relative to `tree`; None when there is none."""
        found: Entry | None = None
        for part in path.split("/"):
            if found is not None:
                if not found.is_tree:
                    return None
                tree = found.sha
            (entries,) = await self.trees([tree])
            found = next((entry for entry in entries if entry.name == part), None)
            if found is None:
                return None
        return found

    async def paths(self, tree: str) -> list[tuple[str, Entry]]:
        """Everything below `tree` but folders, with its path, sorted as git sorts it."""
        level, leaves = [("", tree)], []
        while level:
            below = []
            for (prefix, _), entries in zip(level, await self.trees(sha for _, sha in level), strict=True):
                for entry in entries:
                    path = prefix + entry.name
                    if entry.is_tree:
                        below.append((path + "/", entry.sha))
                    else:
                        leaves.append((path, entry))
            if len(leaves) + len(below) > PATHS_LIMIT:
                raise TooLarge(f"The tree {tree} holds more than {PATHS_LIMIT} files.")
            level = below
        leaves.sort(key=lambda leaf: leaf[0])
        return leaves

    async def _ask(self, verb: str, names: Sequence[str], take: Callable[[Answers], Awaitable[T]]) -> list[T]:
        """Ask for all names in one conversation. A process that died in the meantime is replaced once."""
        taken: list[T] = []
        for attempt in (1, 2):
            try:
                async with asyncio.timeout(TIMEOUT_S), self._standing.use(self.git_dir, CAT_FILE) as process:
                    answers = Answers(process)
                    while len(taken) < len(names):
                        window = names[len(taken) : len(taken) + WINDOW]
                        await process.write("".join(f"{verb} {name}\n" for name in window).encode())
                        taken.extend([await take(answers) for _ in window])
                return taken
            except (GitError, BrokenPipeError) as error:
                if attempt == 2:
                    raise _unreadable(self.git_dir, error) from error
        raise AssertionError("not reached")

    def _remember(self, sha: str, entries: tuple[Entry, ...]) -> None:
        self._trees[sha] = entries
        self._remembered += len(entries)
        if len(self._named) > 2 * REMEMBERED_ENTRIES:
            self._named.clear()
        self._named.update(entry.sha for entry in entries)
        while self._remembered > REMEMBERED_ENTRIES and len(self._trees) > 1:
            _, dropped = self._trees.popitem(last=False)
            self._remembered -= len(dropped)


def _unreadable(git_dir: Path, error: Exception) -> GitError:
    message = f"The objects of {git_dir} cannot be read: {error}"
    return error if isinstance(error, GitError) and error.stderr else GitError(message)
