"""Bringing a few objects from one repository on this machine to another without starting a git.

A push of a commit or two is some five objects. `git fetch` needs three processes and 10 ms for them; here they are
read through the standing `cat-file` of both sides, their ids are verified, and they are written as loose objects.

Invariant of a mirror: an object that is there has all that it refers to. Hence what an object refers to is written
before the object itself, and whoever is killed in between has left a few objects that nothing refers to.
"""

import os
import zlib
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from mainstay.git.objects import SUBMODULE, Malformed, Object, commit_links, is_genuine, tag_target, tree_entries
from mainstay.git.process import GitError
from mainstay.git.reader import ObjectReader
from mainstay.model.errors import TooLarge

OBJECTS_LIMIT = 150
BYTES_LIMIT = 4 * 1024 * 1024
_numbers = count()


@dataclass(slots=True)
class Few:
    """Objects to be copied, and for each what it refers to."""

    objects: dict[str, Object] = field(default_factory=dict)
    links: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def in_order(self) -> list[str]:
        """Ids, each after all that it refers to."""
        done: dict[str, None] = {}
        stack = [(sha, False) for sha in self.objects]
        while stack:
            sha, ready = stack.pop()
            if sha in done or sha not in self.objects:
                continue
            if ready:
                done[sha] = None
            else:
                stack.append((sha, True))
                stack.extend((link, False) for link in self.links[sha])
        return list(done)


async def few_missing(source: ObjectReader, target: ObjectReader, wants: list[str]) -> Few | None:
    """What `target` lacks of these ids and all they refer to; None when that is more than a few.

    Raises GitError when `source` lacks something or its bytes do not have the id they go by.
    """
    few = Few()
    left = BYTES_LIMIT
    pending = list(dict.fromkeys(wants))
    while pending:
        # Most of a tree is as it was in the commit before, which was read when it was planned.
        pending = [sha for sha in pending if not target.names(sha)]
        known = await target.infos(pending)
        missing = [sha for sha, info in zip(pending, known, strict=True) if info is None]
        if len(few.objects) + len(missing) > OBJECTS_LIMIT:
            return None
        try:
            found = await source.objects(missing, limit_bytes=left) if missing else []
        except TooLarge:
            return None
        following: dict[str, None] = {}
        for sha, thing in zip(missing, found, strict=True):
            if thing is None:
                raise GitError(f"The repository {source.git_dir} lacks the object {sha}: it moved on, or is damaged.")
            left -= len(thing.data)
            few.objects[sha] = thing
            few.links[sha] = _links(sha, thing, source.git_dir)
            following.update(dict.fromkeys(few.links[sha]))
        pending = [sha for sha in following if sha not in few.objects]
    return few


def _links(sha: str, thing: Object, git_dir: Path) -> tuple[str, ...]:
    if not is_genuine(sha, thing):
        raise GitError(
            f"The object {sha} of {git_dir} is damaged: its bytes do not have that id. Try `git fsck` there."
        )
    try:
        match thing.kind:
            case "commit":
                tree, parents = commit_links(thing.data)
                return (tree, *parents)
            case "tree":
                return tuple(entry.sha for entry in tree_entries(thing.data, len(sha)) if entry.mode != SUBMODULE)
            case "tag":
                return (tag_target(thing.data)[0],)
            case _:
                return ()
    except Malformed as error:
        raise GitError(f"The {thing.kind} {sha} of {git_dir} cannot be read: {error}.") from error


def write_few(few: Few, objects: Path) -> None:
    """Write the objects as loose files below `objects`. Each appears whole or not at all."""
    for sha in few.in_order():
        thing = few.objects[sha]
        path = objects / sha[:2] / sha[2:]
        temporary = objects / f"tmp_obj_{os.getpid()}_{next(_numbers)}"  # a name that git's own cleaning knows
        data = zlib.compress(f"{thing.kind} {len(thing.data)}\0".encode() + thing.data, 1)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            try:
                temporary.replace(path)
            except FileNotFoundError:
                path.parent.mkdir(exist_ok=True)
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
