"""Deleting off the critical path: what is thrown away is renamed at once and removed later, many at a time."""

import asyncio
import contextlib
import itertools
import logging
import os
import re
import subprocess
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

LINGER_S: Final = 2.0
"""How long rubbish gathers before it is removed: one `rm` for many jobs."""


def mounts_below(folder: Path) -> list[str]:
    """What is mounted in `folder`: deleting that would delete something that lives elsewhere. Linux only."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    points = [re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split(" ")[4]) for line in lines]
    return [point for point in points if point.startswith(f"{folder}/")]


class Trash:
    """A folder on the same file system as what is thrown into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = itertools.count()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """At start: what an earlier run threw away and did not get to remove goes too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            self.soon()

    def throw(self, path: Path) -> None:
        """Take `path` away, at once and whatever is in it. From any thread; say `soon` afterwards, from the loop."""
        while True:
            place = self.folder / f"{os.getpid()}-{next(self._names)}"
            if not os.path.lexists(place):
                os.rename(path, place)
                return

    def soon(self) -> None:
        """Remove what was thrown away, in a while."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._later())

    async def empty(self) -> None:
        """Remove it now. What cannot be removed stays, is logged, and is tried again with what comes next."""
        try:
            await asyncio.to_thread(self._remove)
        except OSError as error:  # a job that forked or wrote for ever may have left no room for `rm` yet
            log.warning("the rubbish in %s stays for now: %s", self.folder, error.strerror)

    async def close(self) -> None:
        """Finish what is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.empty()

    async def _later(self) -> None:
        await asyncio.sleep(LINGER_S)
        await self.empty()

    def _remove(self) -> None:
        rubbish = [str(path) for path in self.folder.iterdir()]
        if mounts := mounts_below(self.folder):
            log.warning("%s is mounted in the trash: unmount it, then it will be emptied", mounts[0])
            rubbish = [path for path in rubbish if not any(mount.startswith(path + "/") for mount in mounts)]
        if not rubbish:
            return
        for command in (["rm", "-rf"], ["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            done = subprocess.run(
                [*command, "--", *rubbish], stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
            if command[0] == "rm" and done.returncode == 0:
                return
        log.warning("in %s some rubbish could not be removed: %s", self.folder, done.stderr.decode(errors="replace"))
