"""`mainstay run`: workflows on the folder as it is, with the runner's own parts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
pytestmark = pytest.mark.system

WORKFLOW = """\
on: push
jobs:
  one:
    runs-on: ubuntu-latest
    outputs: {v: "${{ steps.a.outputs.v }}"}
    steps:
      - id: a
        run: echo "v=$(cat value)" >> "$GITHUB_OUTPUT"
  two:
    needs: one
    runs-on: ubuntu-latest
    strategy: {matrix: {x: [1, 2]}}
    steps:
      - run: printf 'got %s %s' "${{ needs.one.outputs.v }}" "${{ matrix.x }}"
      - run: test "${{ needs.one.outputs.v }}" = 42
  away:
    runs-on: windows-latest
    steps: [{run: echo never}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "ci.yml").write_text(WORKFLOW)
    (folder / "value").write_text("42\n")
    return folder


def committed(folder: Path) -> None:
    person = ("-c", "user.name=A", "-c", "user.email=a@b")
    for words in (("init", "--quiet"), ("add", "."), (*person, "commit", "--quiet", "-m", "x")):
        subprocess.run(["git", "-C", folder, *words], check=True)


def test_jobs_run_with_their_needs_outputs_and_matrix(mainstay: Run, project: Path) -> None:
    ran = mainstay("run", str(project), "--executor", "process", "--json")
    result = ran.json["items"][0]
    assert [(job["name"], job["state"]) for job in result["jobs"]] == [
        ("one", "passed"),
        ("two (1)", "passed"),
        ("two (2)", "passed"),
        ("away", "neutral"),
    ]
    assert ran.code == 0
    assert "got 42 2\n" in ran.err


def test_uncommitted_changes_are_tested_and_nothing_is_written_into_the_folder(mainstay: Run, project: Path) -> None:
    committed(project)
    (project / "value").write_text("43\n")
    before = sorted(path.relative_to(project) for path in project.rglob("*"))
    ran = mainstay("run", str(project), "--executor", "process", "--job", "two")
    assert ran.code == 1
    assert "(with uncommitted changes)" in ran.out
    assert "✗ failed  two (1)" in ran.out
    assert "away" not in ran.out
    assert sorted(path.relative_to(project) for path in project.rglob("*")) == before


def test_a_dry_run_says_what_would_run_and_runs_nothing(mainstay: Run, project: Path, tmp_path: Path) -> None:
    ran = mainstay("run", str(project), "--dry-run", "--json")
    assert ran.json["items"] == [{"workflow": "ci", "jobs": ["one", "two", "away"]}]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--job", "nope"), 5, "there are one, two, away"),
        (("--workflow", "nope"), 5, ".github/workflows/ci.yml"),
        (("--event", "pull_request"), 5, "nothing is started by pull_request"),
        (("--event", "nope"), 2, "nope"),
    ],
)
def test_what_is_not_there_is_named(
    mainstay: Run, project: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ran = mainstay("run", str(project), *arguments)
    assert ran.code == code
    assert words in ran.err


def test_a_broken_workflow_is_bad_input_with_its_place(mainstay: Run, project: Path) -> None:
    (project / ".github" / "workflows" / "ci.yml").write_text("on: push\njobs:\n  a:\n    steps: 5\n")
    ran = mainstay("run", str(project))
    assert ran.code == 2
    assert ".github/workflows/ci.yml:4" in ran.err


def test_ctrl_c_ends_the_running_job_with_all_its_processes(project: Path, tmp_path: Path) -> None:
    marker = f"61.{os.getpid()}"
    text = f"on: push\njobs:\n  a:\n    runs-on: linux\n    steps: [{{run: echo begun; sleep {marker}}}]\n"
    (project / ".github" / "workflows" / "ci.yml").write_text(text)
    command = [sys.executable, "-m", "mainstay.cli.main", "run", str(project), "--executor", "process"]
    env = {**os.environ, "MAINSTAY_DATA": str(tmp_path / "data")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "begun\n":
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "■ cancelled  a  stopped by Ctrl-C" in rest
    deadline = time.monotonic() + 5
    while sleepers(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers(marker) == []


def sleepers(marker: str) -> list[str]:
    """Processes that sleep for as long as only ours do."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:1] == [b"sleep"] and marker.encode() in words:
            found.append(file.parent.name)
    return found


ARTIFACTS = """\
on: push
jobs:
  make:
    runs-on: ubuntu-latest
    steps:
      - run: echo built > it
      - uses: actions/upload-artifact@v4
        with: {name: dist, path: it}
  take:
    needs: make
    runs-on: ubuntu-latest
    steps:
      - uses: actions/cache@v4
        with: {path: out, key: k}
      - uses: actions/download-artifact@v4
        with: {name: dist, path: out}
      - run: test "$(cat out/it)" = built
  contained:
    runs-on: ubuntu-latest
    container: python:3
    steps: [{run: echo never}]
"""


def test_artifacts_are_passed_from_job_to_job_without_a_server(mainstay: Run, project: Path) -> None:
    (project / ".github" / "workflows" / "ci.yml").write_text(ARTIFACTS)
    jobs = mainstay("run", str(project), "--executor", "process", "--json").json["items"][0]["jobs"]
    assert {job["name"]: job["state"] for job in jobs} == {"make": "passed", "take": "passed", "contained": "neutral"}
