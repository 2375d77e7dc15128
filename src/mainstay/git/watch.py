"""Noticing at once that refs of a repository on this machine have moved.

Watched are the git directory itself (HEAD, packed-refs), every folder below refs/heads and refs/tags, and reftable/.
A repository that is not there (any more) is waited for: then the nearest folder above it that exists is watched.
Whatever happens to a folder is answered by arranging all watches of that repository anew, and only then telling: so
whoever looks because of it sees what was done before, and hears of what is done after.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from mainstay.git.inotify import CREATED, GONE, IGNORED, IS_FOLDER, MOVED_TO, OVERFLOWED, Happening, Inotify
from mainstay.git.source import find_local
from mainstay.model.errors import MainstayError

POLL_S = 2.0
"""How often we look ourselves where the system does not tell: no inotify, or no more watches allowed."""
IN_GIT_DIR = frozenset({b"HEAD", b"packed-refs", b"refs", b"reftable"})

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """One repository's watches."""

    path: Path
    git_dir: Path | None = None
    """None: it is not there, and waited for."""
    folders: dict[int, Path] = field(default_factory=dict)
    """Number of the watch to the folder."""
    awaited: bytes = b""
    """While it is waited for: the name that must appear in the one folder that is watched; empty: any."""
    polled: tuple[object, ...] | None = None
    """Where the system does not tell: what was seen last."""


class RefWatcher(Generic[K]):
    """Watches the refs of any number of repositories, each known by a key of the caller's."""

    def __init__(self, noticed: Callable[[K], None]) -> None:
        """`noticed` is called on the loop with a repository's key when its refs may have moved."""
        self._noticed = noticed
        self._watched: dict[K, _Watched] = {}
        self._users: dict[int, set[K]] = {}
        self._inotify: Inotify | None = None
        self._poll: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin; to be called once, on the loop that is to be told."""
        try:
            self._inotify = Inotify(self._heard)
        except OSError as error:
            log.warning("Local repositories are looked at every %g s: %s.", POLL_S, error)

    async def close(self) -> None:
        """Watch nothing any more."""
        for key in list(self._watched):
            self.forget(key)
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None

    def watch(self, key: K, path: Path) -> None:
        """Watch the repository at `path` from now on, whether or not it is there. Again: with a new path."""
        self.forget(key)
        self._watched[key] = _Watched(path)
        self._arrange(key)

    def forget(self, key: K) -> None:
        """Watch it no longer. One that is not known is not an error."""
        watched = self._watched.pop(key, None)
        if watched is not None:
            for number in watched.folders:
                self._release(key, number)

    def _arrange(self, key: K) -> None:
        """Make the watches of a repository what they have to be by what is there now."""
        watched = self._watched[key]
        try:
            watched.git_dir = find_local(watched.path).git_dir
        except MainstayError:
            watched.git_dir = None
        before, watched.folders = watched.folders, {}
        try:
            if self._inotify is None:
                raise OSError("no inotify")
            if watched.git_dir is None:
                self._await(key, watched)
            else:
                for folder in _folders(watched.git_dir):
                    self._add(key, watched, folder)
            watched.polled = None
        except OSError as error:
            if watched.polled is None and self._inotify is not None:
                log.warning("%s is looked at every %g s: it cannot be watched: %s.", watched.path, POLL_S, error)
            watched.polled = _seen(watched.path)
            self._poll_later()
        for number in before.keys() - watched.folders.keys():
            self._release(key, number)

    def _await(self, key: K, watched: _Watched) -> None:
        """Watch the nearest folder above a repository that is not there, or what there is of it."""
        place, awaited = watched.path, b""
        while not place.is_dir():
            place, awaited = place.parent, os.fsencode(place.name)
        watched.awaited = awaited
        self._add(key, watched, place)
        inner = place / ".git"
        if not awaited and inner.is_dir():
            self._add(key, watched, inner)

    def _add(self, key: K, watched: _Watched, folder: Path) -> None:
        assert self._inotify is not None
        try:
            number = self._inotify.add(folder)
        except (FileNotFoundError, NotADirectoryError):
            return  # gone since it was listed: its parent's watch tells
        watched.folders[number] = folder
        self._users.setdefault(number, set()).add(key)

    def _release(self, key: K, number: int) -> None:
        users = self._users.get(number, set())
        users.discard(key)
        if not users and self._users.pop(number, None) is not None and self._inotify is not None:
            self._inotify.remove(number)

    def _heard(self, happenings: list[Happening]) -> None:
        moved: dict[K, bool] = {}
        """Key to whether its watches must be arranged anew."""
        for happening in happenings:
            if happening.mask & OVERFLOWED:
                moved = dict.fromkeys(self._watched, True)
                break
            for key in self._users.get(happening.folder, ()):
                matters, anew = _judge(self._watched[key], happening)
                if matters:
                    moved[key] = moved.get(key, False) or anew
            if happening.mask & IGNORED:  # the system itself has ended this watch
                for key in self._users.pop(happening.folder, ()):
                    self._watched[key].folders.pop(happening.folder, None)
        for key, anew in moved.items():
            if anew:
                self._arrange(key)
        for key in moved:
            if key in self._watched:
                self._noticed(key)

    def _poll_later(self) -> None:
        if self._poll is None:
            self._poll = asyncio.get_running_loop().call_later(POLL_S, self._look)

    def _look(self) -> None:
        self._poll = None
        moved = []
        for key, watched in self._watched.items():
            if watched.polled is not None:
                self._poll_later()
                seen = _seen(watched.path)
                if seen != watched.polled:
                    watched.polled = seen
                    moved.append(key)
        for key in moved:
            if key in self._watched:
                self._noticed(key)


def _judge(watched: _Watched, happening: Happening) -> tuple[bool, bool]:
    """Whether something in a watched folder matters, and whether the watches must then be arranged anew."""
    folder = watched.folders.get(happening.folder)
    if folder is None:
        return False, False
    if happening.mask & GONE:
        return True, True
    if watched.git_dir is None:
        return (True, True) if watched.awaited in (b"", happening.name) else (False, False)
    if folder == watched.git_dir and happening.name not in IN_GIT_DIR:
        return False, False
    if happening.name.endswith(b".lock"):
        return False, False
    new_folder = bool(happening.mask & IS_FOLDER and happening.mask & (CREATED | MOVED_TO))
    return not happening.mask & IGNORED, new_folder


def _folders(git_dir: Path) -> Iterator[Path]:
    """All folders in which something happens when a branch or tag moves."""
    yield git_dir
    yield git_dir / "refs"
    pending = [git_dir / "refs" / "heads", git_dir / "refs" / "tags", git_dir / "reftable"]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                pending.extend(folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield folder


def _seen(path: Path) -> tuple[object, ...]:
    """What changes when a ref moves: git replaces files, so their folders get a new time."""
    try:
        git_dir = find_local(path).git_dir
        places = [git_dir / "HEAD", git_dir / "packed-refs", *_folders(git_dir)]
    except MainstayError:
        return ()
    return tuple((str(place), place.stat().st_mtime_ns) for place in places[:2] + places[3:] if place.exists())
