"""Where benchmarks happen: real servers, runners and repositories in a temporary folder, a quick client, and the floor.

The floor is what a person would do with no CI server at all: a bare repository whose post-receive hook adds a work tree
and runs the command in the background.
"""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.system.stand import ENDED, GIT_ENV, Project, Stand

T = TypeVar("T")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
HOOK = """#!/bin/sh
# The command's first line says when it began, its last one when it had ended.
read old new ref
(
  git worktree add -q -f --detach "{trees}/$new" "$new"
  cd "{trees}/$new" || exit
  unset GIT_DIR
  bash -e ./command.sh >"{results}/$new.log" 2>&1
  echo $? >"{results}/$new.part"
  mv "{results}/$new.part" "{results}/$new"
) </dev/null >/dev/null 2>&1 &
"""


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder, gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix="mainstay-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def upped(where: Path, *options: str, runners: str = "1:1") -> Iterator[Stand]:
    """`mainstay up`, its runners ready for work."""
    least = int(runners.partition(":")[0])
    stand = Stand(where, *options).up(runners)
    try:
        wait(lambda: len([one for one in _runners(stand) if one["state"] != "away"]) >= least, "the runners' hello")
        yield stand
    finally:
        stand.close()


@contextmanager
def served(where: Path, *runner_options: str, mirrors: bool = True) -> Iterator[Stand]:
    """`mainstay server` and one runner beside it that is ready for work."""
    stand = Stand(where).serve()
    try:
        near = ("--mirrors", str(stand.data / "mirrors")) if mirrors else ()
        stand.runner("r1", *near, *runner_options)
        wait(lambda: _runners(stand), "the runner's hello")
        yield stand
    finally:
        stand.close()


def _runners(stand: Stand) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stand.call("GET", "/runners")["items"]
    return found


def wait(ask: Callable[[], T], what: str, timeout_s: float = 120.0, pause_s: float = 0.002) -> T:
    """Ask until the answer is true."""
    end = time.monotonic() + timeout_s
    while not (answer := ask()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(pause_s)
    return answer


class Api:
    """One connection to the API that is kept open, as a quick program's would be."""

    def __init__(self, stand: Stand) -> None:
        self._headers = {"Authorization": f"Bearer {stand.token}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=60)

    def raw(self, path: str) -> bytes:
        """The body behind a path."""
        self._connection.request("GET", f"/api/v1{path}", headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"GET {path}: {answer.status} {body[:500]!r}")
        return body

    def get(self, path: str) -> Any:
        """The document behind a path."""
        return json.loads(self.raw(path))

    def ended(self, commit: str) -> list[dict[str, Any]] | None:
        """The builds of a commit, once they are there and have all ended."""
        items: list[dict[str, Any]] = self.get(f"/builds?commit={commit}")["items"]
        return items if items and all(item["state"] in ENDED for item in items) else None

    def first_log(self, build_id: int) -> bytes:
        """The log of a build's first job."""
        job = self.get(f"/builds/{build_id}")["jobs"][0]
        return self.raw(f"/jobs/{job['id']}/attempts/{job['attempts'][-1]['number']}/log")


class Floor:
    """A bare repository with the hook, and a clone that pushes to it."""

    def __init__(self, where: Path) -> None:
        self.project = Project(where / "floor")
        self.trees, self.results = where / "floor-trees", where / "floor-results"
        self.trees.mkdir()
        self.results.mkdir()
        hook = self.project.bare / "hooks" / "post-receive"
        hook.write_text(HOOK.format(trees=self.trees, results=self.results))
        hook.chmod(0o755)

    def ended(self, commit: str) -> bool:
        """Whether its command has ended."""
        return (self.results / commit).exists()

    def log(self, commit: str) -> bytes:
        """What its command printed."""
        return (self.results / f"{commit}.log").read_bytes()


def push_ns(project: Project) -> int:
    """Push main; when `git push` had returned, on the clock that `date +%s%N` reads."""
    subprocess.run(["git", "push", "-q", "origin", "main"], cwd=project.clone, env=GIT_ENV, check=True)
    return time.time_ns()


class Watched:
    """CPU time and memory of a process, with or without what it has started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_s(self) -> float:
        """Its own."""
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def children_cpu_s(self) -> float:
        """Of its children that have ended, and theirs."""
        fields = self._stat()
        return (int(fields[13]) + int(fields[14])) * TICK_S

    def memory_mib(self) -> float:
        """Its resident memory, without what its children hold."""
        return self._status("VmRSS") / 1024

    def peak_mib(self) -> float:
        """The most it has ever held."""
        return self._status("VmHWM") / 1024

    def below(self) -> list["Watched"]:
        """Its children, and theirs."""
        found = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                below = Watched(int(child))
                found += [below, *below.below()]
        return found

    def _stat(self) -> list[str]:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        return 0
