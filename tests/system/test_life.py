"""The ordinary life of servers and runners: drained, scaled, restarted, asked to cancel and to run again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.stand import Process, Project, Stand, git, stand, until

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repositories")


class Gate:
    """A place where jobs wait until the test lets them go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.script = f"touch {folder}/$GITHUB_SHA; until [ -e {folder}/open ]; do sleep 0.05; done; echo went through"

    def wait_for(self, count: int = 1) -> None:
        until(lambda: self.there >= count, f"{count} jobs at the gate")

    @property
    def there(self) -> int:
        return len([name for name in os.listdir(self.folder) if name != "open"])

    def open(self) -> None:
        (self.folder / "open").touch()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path / "gate")
    yield made
    made.open()


def attempts(build: dict[str, Any], job: int = 0) -> list[tuple[str, str | None]]:
    """State and runner of each attempt of a job."""
    return [(each["state"], each["runner"]) for each in build["jobs"][job]["attempts"]]


def online(here: Stand) -> list[str]:
    return [each["name"] for each in here.call("GET", "/runners")["items"] if each["state"] == "online"]


# -- runners end -------------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_runner_finish_its_job_and_take_no_other(tmp_path: Path, project: Project, gate: Gate) -> None:
    """It drains: the running job passes, a waiting one stays for others, the exit code is 0."""
    project.workflow(gate.script)
    first = project.commit("first")
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        runner = here.runner("r1", "--executor", "process")
        here.watch(project)
        gate.wait_for()
        second = project.commit("second")
        project.push()
        [waiting] = until(lambda: here.builds(commit=second), "the second build")
        runner.process.send_signal(signal.SIGTERM)
        runner.line("taking no more work")
        gate.open()
        assert runner.process.wait(60) == 0
        assert attempts(here.verdict(first)) == [("passed", "r1")]
        assert here.build(waiting["id"])["jobs"][0]["attempts"][0]["runner"] is None
        here.runner("r2", "--executor", "process")
        assert attempts(here.verdict(second)) == [("passed", "r2")]


def test_a_second_sigterm_hands_the_job_back_and_another_runner_tries_it(
    tmp_path: Path, project: Project, gate: Gate
) -> None:
    """The attempt is lost, in words; the job is tried again by itself, and nothing of the first try runs on."""
    project.workflow(gate.script + "; sleep 4731.25 & sleep 0.1; true")
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        runner = here.runner("r1", "--executor", "process")
        here.watch(project)
        gate.wait_for()
        runner.process.send_signal(signal.SIGTERM)
        runner.line("taking no more work")
        runner.process.send_signal(signal.SIGTERM)
        assert runner.process.wait(60) == 0
        gate.open()
        here.runner("r2", "--executor", "process")
        build = here.verdict(commit)
        assert attempts(build) == [("lost", "r1"), ("passed", "r2")]
        assert "handed back" in build["jobs"][0]["attempts"][0]["reason"]


# -- local runners -----------------------------------------------------------------------------------------------------


def test_local_runners_come_with_the_work_and_go_when_it_is_done(tmp_path: Path, project: Project, gate: Gate) -> None:
    """From 1 to 4 and back to 1; those that go leave no process behind."""
    project.workflow(gate.script)
    project.commit("root")
    project.push()
    with stand(tmp_path, "--executor", "process", "--idle", "0.5") as here:
        here.up("1:4")
        until(lambda: len(online(here)) == 1, "the first runner")
        here.watch(project)
        commits = [project.commit(str(number)) for number in range(5)]
        project.push()
        gate.wait_for(4)
        assert len(online(here)) == 4
        gate.open()
        assert {here.verdict(commit)["state"] for commit in commits} == {"passed"}
        until(lambda: len(_runner_processes(here)) == 1, "three runners to go")
        late = project.commit("late")
        project.push()
        assert here.verdict(late)["state"] == "passed"


def _runner_processes(here: Stand) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mainstay.runner" in words and any(str(here.data).encode() in word for word in words):
                found.append(int(entry))
    return found


