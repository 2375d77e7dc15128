"""The sample project: its commits are what they say, and its verdicts are told as they come."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Asked, Stub, build

from mainstay.cli import sample
from mainstay.cli.connection import Server
from mainstay.cli.sample_commits import COMMITS
from mainstay.cli.settings import Target
from mainstay.cli.terminal import Terminal


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sample"


def test_every_commit_of_the_sample_has_the_outcome_it_is_said_to_have(folder: Path) -> None:
    commits = sample.make(folder)
    outcomes = []
    for commit in commits:
        git(folder, "checkout", "--quiet", commit)
        # -B: the next commit's modules are not the ones compiled for this.
        command = [sys.executable, "-B", "-m", "unittest", "discover", "tests"]
        outcomes.append(subprocess.run(command, cwd=folder, capture_output=True).returncode == 0)
    assert outcomes == [commit.passes for commit in COMMITS]
    assert outcomes.count(False) == 1


def test_the_sample_has_the_same_commit_ids_everywhere_and_is_made_once(folder: Path, tmp_path: Path) -> None:
    commits = sample.make(folder)
    assert sample.make(folder) == commits
    assert sample.make(tmp_path / "other") == commits
    assert [git(folder, "log", "-1", "--format=%s", commit) for commit in commits] == [c.subject for c in COMMITS]


def test_at_first_the_branch_stands_at_the_first_commit_and_then_at_the_last(folder: Path) -> None:
    commits = sample.make(folder)
    assert git(folder, "rev-parse", "main") == commits[0]
    sample.push_rest(folder, commits)
    assert git(folder, "rev-parse", "main") == commits[-1]
    assert git(folder, "status", "--porcelain") == ""


def test_what_someone_committed_on_top_is_left_alone(folder: Path) -> None:
    commits = sample.make(folder)
    sample.push_rest(folder, commits)
    git(folder, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "Mine")
    mine = git(folder, "rev-parse", "main")
    sample.push_rest(folder, sample.make(folder))
    assert git(folder, "rev-parse", "main") == mine


class Watched:
    """A server that knows nothing at first, and then tests one more commit each time it is asked."""

    def __init__(self, stub: Stub, states: Callable[[int], str]) -> None:
        self.states = states
        self.stub = stub
        self.tested = 0
        self.commits: tuple[str, ...] = ()
        stub.on("POST", "/repositories", self.added)
        stub.on("GET", "/builds", self.builds)

    def added(self, asked: Asked) -> tuple[int, Any]:
        self.commits = sample.make(Path(asked.body["url"]))
        self.stub.on(
            "GET", "/repositories/sample", {"name": "sample", "seen_at": "2026-11-20T12:00:00Z", "error": None}
        )
        return 201, {}

    def builds(self, _: Asked) -> tuple[int, Any]:
        self.tested = min(self.tested + 1, len(self.commits))
        found = [
            build(number + 1, self.states(number), commit=commit)
            for number, commit in enumerate(self.commits[: self.tested])
        ]
        return 200, {"items": found[::-1], "next": None}


@pytest.mark.parametrize("right", [True, False])
def test_the_sample_says_whether_all_verdicts_are_the_expected_ones(
    stub: Stub, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    monkeypatch.setattr(sample, "LOOK_S", 0.01)
    Watched(stub, lambda number: "passed" if COMMITS[number].passes or not right else "failed")
    with Server(Target(stub.url, None, "test")) as server:
        assert sample.run(server, folder, Terminal.on(sys.stdout)) is right
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(COMMITS)
    assert ("(this is not what its tests must give)" in lines[3]) is not right
    assert "Change is given in the fewest coins" in lines[3]


def test_the_sample_keeps_away_from_a_server_that_watches_something_else(stub: Stub) -> None:
    with Server(Target(stub.url, None, "test")) as server:
        stub.on("GET", "/repositories", {"items": [], "next": None})
        assert sample.wanted(server)
        stub.on("GET", "/repositories", {"items": [{"name": "mine"}], "next": None})
        assert not sample.wanted(server)
        stub.on("GET", "/repositories", {"items": [{"name": "mine"}, {"name": "sample"}], "next": None})
        assert sample.wanted(server)
