"""What `mainstay doctor` looks at: the machine, the data folder, and the server if one is known."""

import asyncio
import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from mainstay.cli import settings, terminal
from mainstay.cli.connection import Server, data_option, json_option
from mainstay.cli.runners import why_it_fails
from mainstay.git import process as git
from mainstay.model.errors import BadInput, MainstayError, NotAllowed, Unavailable
from mainstay.runner import executors
from mainstay.runner.containers import detect

OLDEST_GIT = (2, 39)
LITTLE_SPACE_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: str
    """`passed`; `allowed`: it works, but not as well as it could; `failed`."""
    message: str
    """What is there; where it is not `passed`, what to do."""


def findings(server: str | None, token: str | None, data: str | None) -> Iterator[Finding]:
    """All of them, one after the other, as they are known."""
    folder = settings.data_folder(data)
    looks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("python", _python),
        ("git", _git),
        ("uv", _uv),
        ("bubblewrap", lambda: _bubblewrap(folder)),
        ("containers", _containers),
        ("data", lambda: _data(folder)),
        ("server", lambda: _server(server, token, data)),
    )
    for name, look in looks:
        try:
            yield from look()
        except MainstayError as error:
            yield Finding(name, "failed", error.message)


def _python() -> Iterator[Finding]:
    yield Finding("python", "passed", f"Python {sys.version.split()[0]} at {sys.executable}")


def _git() -> Iterator[Finding]:
    said = asyncio.run(git.run("version")).text
    match = re.search(r"(\d+)\.(\d+)", said)
    if match and (int(match[1]), int(match[2])) < OLDEST_GIT:
        yield Finding("git", "failed", f"{said} is too old; install git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer")
    else:
        yield Finding("git", "passed", said)


def _uv() -> Iterator[Finding]:
    if importlib.util.find_spec("uv") or shutil.which("uv"):
        yield Finding("uv", "passed", "uv makes the environments of Python jobs")
    else:
        yield Finding("uv", "allowed", "there is no uv, so Python jobs start slower; install the package uv")


def _bubblewrap(folder: Path) -> Iterator[Finding]:
    try:
        executors.detect("bubblewrap", (folder,))
    except BadInput as error:
        yield Finding("bubblewrap", "allowed", f"{error.message}; until then local jobs see this machine as it is")
    else:
        yield Finding("bubblewrap", "passed", "jobs are kept apart from this machine by bubblewrap")


def _containers() -> Iterator[Finding]:
    found = detect.find()
    if found.engine is None:
        words = f"{found.reason}; until then jobs with container or services wait for another runner"
        yield Finding("containers", "allowed", words)
    else:
        words = f"jobs in containers and services work by {found.engine.kind} {found.engine.version}"
        yield Finding("containers", "passed", words + ("" if found.engine.limits else ", without limits of memory"))


def _data(folder: Path) -> Iterator[Finding]:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK):
        yield Finding("data", "failed", f"{there} cannot be written; change its rights or name another with --data")
        return
    free = shutil.disk_usage(there).free
    if free < LITTLE_SPACE_BYTES:
        yield Finding("data", "allowed", f"{folder} has only {terminal.size(free)} of free space; make room")
    else:
        yield Finding("data", "passed", f"{folder} with {terminal.size(free)} of free space")
    if folder.is_dir() and folder.stat().st_mode & 0o077:
        words = f"other accounts of this machine can look into {folder}: chmod 700 {shlex.quote(str(folder))}"
        yield Finding("data", "allowed", words)


def _server(address: str | None, token: str | None, data: str | None) -> Iterator[Finding]:
    try:
        target = settings.find_server(address, token, data)
    except Unavailable:
        yield Finding("server", "allowed", "none is known here; start one with mainstay up")
        return
    with Server(target) as server:
        runners = server.get("/runners")["items"]
        failing = server.get("/runners/failing")["items"]
        repositories = server.get("/repositories")["items"]
        outbox = _outbox(server)
    yield Finding("server", "passed", f"{target.url} answers and knows the token")
    online = sum(runner["state"] == "online" for runner in runners)
    if online:
        yield Finding("runners", "passed", f"{online} online")
    else:
        yield Finding("runners", "failed", "none is online, so nothing is tested; see mainstay runner --help")
    for each in failing:
        yield Finding(f"runner {each['name']}", "failed", why_it_fails(each))
    for each in outbox:
        if each["failing"]:
            said = f"{each['failing']} of {each['waiting']} that wait were tried in vain: {each['error']}"
            yield Finding(f"outbox {each['kind']}", "failed", said)
    for repository in repositories:
        if repository["error"]:
            yield Finding(f"repository {repository['name']}", "failed", repository["error"])


def _outbox(server: Server) -> list[dict[str, Any]]:
    """What of each kind waits to be sent; nothing for those who may not see it."""
    try:
        found: list[dict[str, Any]] = server.get("/outbox")["items"]
    except NotAllowed:
        return []
    return found


@click.command()
@click.option("--server", "server_url", metavar="URL", help=f"The server's address ({settings.URL.name}).")
@click.option("--token", metavar="TOKEN", help=f"Your token ({settings.TOKEN.name}).")
@data_option
@json_option
def doctor(server_url: str | None, token: str | None, data: str | None, as_json: bool) -> int:
    """Look whether this machine and the data folder are in order.

    Ends with 1 when something must be mended.

    \b
    Example:
      mainstay doctor
    """
    out = terminal.output()
    found = []
    for finding in findings(server_url, token, data):
        found.append(finding)
        if not as_json:
            out.line(f"{out.glyph(finding.state)} {finding.name}: {finding.message}")
    if as_json:
        terminal.print_json({"items": [asdict(finding) for finding in found], "next": None})
    return 1 if any(finding.state == "failed" for finding in found) else 0
