"""The command `mainstay logs`: the bytes as they were printed, from any place on, and on as they come."""

import sys
import time
from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import LogEnded, Server, build_path, client_command
from mainstay.cli.terminal import OPEN_STATES
from mainstay.model.errors import NotFound, Unavailable

PAUSE_S = 1.0
"""Between two looks where nothing holds us back."""
RECONNECT_S = 60.0
"""How long a followed log may be cut off from its server before we give up."""


@click.command()
@click.argument("build")
@click.option("--job", metavar="NAME", help="Only this job. Without it: all jobs, one after the other.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="This attempt. Without it: the last.")
@click.option("--follow", "-f", is_flag=True, help="Go on as the job prints, until it ends, like tail -f.")
@client_command
def logs(server: Server, build: str, job: str | None, attempt: int | None, follow: bool) -> None:
    """Print a build's log as it was printed.

    The bytes go to standard output, unchanged; which job they are of is said on standard error.

    \b
    Example: watch a job while it runs
      mainstay logs demo#7 --job test --follow
    """
    path = build_path(build)
    found = server.get(path)
    names = [item["id"] for item in found["jobs"] if job is None or job in (item["name"], item["key"])]
    if not names:
        known = ", ".join(item["name"] for item in found["jobs"])
        asked = (
            f"no job {job!r}; its jobs are {known}"
            if job
            else "no jobs" + (f": {found['reason']}" if found["reason"] else "")
        )
        raise NotFound(f"{build} has {asked}.")
    if attempt is not None and len(names) > 1:
        raise click.UsageError("--attempt needs --job: the build has several jobs.")
    for number in names:
        _Reader(server, path, number, announce=len(found["jobs"]) > 1).read(attempt, follow=follow)


class _Reader:
    """Prints the log of one job."""

    def __init__(self, server: Server, build: str, job: int, *, announce: bool) -> None:
        self._server = server
        self._build = build
        self._job = job
        self._announce = announce
        self._messages = terminal.messages()

    def read(self, attempt: int | None, *, follow: bool) -> None:
        """Print one attempt: the named one or the last; when following, also those that come after the last."""
        done = 0
        while True:
            job = self._state()
            known = [item["number"] for item in job["attempts"]]
            number = attempt if attempt is not None else (known[-1] if known else 0)
            if number in known and number > done:
                self._heading(job, number)
                if not self._print(number, follow=follow):
                    reason = f": {job['reason']}" if job["reason"] else ""
                    self._messages.line(
                        f"{job['name']}, attempt {number}, printed nothing; it is {job['state']}{reason}"
                    )
                done = number
            elif attempt is not None and not (follow and job["state"] in OPEN_STATES):
                raise NotFound(f"{job['name']} has no attempt {attempt}; it has had {len(known)}.")
            elif not known and not follow:
                self._messages.line(f"{job['name']} is {job['state']}: {job['reason'] or 'nothing was printed yet'}")
            if not follow or done == attempt:
                return
            job = self._state(wait_s=0.0 if done else 1.0)
            if job["state"] not in OPEN_STATES and (not job["attempts"] or job["attempts"][-1]["number"] <= done):
                return

    def _state(self, wait_s: float = 0.0) -> Any:
        jobs = self._server.get(self._build, wait_s=wait_s)["jobs"]
        return next(job for job in jobs if job["id"] == self._job)

    def _is_open(self, number: int) -> bool:
        attempts = self._state()["attempts"]
        return any(item["number"] == number and item["state"] in OPEN_STATES for item in attempts)

    def _heading(self, job: Any, number: int) -> None:
        if self._announce or number > 1:
            self._messages.line(self._messages.faint(f"== {job['name']}, attempt {number}"))

    def _print(self, number: int, *, follow: bool) -> int:
        """Print one attempt's log, give its size. A followed one survives that the server goes away and comes back."""
        path = f"/jobs/{self._job}/attempts/{number}/log"
        out = sys.stdout.buffer
        offset = 0
        away_since: float | None = None
        while True:
            try:
                for piece in self._server.stream(path, offset=offset, follow=follow):
                    out.write(piece)
                    if follow:
                        out.flush()
                    offset += len(piece)
                    away_since = None
            except LogEnded:
                # Cut off between two lines: what follows is not printed yet.
                if follow and self._is_open(number):
                    time.sleep(PAUSE_S)
                    continue
            except Unavailable:
                now = time.monotonic()
                away_since = away_since or now
                if not follow or now - away_since > RECONNECT_S:
                    raise
                time.sleep(PAUSE_S)
                continue
            out.flush()
            return offset
