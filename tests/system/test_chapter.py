"""The defects of the published CI chapter, each of which was seen when its code was run, and none of which is here."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.stand import Project, Stand, git, stand, until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One running Mainstay for the tests that break nothing of it."""
    with stand(tmp_path_factory.mktemp("shared")) as here:
        yield here.up()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repositories")


GOOD = """import unittest
from calc import add

class T(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)
"""


def test_01_a_broken_commit_is_seen_though_the_one_before_was_good(shared: Stand, project: Project) -> None:
    """Each job runs its own commit's modules in fresh processes."""
    project.write({"calc.py": "def add(a, b):\n    return a + b\n", "tests/test_calc.py": GOOD})
    good = project.commit("good")
    project.push()
    shared.watch(project, "modules")
    assert shared.verdict(good)["state"] == "passed"
    project.write({"calc.py": "def add(a, b):\n    return a - b\n"})
    bad = project.commit("bad")
    project.push()
    found = shared.verdict(bad)
    assert found["state"] == "failed"
    assert found["jobs"][0]["tests"]["failed"] == 1
    assert found["jobs"][0]["attempts"][0]["commit"] == bad


def test_02_what_was_printed_comes_back_to_the_byte(shared: Stand, project: Project) -> None:
    """Colons and every other byte of the output are kept."""
    printed = bytes(range(256)) + b"a:b::c: d\n: :\n"
    project.write({"noise": printed})
    project.workflow("cat noise")
    commit = project.commit()
    project.push()
    shared.watch(project, "colons")
    assert printed in shared.log(shared.verdict(commit))


def test_03_a_long_result_is_whole(shared: Stand, project: Project) -> None:
    """200 kB of output and more arrive without a cut."""
    project.workflow("python3 -c \"import sys; sys.stdout.write('x' * 3_000_000)\"")
    commit = project.commit()
    project.push()
    shared.watch(project, "long")
    build = shared.verdict(commit)
    log = shared.log(build)
    assert b"x" * 3_000_000 in log
    assert build["jobs"][0]["attempts"][0]["log_bytes"] == len(log)


def test_04_a_commit_pushed_while_no_runner_was_there_is_tested_when_one_comes(tmp_path: Path) -> None:
    """Nothing depends on a runner being registered at the time of a push."""
    project = Project(tmp_path / "repositories")
    project.workflow("echo hello")
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        here.watch(project)
        [build] = until(lambda: here.builds(commit=commit), "the build")
        waiting = until(
            lambda: [job for job in here.build(build["id"])["jobs"] if job["reason"]], "the reason in words"
        )
        assert waiting[0]["state"] == "waiting"
        assert "runner" in waiting[0]["reason"]
        here.runner()
        assert here.verdict(commit)["state"] == "passed"


def test_05_a_server_killed_during_a_test_gets_the_result_when_it_is_back(tmp_path: Path) -> None:
    """The runner outlives the server and delivers what it finished meanwhile."""
    project = Project(tmp_path / "repositories")
    gate = tmp_path / "gate"
    project.workflow(f"touch {gate}.begun; while [ ! -e {gate} ]; do sleep 0.05; done; echo ended; touch {gate}.done")
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        runner = here.runner("r1", "--executor", "process")
        here.watch(project)
        until(Path(f"{gate}.begun").exists, "the job to run")
        assert here.server is not None
        here.server.kill()
        gate.touch()
        until(Path(f"{gate}.done").exists, "the job to end")
        here.serve()
        build = here.verdict(commit)
        assert build["state"] == "passed"
        assert len(build["jobs"][0]["attempts"]) == 1
        assert b"ended" in here.log(build)
        assert runner.process.poll() is None


def test_06_a_server_can_be_started_again_at_once(tmp_path: Path) -> None:
    """Its address is free the moment it has ended, however it ended."""
    with stand(tmp_path) as here:
        for _ in range(3):
            here.serve()
            held = socket.create_connection(("127.0.0.1", here.port))
            assert here.server is not None
            here.server.kill()
            held.close()
        here.serve()


