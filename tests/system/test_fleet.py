"""Local runners: started with the queue, outliving the server that started them, ended with it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.system.stand import Project, stand, until

pytestmark = pytest.mark.system


def pid_of(data: Path, name: str) -> int:
    return int(json.loads((data / "runners" / name / "lock").read_text())["pid"])


def test_a_local_runner_outlives_a_killed_server_and_its_job_is_tried_once(tmp_path: Path) -> None:
    """`mainstay up` killed in mid-job and started again goes on with the runner that is still at work."""
    project = Project(tmp_path / "repositories")
    gate = tmp_path / "gate"
    project.workflow(f"touch {gate}.begun; while [ ! -e {gate} ]; do sleep 0.05; done")
    commit = project.commit()
    project.push()
    with stand(tmp_path, "--executor", "process") as here:
        here.up("1:1")
        here.watch(project)
        until(Path(f"{gate}.begun").exists, "the job to run")
        pid = pid_of(here.data, "local-1")
        assert here.server is not None
        here.server.kill()
        here.up("1:1")
        gate.touch()
        build = here.verdict(commit)
        assert build["state"] == "passed"
        assert [attempt["state"] for attempt in build["jobs"][0]["attempts"]] == ["passed"]
        assert pid_of(here.data, "local-1") == pid
        assert here.server.stop() == 0
        until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "the runner to end with its server")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_more_jobs_bring_more_runners_up_to_the_most(tmp_path: Path) -> None:
    """Work that waits starts runners at once, never more than were allowed."""
    project = Project(tmp_path / "repositories")
    meet = tmp_path / "meet"
    meet.mkdir()
    project.workflow(
        f"touch {meet}/$GITHUB_SHA; for n in $(seq 600); do [ -e {meet}/go ] && exit 0; sleep 0.05; done; exit 1"
    )
    project.commit("root")
    project.push()
    with stand(tmp_path, "--executor", "process") as here:
        here.up("1:3")
        here.watch(project)
        commits = [project.commit(str(number)) for number in range(4)]
        project.push()
        try:
            until(lambda: len(os.listdir(meet)) == 3, "three jobs at once")
            assert len(here.call("GET", "/runners")["items"]) == 3
        finally:
            (meet / "go").touch()
        assert {here.verdict(commit)["state"] for commit in commits} == {"passed"}


def test_a_local_runner_that_does_not_start_is_told_of_with_its_own_words(tmp_path: Path) -> None:
    """While it goes on failing: on the page, by the commands, over the API; and no more once the server has ended."""
    with stand(tmp_path, "--labels", "no good") as here:
        here.up("1:1")

        def twice() -> dict[str, Any] | None:
            found = here.call("GET", "/runners/failing")["items"]
            return found[0] if found and found[0]["times"] > 1 else None

        found = until(twice, "the second failure")
        assert found["name"] == "local-1"
        assert "is no label" in found["reason"]
        page = here.raw("GET", "/runners")[1].decode()
        assert "local-1 does not start: it failed" in page
        assert "is no label" in here.cli("runners").stderr
        doctor = here.cli("doctor", check=False)
        assert doctor.returncode == 1
        assert "runner local-1: does not start" in doctor.stdout
        assert here.server is not None
        assert here.server.stop() == 0
        here.options = ()
        here.up("1:1")
        until(lambda: here.call("GET", "/runners")["items"], "a runner")
        assert here.call("GET", "/runners/failing")["items"] == []
