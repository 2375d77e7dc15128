"""Leases, tries and priorities with real processes: a runner that falls silent, what is tried again, who goes first."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.stand import Process, Project, Stand, stand, until

pytestmark = pytest.mark.system

PROCESS = ("--executor", "process")
PRIORITIES = """
name: order
on: push
jobs:
  late: {runs-on: linux, priority: -5, steps: [{run: "true"}]}
  usual: {runs-on: linux, steps: [{run: "true"}]}
  early: {runs-on: linux, priority: 50, steps: [{run: "true"}]}
"""
TRIES = """
name: tries
on: push
jobs:
  fails:
    runs-on: linux
    retry: {max: 1, on: [lost]}
    steps: [{run: exit 3}]
  dies:
    runs-on: linux
    retry: {max: 1, on: [lost]}
    steps: [{run: sleep 600}]
  dies-once:
    runs-on: linux
    retry: {max: 0}
    steps: [{run: sleep 600}]
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Stand]:
    """A server that gives a silent runner up after three seconds."""
    with stand(tmp_path) as made:
        made.env["MAINSTAY_LEASE"] = "3"
        yield made.serve()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repositories")


def jobs_of(here: Stand, commit: str) -> dict[str, dict[str, Any]]:
    """The jobs of a commit's only build by their names; none while it is not there."""
    found = here.builds(commit=commit)
    return {job["name"]: job for job in here.build(found[0]["id"])["jobs"]} if found else {}


def tries(job: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(attempt["state"], attempt["runner"]) for attempt in job["attempts"]]


def runs(here: Stand, commit: str, job: str, runner: str) -> bool:
    """Whether that runner has begun the job, and the server knows it."""
    found = jobs_of(here, commit).get(job, {"attempts": []})
    return any(each["runner"] == runner and each["started_at"] for each in found["attempts"])


def test_a_runner_that_falls_silent_is_given_up_and_its_return_changes_nothing(
    here: Stand, project: Project, tmp_path: Path
) -> None:
    """Stopped in mid-job: the job is tried again elsewhere and has one verdict; the first runner is good for more."""
    gate = tmp_path / "gate"
    project.workflow(f"while [ ! -e {gate} ]; do sleep 0.05; done", extra="retry: {max: 1, on: [lost]}")
    commit = project.commit()
    project.push()
    here.watch(project)
    first = here.runner("r1", *PROCESS)
    until(lambda: runs(here, commit, "test", "r1"), "r1 to begin")
    first.process.send_signal(signal.SIGSTOP)
    try:
        second = here.runner("r2", *PROCESS)
        until(lambda: runs(here, commit, "test", "r2"), "r2 to begin what r1 does not renew")
        gate.touch()
        build = here.verdict(commit)
    finally:
        first.process.send_signal(signal.SIGCONT)
    assert build["state"] == "passed"
    assert tries(build["jobs"][0]) == [("lost", "r1"), ("passed", "r2")]
    assert second.stop() == 0
    after = project.commit("after")
    project.push()
    assert tries(here.verdict(after)["jobs"][0]) == [("passed", "r1")]
    again = here.build(build["id"])
    assert (again["state"], tries(again["jobs"][0])) == ("passed", [("lost", "r1"), ("passed", "r2")])
    story = here.call("GET", f"/builds/{build['id']}/why")["items"]
    assert [each["kind"] for each in story].count("job.ended") == 1
    assert any("was not heard of for 3 s" in each["cause"] for each in story)


def test_what_is_lost_is_tried_again_as_often_as_the_workflow_says(here: Stand, project: Project) -> None:
    project.write({".mainstay/tries.yml": TRIES})
    commit = project.commit()
    project.push()
    here.watch(project)

    def kill(name: str, job: str) -> Process:
        runner = here.runner(name, *PROCESS)
        until(lambda: runs(here, commit, job, name), f"{name} to begin {job}")
        runner.kill()
        return runner

    kill("r1", "dies")
    until(lambda: tries(jobs_of(here, commit)["dies"])[0][0] == "lost", "the first loss")
    kill("r2", "dies")
    until(lambda: jobs_of(here, commit)["dies"]["state"] not in ("running", "queued", "waiting"), "the second loss")
    kill("r3", "dies-once")
    jobs = {job["name"]: job for job in here.verdict(commit)["jobs"]}
    assert tries(jobs["fails"]) == [("failed", "r1")]
    assert tries(jobs["dies"]) == [("lost", "r1"), ("lost", "r2")]
    assert "lost 2 times" in jobs["dies"]["reason"]
    assert tries(jobs["dies-once"]) == [("lost", "r3")]
    assert jobs["dies"]["state"] == jobs["dies-once"]["state"] == "failed"


def test_jobs_of_higher_priority_go_first(here: Stand, project: Project) -> None:
    project.write({".mainstay/order.yml": PRIORITIES})
    commit = project.commit()
    project.push()
    here.watch(project)
    until(
        lambda: {job["state"] for job in jobs_of(here, commit).values()} == {"waiting"}, "jobs that wait for a runner"
    )
    here.runner("r1", *PROCESS)
    jobs = here.verdict(commit)["jobs"]
    began = sorted(jobs, key=lambda job: job["attempts"][0]["started_at"])
    assert [job["name"] for job in began] == ["early", "usual", "late"]
