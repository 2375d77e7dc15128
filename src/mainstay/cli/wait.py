"""The command `mainstay wait`: until a build or a commit has its verdict."""

import time
from dataclasses import dataclass, field
from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, build_path, client_command, commit_path, json_option, repository_path
from mainstay.cli.terminal import OPEN_STATES, Progress
from mainstay.model.errors import NotFound, Unavailable

TIMED_OUT = 124
POLL_S = 20.0
"""How long one long poll stays open."""
PAUSE_S = 1.0
"""Between two looks where no long poll holds us back."""
RECONNECT_S = 60.0
"""How long a server that had answered may be away (it is restarted, say) before we give up."""
GREEN = frozenset({"passed", "allowed", "skipped"})
"""Verdicts that are no failure. `neutral` is not among them: what was not decided is not good."""


@click.command()
@click.argument("what", metavar="BUILD|R@COMMIT")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="S", help="Give up after so many seconds."
)
@json_option
@client_command
def wait(server: Server, what: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait for the verdict of a build or a commit.

    Ends with 0 when it passed (allowed failures and skipped builds count as passed), with 1 when it failed, was
    cancelled or could not be decided, with 124 when the time ran out. A commit may be named before it is pushed, when
    --timeout is given.

    \b
    Example: deploy only what passed
      mainstay wait demo@3f2a91c0 --timeout 600 && ./deploy
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    subject = _Subject(server, what, patient=timeout_s is not None)
    progress = Progress(terminal.messages())
    found = subject.look(0.0)
    while not _decided(found):
        left = POLL_S if deadline is None else min(POLL_S, deadline - time.monotonic())
        if left <= 0:
            break
        progress.show(found["state"] if found else "waiting", _sentence(what, found))
        found = subject.look(left)
    progress.clear()
    if not _decided(found):
        terminal.messages().line(f"mainstay: {_sentence(what, found)} after {terminal.duration(timeout_s or 0)}")
    _tell(found, what, as_json=as_json)
    if not _decided(found):
        return TIMED_OUT
    return 0 if found["state"] in GREEN else 1


def _decided(found: Any) -> bool:
    return found is not None and found["state"] not in OPEN_STATES


def _sentence(what: str, found: Any) -> str:
    return f"{what} is {found['state']}" if found else f"{what} has no build yet"


@dataclass(slots=True)
class _Subject:
    """The build or commit that is waited for."""

    server: Server
    what: str
    patient: bool
    """Whether a commit that is not known may still come."""
    away_since: float | None = None
    last: Any = None
    """How it stood when the server last answered; None: it has not yet."""
    reached: bool = False
    watched: bool = False
    """Whether the commit's repository is known to be there."""
    path: str = field(init=False)
    is_commit: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_commit = "@" in self.what
        self.path = commit_path(self.what) if self.is_commit else build_path(self.what)

    def look(self, wait_s: float) -> Any:
        """How it stands when it has ended or, at the latest, after `wait_s`; None: not known yet."""
        began = time.monotonic()
        try:
            found = self._commit(wait_s) if self.is_commit else self.server.get(self.path, wait_s=wait_s)
            self.last, self.reached, self.away_since = found, True, None
        except NotFound:
            if not (self.is_commit and self.patient):
                raise
            if not self.watched:  # a commit may still come, but not to a repository that is not there
                self.server.get(repository_path(self.what.rpartition("@")[0]))
                self.watched = True
            found = None
        except Unavailable:
            self.away_since = self.away_since or began
            if not self.reached or began - self.away_since > RECONNECT_S:
                raise
            found = self.last
        if not _decided(found) and wait_s:
            # Answered sooner than asked: not known yet, away, or shutting down. Ask once a second, no faster.
            time.sleep(max(0.0, min(wait_s, PAUSE_S) - (time.monotonic() - began)))
        return found

    def _commit(self, wait_s: float) -> Any:
        """The commit, after the first of its open builds has ended or `wait_s` is over."""
        found = self.server.get(self.path)
        still_open = [build["id"] for build in found["builds"] if build["state"] in OPEN_STATES]
        if not still_open or not wait_s:
            return found
        self.server.get(f"/builds/{still_open[0]}", wait_s=wait_s)
        return self.server.get(self.path)


def _tell(found: Any, what: str, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(found)
        return
    if found is None:
        return
    out = terminal.output()
    took = terminal.spent(found.get("started_at"), found.get("finished_at"))
    out.line(f"{out.state_text(found['state'])}  {what}{'  ' + took if took else ''}")
    for build in found.get("builds", ()):
        out.line(f"  {out.glyph(build['state'])} {build['repository']}#{build['number']} {build['workflow']}")
    for build in found.get("builds", (found,)):
        if build["state"] in OPEN_STATES:
            terminal.messages().line(
                f"Why it is {build['state']}: mainstay why {build['repository']}#{build['number']}"
            )
