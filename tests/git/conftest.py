"""Repositories to test with: made by the real git."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ben",
    "GIT_COMMITTER_EMAIL": "ben@example.org",
}


class Origin:
    """A bare repository with a clone that pushes to it."""

    def __init__(self, folder: Path, object_format: str = "sha1") -> None:
        self.path = folder / "origin.git"
        self.work = folder / "work"
        subprocess.run(
            ["git", "init", "-q", "--bare", "-b", "main", f"--object-format={object_format}", str(self.path)],
            check=True,
            env=ENV,
        )
        subprocess.run(
            ["git", "init", "-q", "-b", "main", f"--object-format={object_format}", str(self.work)], check=True, env=ENV
        )
        self.git("remote", "add", "origin", str(self.path))

    def git(self, *args: str | bytes, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> str:
        """Run git in the clone (or `cwd`); what it printed."""
        done = subprocess.run(
            ["git", *args], cwd=cwd or self.work, input=stdin, capture_output=True, env={**ENV, **env}, check=False
        )
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout.decode("utf-8", "replace").strip()

    def commit(self, name: str = "file", text: str | bytes = "", message: str | None = None) -> str:
        """Commit one changed file; the commit's id."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else (text or f"{message or name}\n").encode())
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message or f"Change {name}")
        return self.git("rev-parse", "HEAD")

    def push(self, *specs: str) -> None:
        """Push; by default HEAD to main."""
        self.git("push", "-q", "origin", *(specs or ("HEAD:refs/heads/main",)))


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def make_origin(tmp_path: Path) -> Callable[[str, str], Origin]:
    """Further repositories: by folder name and object format."""

    def make(name: str, object_format: str = "sha1") -> Origin:
        folder = tmp_path / name
        folder.mkdir()
        return Origin(folder, object_format)

    return make


@pytest.fixture(autouse=True)
def no_git_left_running() -> Iterator[None]:
    """Whatever a test did, no git that we started outlives it."""
    yield
    left = []
    for children in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread or child that ended meanwhile
            for child in children.read_text().split():
                stat = Path(f"/proc/{child}/stat").read_text()
                if stat[stat.index("(") + 1 :].startswith("git"):
                    left.append(stat)
    assert not left
