"""What git knows of commits, for those who look at them: also of commits that nothing was built for.

Every answer may be missing: a mirror that was never fetched, a commit that is gone. Nobody waits long for any of it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from mainstay.engine.mirrors import Mirrors
from mainstay.git.process import GitError
from mainstay.git.touched import Touched, touched
from mainstay.model.errors import MainstayError, NotFound
from mainstay.model.repository import Commit

REMEMBERED = 200
RANGE = 50
"""Commits of a range that are described; more are counted up to"""
COUNTED = 500


@dataclass(frozen=True, slots=True)
class Range:
    """The commits that one commit has and another has not, newest first."""

    commits: tuple[Commit, ...]
    count: int
    """Of all of them, up to `COUNTED`."""


class Commits:
    """Reads the server's mirrors."""

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors
        self._touched: OrderedDict[str, Touched] = OrderedDict()

    async def find(self, repository_id: int, name: str) -> Commit | None:
        """The commit with this id, or with these first digits. Raises Conflict when they fit several."""
        if not self._mirrors.path_of(repository_id).exists():
            return None
        mirror = self._mirrors.of(repository_id)
        try:
            sha = await mirror.resolve(name)
            return None if sha is None else (await mirror.commits([sha]))[0]
        except (GitError, NotFound):
            return None

    async def touched(self, repository_id: int, commit: Commit) -> Touched | None:
        """The files that differ from its first parent. None: the mirror does not have both."""
        known = self._touched.get(commit.sha)
        if known is None:
            git_dir = self._mirrors.path_of(repository_id)
            if not git_dir.exists():
                return None
            try:
                known = await touched(git_dir, commit.parents[0] if commit.parents else None, commit.sha)
            except GitError:
                return None
            if known.whole:  # Git may be quicker another time.
                self._touched[commit.sha] = known
                while len(self._touched) > REMEMBERED:
                    self._touched.popitem(last=False)
        return known

    async def between(self, repository_id: int, old: str, new: str) -> Range | None:
        """What came after `old` up to `new`, whatever was built of it. None: the mirror does not have both."""
        if not self._mirrors.path_of(repository_id).exists():
            return None
        mirror = self._mirrors.of(repository_id)
        try:
            shas: Sequence[str] = await mirror.new_commits(new, [old], limit=COUNTED)
            return Range(tuple(await mirror.commits(shas[:RANGE])), len(shas))
        except MainstayError:
            return None
