"""A real Mainstay for end-to-end tests: processes, a data folder, repositories, and the API as anybody sees it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

GIT_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}
ENDED = {"passed", "failed", "allowed", "cancelled", "skipped", "neutral"}


def until(ask: Callable[[], T | None], what: str, timeout_s: float = 120.0) -> T:
    """Ask again until there is an answer; the time limit is for a stand that is broken, not for a slow one."""
    end = time.monotonic() + timeout_s
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(0.05)


def git(folder: Path, *args: str) -> str:
    """Run git for a person."""
    done = subprocess.run(["git", *args], cwd=folder, env=GIT_ENV, capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"git {' '.join(args)}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode("utf-8", "surrogateescape").strip()


class Project:
    """A bare repository and a clone that pushes to it."""

    def __init__(self, folder: Path, name: str = "project") -> None:
        self.bare, self.clone = folder / f"{name}.git", folder / name
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        git(folder, "init", "-q", "-b", "main", str(self.clone))
        git(self.clone, "remote", "add", "origin", str(self.bare))

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, message: str = "change", **files: str) -> str:
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.clone, "rev-parse", "HEAD")

    def push(self, *args: str) -> None:
        git(self.clone, "push", "-q", "origin", *(args or ("main",)))

    def workflow(self, *steps: str, name: str = "ci", extra: str = "") -> None:
        """A workflow with one job whose steps run these scripts."""
        lines = [f"name: {name}", "on: push", "jobs:", "  test:", "    runs-on: linux"]
        lines += [f"    {line}" for line in extra.splitlines()]
        lines.append("    steps:")
        for script in steps:
            lines.append("      - run: |")
            lines += [f"          {line}" for line in script.splitlines()]
        self.write({f".mainstay/{name}.yml": "\n".join(lines) + "\n"})


class Process:
    """A program of ours, its output kept."""

    def __init__(self, *arguments: str, data: Path, env: dict[str, str] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=clean | {"MAINSTAY_DATA": str(data), "PYTHONUNBUFFERED": "1"} | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def line(self, pattern: str, timeout_s: float = 120.0) -> str:
        """The first group of the first line that fits, once it was printed."""

        def look() -> str | None:
            for line in self.lines:
                if found := re.search(pattern, line):
                    return found[1] if found.groups() else line
            if self.process.poll() is not None and not self._reader.is_alive():
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.output}")
            return None

        return until(look, f"a line like {pattern!r} in:\n{self.output}", timeout_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end on SIGTERM:\n{self.output}") from None


class Stand:
    """One data folder and what runs on it."""

    def __init__(self, folder: Path, *options: str, database: str | None = None) -> None:
        self.data = folder / "data"
        self.options = options
        self.database = database
        self.env: dict[str, str] = {}
        """What the server's environment holds besides this one's."""
        self.server: Process | None = None
        self.runners: list[Process] = []
        self.url = ""
        self.port = 0
        self.runner_token = ""

    def up(self, runners: str = "1:2") -> "Stand":
        """Start `mainstay up`; on the port of the last time, so that others find it again."""
        return self._start("up", "--runners", runners)

    def serve(self) -> "Stand":
        """Start `mainstay server`."""
        return self._start("server")

    def _start(self, *command: str) -> "Stand":
        arguments = [*command, "--port", str(self.port), *self.options]
        if self.database:
            arguments += ["--database", self.database]
        self.server = Process("mainstay.cli.main", *arguments, data=self.data, env=self.env)
        self.url = self.server.line(r"Mainstay is up at (\S+)")
        self.port = int(self.url.rpartition(":")[2])
        return self

    def runner(self, name: str = "r1", *options: str, env: dict[str, str] | None = None) -> Process:
        """Start a runner by itself."""
        if not self.runner_token:
            self.runner_token = self.call("POST", "/runner-tokens", {"name": "test"})["token"]
        arguments = ("mainstay.runner", "--server", self.url, "--name", name, "--data", str(self.data / name), *options)
        process = Process(*arguments, data=self.data, env={"MAINSTAY_RUNNER_TOKEN": self.runner_token} | (env or {}))
        self.runners.append(process)
        return process

    def close(self) -> None:
        for runner in self.runners:
            if runner.process.poll() is None:
                runner.kill()
        if self.server is not None and self.server.process.poll() is None:
            self.server.stop()

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a client command."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
        done = subprocess.run(
            [sys.executable, "-m", "mainstay.cli.main", *arguments],
            env=clean | {"MAINSTAY_DATA": str(self.data)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode:
            raise AssertionError(f"mainstay {' '.join(arguments)} gave {done.returncode}: {done.stderr}{done.stdout}")
        return done

    @property
    def token(self) -> str:
        return (self.data / "token").read_text().strip()

    def raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """One request; the status and the body, whatever they are."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        for name, value in ({"Authorization": f"Bearer {self.token}"} | headers).items():
            if value:
                request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API."""
        data = None if body is None else json.dumps(body).encode()
        status, answer = self.raw(method, f"/api/v1{path}", data, **{"Content-Type": "application/json"})
        if status >= 400:
            raise AssertionError(f"{method} {path}: {status} {answer.decode(errors='replace')}")
        return json.loads(answer) if answer else None

    def watch(self, project: Project, name: str = "demo", *options: str) -> None:
        self.cli("repo", "add", name, str(project.bare), *options)

    def builds(self, **filters: str) -> list[dict[str, Any]]:
        """Builds, oldest first."""
        query = "&".join(f"{key}={value}" for key, value in {"limit": "200", **filters}.items())
        items: list[dict[str, Any]] = self.call("GET", f"/builds?{query}")["items"]
        return items[::-1]

    def build(self, build_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/builds/{build_id}")
        return found

    def verdict(self, commit: str, timeout_s: float = 120.0) -> dict[str, Any]:
        """The ended build of a commit (the only one)."""

        def look() -> dict[str, Any] | None:
            found = self.builds(commit=commit)
            return found[0] if found and all(build["state"] in ENDED for build in found) else None

        build = until(look, f"a verdict on {commit}", timeout_s)
        return self.build(build["id"])

    def log(self, build: dict[str, Any], job: int = 0, attempt: int | None = None) -> bytes:
        found = build["jobs"][job]
        number = attempt or found["attempts"][-1]["number"]
        status, body = self.raw("GET", f"/api/v1/jobs/{found['id']}/attempts/{number}/log")
        assert status == 200, body
        return body


@contextmanager
def stand(folder: Path, *options: str, database: str | None = None) -> Iterator[Stand]:
    """A stand that leaves nothing running."""
    made = Stand(folder, *options, database=database)
    try:
        yield made
    finally:
        made.close()
