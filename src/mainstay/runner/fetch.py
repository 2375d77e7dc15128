"""Brings commits from the server into the runner's mirrors, over git's smart HTTP with the token of one attempt."""

from base64 import b64encode
from pathlib import Path

from mainstay.git.process import GitError
from mainstay.git.process import run as run_git
from mainstay.model.errors import Unavailable
from mainstay.wire.runner import Source

FETCH_S = 1800.0


class Fetcher:
    """Fetches from one server. An instance is a `trees.Fetch`."""

    def __init__(self, server: str) -> None:
        self._server = server

    async def __call__(self, source: Source, mirror: Path) -> None:
        """Bring `source.commit` with its history into `mirror`. Raises GitError, Unavailable."""
        if not (mirror / "HEAD").exists():
            mirror.parent.mkdir(parents=True, exist_ok=True)
            await run_git("init", "--quiet", "--bare", str(mirror))
        # By environment, so that nobody reads the token in a list of processes.
        basic = b64encode(f"runner:{source.token}".encode()).decode()
        config = {"http.extraHeader": f"Authorization: Basic {basic}", "protocol.version": "2"}
        url = f"{self._server}{source.path}"
        wanted = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        try:
            await run_git(
                "fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", url, *wanted,
                git_dir=mirror, config=config, timeout_s=FETCH_S,
            )  # fmt: skip
        except GitError as error:
            if "could not" in error.stderr.lower() or "unable to access" in error.stderr.lower():
                raise Unavailable(f"the source of {source.repository} could not be fetched: {error.message}") from error
            raise
        if not await self._has(mirror, source.commit):
            # The branch has moved on by force since: ask for the commit itself.
            await run_git(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", url,
                f"+{source.commit}:refs/mainstay/{source.commit}",
                git_dir=mirror, config=config, timeout_s=FETCH_S,
            )  # fmt: skip

    @staticmethod
    async def _has(mirror: Path, commit: str) -> bool:
        found = await run_git("cat-file", "-e", f"{commit}^{{commit}}", git_dir=mirror, ok=(0, 1, 128))
        return found.exit_code == 0
