"""What workflows ask for, from the file to the page: artifacts, caches, reports, outputs, matrices, groups."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.stand import Project, Stand, stand, until

pytestmark = pytest.mark.system

WORKFLOW = """
name: all
on: push
jobs:
  make:
    runs-on: ubuntu-latest
    outputs:
      versions: ${{ steps.v.outputs.versions }}
      hit: ${{ steps.cache.outputs.cache-hit }}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/cache@v4
        id: cache
        with: {path: deps, key: "deps-${{ hashFiles('lock') }}"}
      - if: steps.cache.outputs.cache-hit != 'true'
        run: mkdir deps && echo fetched > deps/one
      - run: cat deps/one
      - id: v
        run: echo 'versions=["a", "b"]' >> "$GITHUB_OUTPUT"
      - run: |
          mkdir dist && echo built > dist/it
          echo "::warning file=lock,line=1::look here"
      - uses: actions/upload-artifact@v4
        with: {name: dist, path: dist}
  take:
    needs: make
    runs-on: ${{ matrix.os }}
    strategy:
      matrix:
        version: ${{ fromJSON(needs.make.outputs.versions) }}
        os: [ubuntu-latest, windows-latest]
    reports: {junit: "*.xml"}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/download-artifact@v4
        with: {name: dist, path: got}
      - run: test "$(cat got/it)" = built
  soft:
    runs-on: ubuntu-latest
    continue-on-error: true
    steps: [{run: exit 3}]
"""
REPORT = """<testsuite name="s"><testcase classname="pkg.A" name="good"/>
<testcase classname="pkg.A" name="bad"><failure message="no"/></testcase></testsuite>"""
GROUP = """
name: group
on: push
concurrency: {group: one, cancel-in-progress: true}
jobs:
  slow:
    runs-on: ubuntu-latest
    steps: [{run: "test ! -e slow || sleep 300"}]
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with stand(tmp_path_factory.mktemp("workflows")) as here:
        yield here.up("2:2")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repositories")


def by_name(build: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {job["name"]: job for job in build["jobs"]}


def test_jobs_pass_on_artifacts_outputs_and_caches(shared: Stand, project: Project) -> None:
    project.write({".mainstay/all.yml": WORKFLOW, "lock": "1", "report.xml": REPORT, "broken.xml": "<testsuite>"})
    first = project.commit("first")
    project.push()
    shared.watch(project, "flows")
    build = shared.verdict(first)
    jobs = by_name(build)
    assert {name: job["state"] for name, job in jobs.items()} == {
        "make": "passed",
        "take (a, ubuntu-latest)": "passed",
        "take (b, ubuntu-latest)": "passed",
        "take (a, windows-latest)": "neutral",
        "take (b, windows-latest)": "neutral",
        "soft": "allowed",
    }, json.dumps(build, indent=1)
    tests = jobs["take (a, ubuntu-latest)"]["tests"]
    assert (tests["passed"], tests["failed"]) == (1, 1)
    assert build["state"] == "allowed"
    page = shared.raw("GET", f"/builds/{build['id']}")[1].decode()
    assert "look here" in page
    assert "broken.xml" in page
    project.write({"more": "2"})
    second = project.commit("second")
    project.push()
    again = shared.verdict(second)
    index = [job["name"] for job in again["jobs"]].index("make")
    assert again["state"] == "allowed"
    log = shared.log(again, index).decode()
    assert "is restored" in log
    assert "fetched" in log


def test_a_newer_build_of_a_group_cancels_the_one_that_runs(shared: Stand, project: Project) -> None:
    project.write({".mainstay/group.yml": GROUP, "slow": ""})
    first = project.commit("first")
    project.push()
    shared.watch(project, "grouped")
    until(lambda: [b for b in shared.builds(commit=first) if b["state"] == "running"], "the slow one to run")
    (project.clone / "slow").unlink()
    second = project.commit("second")
    project.push()
    assert shared.verdict(second)["state"] == "passed"
    assert shared.verdict(first)["state"] == "cancelled"