def test_07_a_job_that_goes_wrong_leaves_the_runner_free(shared: Stand, project: Project) -> None:
    """Whatever a job does to its own surroundings, the next one runs."""
    project.workflow('rm -rf "$GITHUB_WORKSPACE" "$HOME" "$RUNNER_TEMP" "$TMPDIR"; kill -9 $$')
    broken = project.commit("broken")
    project.push()
    shared.watch(project, "wrong")
    assert shared.verdict(broken)["state"] == "failed"
    project.workflow("echo fine")
    fine = project.commit("fine")
    project.push()
    assert shared.verdict(fine)["state"] == "passed"


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process and its children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def test_08_idle_costs_next_to_nothing(tmp_path: Path) -> None:
    """No loop is busy while nothing happens (the benchmark measures it; here a burnt core is caught)."""
    with stand(tmp_path) as here:
        here.serve()
        runner = here.runner()
        until(lambda: here.call("GET", "/runners")["items"], "the runner")
        assert here.server is not None
        pids = [here.server.process.pid, runner.process.pid]
        time.sleep(1.0)
        before = [cpu_s(pid) for pid in pids]
        time.sleep(4.0)
        spent = [cpu_s(pid) - start for pid, start in zip(pids, before, strict=True)]
        assert max(spent) < 0.4, "a tenth of a core while idle"


def test_09_a_server_bound_to_any_address_works(tmp_path: Path) -> None:
    """Runners call out, so no address of a runner is ever parsed."""
    project = Project(tmp_path / "repositories")
    project.workflow("echo hello")
    commit = project.commit()
    project.push()
    with stand(tmp_path, "--host", "0.0.0.0") as here:
        here.up()
        here.watch(project)
        assert here.verdict(commit)["state"] == "passed"


def test_10_every_commit_of_a_burst_is_tested(shared: Stand, project: Project) -> None:
    """Not only the last of many commits pushed at once."""
    project.workflow("test ! -e red")
    project.commit("root")
    project.push()
    shared.watch(project, "burst")
    expected = {}
    for number in range(12):
        red = project.clone / "red"
        red.touch() if number % 5 == 3 else red.unlink(missing_ok=True)
        expected[project.commit(f"commit {number}")] = "failed" if number % 5 == 3 else "passed"
    project.push()
    assert {commit: shared.verdict(commit)["state"] for commit in expected} == expected


def test_11_a_force_push_harms_nothing(shared: Stand, project: Project) -> None:
    """The old line keeps its verdicts, the new one gets its own."""
    project.workflow("true")
    root = project.commit("root")
    old = project.commit("old")
    project.push()
    shared.watch(project, "forced")
    assert shared.verdict(old)["state"] == "passed"
    git(project.clone, "reset", "-q", "--hard", root)
    new = project.commit("new")
    project.push("--force", "main")
    assert shared.verdict(new)["state"] == "passed"
    assert shared.verdict(old)["state"] == "passed"


def test_12_a_rerun_adds_an_attempt_and_overwrites_nothing(shared: Stand, project: Project) -> None:
    """Results have a state, and each try keeps its own."""
    project.workflow("echo try $GITHUB_RUN_ATTEMPT; test $GITHUB_RUN_ATTEMPT -gt 1")
    commit = project.commit()
    project.push()
    shared.watch(project, "again")
    build = shared.verdict(commit)
    assert build["state"] == "failed"
    shared.cli("rerun", str(build["id"]), "--failed")
    assert shared.cli("wait", str(build["id"]), "--timeout", "30").returncode == 0
    build = shared.build(build["id"])
    assert [attempt["state"] for attempt in build["jobs"][0]["attempts"]] == ["failed", "passed"]
    assert b"try 1" in shared.log(build, attempt=1)
    assert b"try 2" in shared.log(build, attempt=2)