def test_a_local_runner_that_dies_at_its_start_is_tried_less_and_less_often_and_shown(tmp_path: Path) -> None:
    """No loop: pauses grow, and each death is told as an event with its cause."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh", "ssh", "env"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    here = Stand(tmp_path, "--executor", "bubblewrap")  # which is not on this PATH: no runner can start
    old = os.environ["PATH"]
    os.environ["PATH"] = str(programs)
    try:
        here.up("1:1")
    finally:
        os.environ["PATH"] = old
    try:
        start = time.monotonic()
        told = until(lambda: len(_failures(here)) >= 3 and _failures(here), "three deaths to be told", timeout_s=120)
        assert time.monotonic() - start > 1.0, "it is started again at once, then after a second"
        assert all("local-1 ended with exit code" in cause for cause in told)
        assert "it is started again in 1 s" in told[1]
        assert "it is started again in 2 s" in told[2]
    finally:
        here.close()


def _failures(here: Stand) -> list[str]:
    """The causes of `runner.failed` events so far."""
    lines = stream(here, "/api/v1/events?since=0", seconds=1.0)
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    return [event["cause"] for event in events if event["kind"] == "runner.failed"]


def stream(here: Stand, path: str, seconds: float) -> list[str]:
    """The lines of an answer that does not end, as they come within so many seconds."""
    lines = []
    request = urllib.request.Request(here.url + path, headers={"Authorization": f"Bearer {here.token}"})
    with contextlib.suppress(TimeoutError), urllib.request.urlopen(request, timeout=seconds) as answer:
        lines.extend(line.decode().rstrip("\n") for line in answer)
    return lines


def test_up_stopped_and_started_again_goes_on_with_what_waits(tmp_path: Path, project: Project, gate: Gate) -> None:
    """The running job is handed back, the others wait; after the next start each gets its verdict."""
    project.workflow(gate.script)
    commits = [project.commit(str(number)) for number in range(4)]
    project.push()
    with stand(tmp_path, "--executor", "process") as here:
        here.up("1:1")
        here.cli("repo", "add", "demo", str(project.bare))
        gate.wait_for()
        assert here.server is not None
        assert here.server.stop() == 0
        assert not _runner_processes(here)
        more = project.commit("while it was away")
        project.push()
        gate.open()
        here.up("1:1")
        assert attempts(here.verdict(commits[-1])) == [("lost", "local-1"), ("passed", "local-1")]
        assert here.verdict(more)["state"] == "passed"


# -- people ------------------------------------------------------------------------------------------------------------


def test_a_running_job_is_cancelled_with_everything_it_started(tmp_path: Path, project: Project) -> None:
    """The command says so, the attempt tells who and why, its processes are gone, `wait` gives 1."""
    mark = tmp_path / "mark"
    project.workflow(f"sleep 4732.25 & touch {mark}; sleep 4732.25", "echo never")
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        here.runner("r1", "--executor", "process")
        here.watch(project)
        until(mark.exists, "the job to run")
        [build] = here.builds(commit=commit)
        here.cli("cancel", str(build["id"]))
        ended = here.verdict(commit)
        [attempt] = ended["jobs"][0]["attempts"]
        assert (ended["state"], attempt["state"]) == ("cancelled", "cancelled")
        assert "cancel" in attempt["reason"]
        assert b"never" not in here.log(ended)
        assert here.cli("wait", str(build["id"]), check=False).returncode == 1
        assert here.cli("cancel", str(build["id"]), check=False).returncode in (0, 1)
        status = subprocess.run(["pgrep", "-f", "^sleep 4732.25"], capture_output=True, check=False)
        assert status.returncode == 1, status.stdout


def test_one_job_of_a_build_runs_again_and_those_that_need_it_follow(tmp_path: Path, project: Project) -> None:
    """`rerun --job` adds an attempt to that job; one beside it keeps its only attempt."""
    flag = tmp_path / "flag"
    steps = "    runs-on: linux\n    steps:\n      - run: "
    project.write(
        {
            ".mainstay/ci.yml": "on: push\njobs:\n"
            f"  lint:\n{steps}echo lint\n  test:\n{steps}test -e {flag}\n"
            f"  ship:\n    needs: test\n{steps}echo ship\n"
        }
    )
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        here.runner("r1", "--executor", "process")
        here.watch(project)
        build = here.verdict(commit)
        assert {job["key"]: job["state"] for job in build["jobs"]} == {
            "lint": "passed",
            "test": "failed",
            "ship": "skipped",
        }
        flag.touch()
        here.cli("rerun", f"demo#{build['number']}", "--job", "test")
        assert here.cli("wait", str(build["id"]), "--timeout", "120").returncode == 0
        again = {job["key"]: job for job in here.build(build["id"])["jobs"]}
        assert {key: job["state"] for key, job in again.items()} == {
            "lint": "passed",
            "test": "passed",
            "ship": "passed",
        }
        assert [len(again[key]["attempts"]) for key in ("lint", "test")] == [1, 2]


def test_a_fresh_tip_goes_before_a_backlog_of_a_hundred_commits(tmp_path: Path, project: Project) -> None:
    """The tip of a long push is tested first, and a tip that is pushed meanwhile does not wait for the rest."""
    project.workflow("sleep 0.05")
    project.commit("root")
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        here.watch(project)
        until(here.builds, "the first build")
        commits = [project.commit(str(number)) for number in range(100)]
        project.push()
        until(lambda: len(here.builds()) == 101, "all builds")
        here.runner("r1", "--executor", "process")
        until(lambda: len(here.builds(state="passed")) >= 5, "some of them to be tested")
        git(project.clone, "checkout", "-q", "-b", "fresh")
        fresh = project.commit("fresh")
        project.push("fresh")
        assert here.verdict(fresh)["state"] == "passed"
        before = len(here.builds(state="passed"))
        assert before < 60, f"{before} of the backlog went before the fresh tip"
        assert here.builds(commit=commits[-1])[0]["state"] == "passed"
        assert here.builds(commit=commits[20])[0]["state"] != "passed", "the backlog is worked off back to front"


def test_a_process_that_is_told_to_stop_while_people_look_on_stops_soon(
    tmp_path: Path, project: Project, gate: Gate
) -> None:
    """Open streams, followed logs and long polls are ended by the server, not waited for."""
    project.workflow(gate.script)
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here, contextlib.ExitStack() as streams:
        here.serve()
        here.runner("r1", "--executor", "process")
        here.watch(project)
        gate.wait_for()
        [job] = here.build(here.builds(commit=commit)[0]["id"])["jobs"]
        log = f"/api/v1/jobs/{job['id']}/attempts/1/log?follow=1"
        answers = []
        for path in ("/api/v1/events", "/api/v1/events?since=0", log):
            request = urllib.request.Request(here.url + path, headers={"Authorization": f"Bearer {here.token}"})
            answers.append(streams.enter_context(urllib.request.urlopen(request, timeout=60)))
        assert here.server is not None
        assert here.server.stop() == 0
        for answer in answers:
            answer.read()  # each has come to its end
        assert "graceful shutdown" not in here.server.output, "uvicorn had to cancel what was open"
        assert "Traceback" not in here.server.output, here.server.output


def test_the_runner_process_needs_no_word_from_anybody_to_say_what_is_wrong(tmp_path: Path) -> None:
    """A wrong token or a wrong address end it at once, with words and a code that scripts can tell apart."""
    with stand(tmp_path) as here:
        here.serve()
        wrong = Process(
            *("mainstay.runner", "--server", here.url, "--name", "r1", "--data", str(tmp_path / "r1")),
            data=here.data,
            env={"MAINSTAY_RUNNER_TOKEN": "mst_runner_nonsense"},
        )
        assert wrong.process.wait(60) == 4
        until(lambda: "runner-token" in wrong.output, "what to do")
