"""`mainstay check` on folders with and without git."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Ran

Run = Callable[..., Ran]

GOOD = """\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: make
"""
BAD = GOOD.replace("actions/checkout@v4", "someone/something@v1")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "p" / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / "p" / ".github" / "workflows" / "tests.yml").write_text(GOOD)
    return tmp_path / "p"


def test_what_runs_is_exit_code_0(mainstay: Run, project: Path) -> None:
    ran = mainstay("check", str(project))
    assert ran.code == 0
    assert "✓ test: runs with replacement" in ran.out


def test_what_does_not_run_is_exit_code_1_with_its_place(mainstay: Run, project: Path) -> None:
    (project / ".github" / "workflows" / "tests.yml").write_text(BAD)
    ran = mainstay("check", str(project))
    assert ran.code == 1
    assert "✗ test: does not run" in ran.out
    assert ".github/workflows/tests.yml:6: someone/something@v1" in ran.out
    report = mainstay("check", str(project), "--json")
    assert report.code == 1
    assert report.json["runs"] is False


def test_a_file_that_is_not_committed_yet_counts_and_an_ignored_one_does_not(mainstay: Run, project: Path) -> None:
    subprocess.run(["git", "init", "--quiet", project], check=True)
    assert mainstay("check", str(project), "--json").json["workflows"][0]["path"] == ".github/workflows/tests.yml"
    (project / ".gitignore").write_text(".github\n")
    assert mainstay("check", str(project), "--json").json["workflows"][0]["path"].startswith("detected")


def test_without_a_workflow_what_is_found_is_explained(mainstay: Run, tmp_path: Path) -> None:
    (tmp_path / "q" / "tests").mkdir(parents=True)
    (tmp_path / "q" / "tests" / "test_a.py").write_text("import pytest\n")
    ran = mainstay("check", str(tmp_path / "q"))
    assert ran.code == 0
    assert "or tests that import pytest." in ran.out
    assert "      python -m pytest" in ran.out
    (tmp_path / "q" / "tests" / "test_a.py").unlink()
    nothing = mainstay("check", str(tmp_path / "q"))
    assert nothing.code == 1
    assert "nothing was found to run here" in nothing.out


def test_a_folder_that_is_not_there_is_exit_code_5(mainstay: Run, tmp_path: Path) -> None:
    assert mainstay("check", str(tmp_path / "nothing")).code == 5
