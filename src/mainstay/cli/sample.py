"""The sample project on a server: made, watched, pushed, and its verdicts told as they come.

Its repository is a folder in the data folder. At first its branch stands at the first commit, because what a newly
watched repository brings is tested at its tip only; once that was seen, all other commits come as one push.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.cli import terminal
from mainstay.cli.connection import Server
from mainstay.cli.sample_commits import COMMITS, SampleCommit
from mainstay.cli.terminal import OPEN_STATES, Terminal
from mainstay.git import process as git
from mainstay.model.errors import Conflict, NotFound, Unavailable

NAME = "sample"
BRANCH = "refs/heads/main"
ALL = "refs/sample/all"
"""The last commit; no branch, so it is not noticed."""
AUTHOR = "Mainstay <sample@example.org>"
BEGIN = 1_780_000_000
"""When the first commit was made, in seconds since 1970: always the same, so that the commit ids are too."""
PATIENCE_S = 300.0
LOOK_S = 0.2
"""How often the verdicts are looked at, while some are still to come."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one commit of the sample came out."""

    sha: str
    commit: SampleCommit
    state: str
    took: str

    @property
    def expected(self) -> bool:
        """Whether it is what the sample's tests must give."""
        return self.state == ("passed" if self.commit.passes else "failed")


def make(folder: Path) -> tuple[str, ...]:
    """Make the repository, unless it is there, and give its commits, oldest first."""
    return asyncio.run(_make(folder))


async def _make(folder: Path) -> tuple[str, ...]:
    git_dir = folder / ".git"
    if not (git_dir / "HEAD").exists():
        folder.mkdir(parents=True, exist_ok=True)
        await git.run("init", "--quiet", "--initial-branch=main", str(folder), cwd=folder)
    found = await git.run("rev-parse", "--quiet", "--verify", ALL, git_dir=git_dir, ok=(0, 1))
    if found.exit_code:
        await git.run("fast-import", "--quiet", git_dir=git_dir, stdin=b"".join(_import_stream()))
    listed = await git.run("rev-list", "--reverse", ALL, git_dir=git_dir)
    commits = tuple(listed.text.split())
    branch = await git.run("rev-parse", "--quiet", "--verify", BRANCH, git_dir=git_dir, ok=(0, 1))
    if branch.exit_code:
        await _move(folder, commits[0])
    return commits


def push_rest(folder: Path, commits: tuple[str, ...]) -> None:
    """Move the branch to the last commit, unless someone has gone on from there."""
    asyncio.run(_push_rest(folder, commits))


async def _push_rest(folder: Path, commits: tuple[str, ...]) -> None:
    branch = await git.run("rev-parse", "--quiet", "--verify", BRANCH, git_dir=folder / ".git")
    if branch.text in commits[:-1]:
        await _move(folder, commits[-1])


async def _move(folder: Path, commit: str) -> None:
    await git.run("reset", "--hard", "--quiet", commit, git_dir=folder / ".git", work_tree=folder, cwd=folder)


def _import_stream() -> Iterator[bytes]:
    """The commits in the language of git fast-import."""
    for number, commit in enumerate(COMMITS, start=1):
        message = commit.subject.encode()
        yield f"commit {ALL}\nmark :{number}\ncommitter {AUTHOR} {BEGIN + number * 3600} +0000\n".encode()
        yield b"data %d\n%s\n" % (len(message), message)
        if number > 1:
            yield b"from :%d\n" % (number - 1)
        for path, text in commit.files.items():
            data = text.encode()
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)
    yield b"done\n"


def wanted(server: Server) -> bool:
    """Whether the sample has a place here: it is there already, or nothing else is watched."""
    names = [item["name"] for item in server.get("/repositories")["items"]]
    return not names or NAME in names


def run(server: Server, folder: Path, out: Terminal) -> bool:
    """Have every commit of the sample tested, print each verdict as it comes; give whether all are the expected ones.

    Raises Unavailable when the verdicts do not come.
    """
    commits = make(folder)
    _watch(server, folder)
    _await_first_sight(server)
    push_rest(folder, commits)
    verdicts = []
    for verdict in _verdicts(server, commits):
        verdicts.append(verdict)
        out.line(
            f"{out.state_text(verdict.state)}  {verdict.sha[:8]}  {verdict.commit.subject}  {out.faint(verdict.took)}"
            + ("" if verdict.expected else "  (this is not what its tests must give)")
        )
    return all(verdict.expected for verdict in verdicts)


def _watch(server: Server, folder: Path) -> None:
    try:
        server.get(f"/repositories/{NAME}")
    except NotFound:
        try:
            server.post("/repositories", {"name": NAME, "url": str(folder)})
        except Conflict:
            # Another process of ours was quicker.
            return


def _await_first_sight(server: Server) -> None:
    """Until the branch has been seen where it stood, so that what comes next is a push."""
    deadline = time.monotonic() + PATIENCE_S
    found: Any = None
    while time.monotonic() < deadline:
        found = server.get(f"/repositories/{NAME}")
        if found["seen_at"] is not None:
            return
        time.sleep(LOOK_S)
    raise Unavailable(f"the sample's repository was not looked at: {found['error'] or 'the server gives no reason'}.")


def _verdicts(server: Server, commits: tuple[str, ...]) -> Iterator[Verdict]:
    """Each commit's verdict, in the order in which they come."""
    waiting = dict(zip(commits, COMMITS, strict=True))
    deadline = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < deadline:
        for build in reversed(server.get("/builds", {"repo": NAME, "branch": "main", "limit": 100})["items"]):
            commit = waiting.get(build["commit"])
            if commit is not None and build["state"] not in OPEN_STATES:
                del waiting[build["commit"]]
                took = terminal.spent(build["started_at"], build["finished_at"])
                yield Verdict(build["commit"], commit, build["state"], took)
        if waiting:
            time.sleep(LOOK_S)
    if waiting:
        names = ", ".join(sha[:8] for sha in waiting)
        raise Unavailable(
            f"after {terminal.duration(PATIENCE_S)} there is no verdict yet for {names}. "
            f"`mainstay builds --repo {NAME}` and `mainstay runners` tell where they stand."
        )
