"""Brings commits from the server into the runner's mirrors, over git's smart HTTP with the token of one attempt."""

import asyncio
import logging
from pathlib import Path

from mainstay.git.checkout import basic
from mainstay.git.process import GitError
from mainstay.git.process import run as run_git
from mainstay.model.errors import Unavailable
from mainstay.runner.backoff import Backoff
from mainstay.wire.runner import Source

FETCH_S = 1800.0
PATIENCE_S = 900.0
"""How long a server that is away is waited for before the attempt is given back as broken."""
PASSING = (
    "could not connect",
    "couldn't connect",
    "failed to connect",
    "connection reset",
    "connection refused",
    "connection timed out",
    "recv failure",
    "send failure",
    "empty reply",
    "hung up",
    "early eof",
    "unexpected disconnect",
    "rpc failed",
    "transfer closed",
    "expected flush",
    "the requested url returned error: 50",
)
"""What git says when the server or the network was away: worth another try."""

log = logging.getLogger(__name__)


class Fetcher:
    """Fetches from one server. An instance is a `trees.Fetch`."""

    def __init__(self, server: str) -> None:
        self._server = server

    async def __call__(self, source: Source, mirror: Path) -> None:
        """Bring `source.commit` with its history into `mirror`, waiting for a server that is away.

        Raises GitError for what another try does not mend, Unavailable when the server was away for too long.
        """
        if not (mirror / "HEAD").exists():
            mirror.parent.mkdir(parents=True, exist_ok=True)
            await run_git("init", "--quiet", "--bare", str(mirror))
        backoff, until = Backoff(), asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await self._fetch(source, mirror)
            except GitError as error:
                if not _is_passing(error):
                    raise
                if asyncio.get_running_loop().time() > until:
                    text = f"the source of {source.repository} could not be fetched: {error.message}"
                    raise Unavailable(text) from error
                if not backoff.failing:
                    log.warning("the source of %s is not there yet, trying again: %s", source.repository, error.message)
            await asyncio.sleep(backoff.failed())

    async def _fetch(self, source: Source, mirror: Path) -> None:
        """All branches and tags, for `git describe` and its kin; then the commit itself if its branch has moved on."""
        url = f"{self._server}{source.path}"
        # By environment, so that nobody reads the token in a list of processes.
        config = {"http.extraHeader": f"Authorization: {basic(source.token)}", "protocol.version": "2"}
        options = ("fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", url)
        wanted = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        await run_git(*options, *wanted, git_dir=mirror, config=config, timeout_s=FETCH_S)
        if not await self._has(mirror, source.commit):
            wanted = [f"+{source.commit}:refs/mainstay/{source.commit}"]
            await run_git(*options, *wanted, git_dir=mirror, config=config, timeout_s=FETCH_S)

    @staticmethod
    async def _has(mirror: Path, commit: str) -> bool:
        found = await run_git("cat-file", "-e", f"{commit}^{{commit}}", git_dir=mirror, ok=(0, 1, 128))
        return found.exit_code == 0


def _is_passing(error: GitError) -> bool:
    """Whether the server or the network was away, or git itself was killed."""
    if error.exit_status is not None and (error.exit_status < 0 or error.exit_status > 128 + 1):
        return True
    said = error.stderr.lower()
    return any(words in said for words in PASSING)