def test_13_two_jobs_at_once_share_no_files(tmp_path: Path) -> None:
    """Each has its own work tree, home and temporary folder, though they run side by side."""
    project = Project(tmp_path / "repositories")
    meet = tmp_path / "meet"
    meet.mkdir()
    steps = f"""for place in . "$HOME" "$TMPDIR" "$RUNNER_TEMP"; do
  test ! -e $place/mine || exit 1; echo $GITHUB_SHA > $place/mine
done
touch {meet}/$GITHUB_SHA
for n in $(seq 200); do [ $(ls {meet} | wc -l) -ge 2 ] && break; sleep 0.05; done
[ $(ls {meet} | wc -l) -ge 2 ] || exit 2
for place in . "$HOME" "$TMPDIR" "$RUNNER_TEMP"; do test $(cat $place/mine) = $GITHUB_SHA || exit 3; done"""
    project.workflow(steps)
    first = project.commit("first")
    project.push()
    git(project.clone, "checkout", "-q", "-b", "side")
    second = project.commit("second")
    project.push("side")
    with stand(tmp_path) as here:
        here.serve()
        here.runner("r1", "--capacity", "2", "--executor", "process")
        here.watch(project)
        assert {here.verdict(commit)["state"] for commit in (first, second)} == {"passed"}


def test_14_a_commit_id_is_never_a_file_name_or_an_option(shared: Stand) -> None:
    """Ids that are paths or options are refused in words, wherever they are asked for."""
    for hostile in ("--upload-pack=touch%20x", "..%2F..%2Fetc%2Fpasswd", "-rf", "%00", "HEAD;id", "a" * 5000):
        status, body = shared.raw("GET", f"/api/v1/builds?commit={hostile}")
        assert status in (200, 400, 422), body
        status, body = shared.raw("GET", f"/api/v1/repositories/modules/commits/{hostile}")
        assert status in (400, 404, 414, 422), body


def test_15_nobody_registers_dispatches_or_reports_without_a_token(shared: Stand) -> None:
    """Every door that changes something asks who is there."""
    for token in ("", "Bearer nonsense", "Bearer mst_api_guess"):
        for method, path in (
            ("POST", "/runner/v1/hello"),
            ("POST", "/runner/v1/poll"),
            ("POST", "/runner/v1/attempts/1/finish"),
            ("POST", "/runner/v1/attempts/1/log?offset=0"),
            ("POST", "/api/v1/repositories"),
            ("POST", "/api/v1/builds/1/cancel"),
            ("POST", "/api/v1/builds/1/rerun"),
            ("POST", "/api/v1/runner-tokens"),
        ):
            status, body = shared.raw(method, path, b"{}", Authorization=token)
            assert status == 401, (path, body)


def test_16_a_failure_inside_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A repository that cannot be read is shown with its error, while others are tested."""
    project = Project(tmp_path / "repositories")
    project.workflow("echo hello")
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.up()
        (tmp_path / "empty").mkdir()
        here.cli("repo", "add", "broken", str(tmp_path / "empty"), check=False)
        here.watch(project)
        assert here.verdict(commit)["state"] == "passed"
        shown = until(
            lambda: [r for r in here.call("GET", "/repositories")["items"] if r["name"] == "broken" and r["error"]],
            "the error in words",
        )
        assert "git repository" in shown[0]["error"]


def test_17_a_runner_killed_in_mid_test_costs_one_attempt_and_no_verdict(tmp_path: Path) -> None:
    """The job is tried again by itself, and the lost try is shown."""
    project = Project(tmp_path / "repositories")
    once = tmp_path / "once"
    project.workflow(f"if [ ! -e {once} ]; then touch {once}; sleep 600; fi; echo second")
    commit = project.commit()
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        runner = here.runner("r1", "--executor", "process")
        here.watch(project)
        until(once.exists, "the job to run")
        os.killpg(runner.process.pid, signal.SIGKILL)
        here.runner("r1", "--executor", "process")
        build = here.verdict(commit)
        assert build["state"] == "passed"
        assert [attempt["state"] for attempt in build["jobs"][0]["attempts"]] == ["lost", "passed"]
