"""A workbench for tests of whole runners: a fake server, a repository, and runner processes against it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mainstay
from mainstay.model.plan import PlannedJob, Step
from mainstay.wire.runner import Assignment, Finish, Source
from tests.runner.fake_server import TOKEN, FakeServer, Record

GIT = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Bench:
    """Gives jobs to runners and looks at what comes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = FakeServer()
        self.work = folder / "upstream"
        self.mirrors = folder / "server" / "mirrors"
        self._attempt = 0
        self.work.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit({"README": "hello\n"})

    def git(self, *args: str) -> str:
        env = {**os.environ, **GIT}
        return subprocess.run(
            ["git", *args], cwd=self.work, env=env, capture_output=True, text=True, check=True
        ).stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        """Write files, commit, publish to where runners look."""
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", "more")
        self.mirrors.mkdir(parents=True, exist_ok=True)
        if not (self.mirrors / "5.git").exists():
            self.git("clone", "-q", "--mirror", str(self.work), str(self.mirrors / "5.git"))
        self.git("push", "-q", "--mirror", str(self.mirrors / "5.git"))
        return self.git("rev-parse", "HEAD")

    def assignment(self, *steps: Step | str, **more: Any) -> Assignment:
        """An attempt of the newest commit. Text is a step that runs it. More of `plan` and Assignment may be given."""
        self._attempt += 1
        given = tuple(Step(run=one) if isinstance(one, str) else one for one in steps)
        plan = {"key": "test", "steps": given, **more.pop("plan", {})}
        commit = self.git("rev-parse", "HEAD")
        source = Source(
            "demo",
            5,
            "/git/demo.git",
            "source-token-1234",
            commit,
            self.git("rev-parse", "HEAD^{tree}"),
            "refs/heads/main",
        )
        values: dict[str, Any] = {
            "attempt": self._attempt,
            "job": self._attempt,
            "number": 1,
            "build": 1,
            "build_number": 1,
            "url": "/builds/1",
            "source": source,
            "plan": PlannedJob(**plan),
            "name": "test",
            "matrix": {},
            "contexts": {},
        }
        return Assignment(**{**values, **more})

    def give(self, *steps: Step | str, **more: Any) -> tuple[int, Record]:
        """Queue it; its number and record."""
        assignment = self.assignment(*steps, **more)
        return assignment.attempt, self.server.give(assignment)

    def run(self, *steps: Step | str, **more: Any) -> tuple[Finish, Record]:
        """Have it run by the runner that is there, to its end."""
        attempt, record = self.give(*steps, **more)
        return self.server.ended(attempt), record

    @contextmanager
    def runner(
        self, *arguments: str, data: str = "runner", mirrors: bool = True, env: Mapping[str, str] = {}
    ) -> Iterator["RunnerProcess"]:
        """A runner process; killed at the end if it is still there."""
        process = RunnerProcess(self, arguments, data, mirrors, env)
        try:
            yield process
        finally:
            process.kill()


class RunnerProcess:
    """`python -m mainstay.runner` as people start it."""

    def __init__(
        self, bench: Bench, arguments: tuple[str, ...], data: str, mirrors: bool, env: Mapping[str, str]
    ) -> None:
        self.data = bench.folder / data
        self.data.parent.mkdir(exist_ok=True, parents=True)
        self.log = bench.folder / f"{data}.log"
        source = str(Path(mainstay.__file__).parents[1])
        words = [
            sys.executable,
            "-m",
            "mainstay.runner",
            "--server",
            bench.server.url,
            "--data",
            str(self.data),
            "--name",
            "tester",
        ]
        words += [
            "--executor",
            "process",
            "--engine",
            "none",
            *(["--mirrors", str(bench.mirrors)] if mirrors else []),
            *arguments,
        ]
        environ = {**os.environ, "MAINSTAY_RUNNER_TOKEN": TOKEN, "PYTHONPATH": source, **env}
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environ)

    @property
    def words(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 60.0) -> int:
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill_hard(self) -> None:
        self.process.kill()
        self.process.wait()

    def journals(self) -> list[str]:
        folder = self.data / "journal"
        return sorted(path.name for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []


def until(what: Any, timeout_s: float = 60.0) -> Any:
    """Wait for a condition; what it gave."""
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
    return found


def clean(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
