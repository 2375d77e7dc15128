"""How tests ended is written down without the project doing anything, and without it noticing."""

import glob
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay.runner.folders import COLLECT
from mainstay.runner.results import Gathered, gather, silent

PYTEST_FILE = """
import pytest, unittest
def test_ok(): pass
def test_bad(): print("said"); assert 1 == 2
@pytest.mark.skip(reason="why not")
def test_skipped(): pass
@pytest.mark.xfail(reason="known")
def test_expected(): assert 0
@pytest.fixture
def broken(): raise RuntimeError("setup")
def test_error(broken): pass
@pytest.mark.parametrize("x", ["a", "b"])
def test_with(x): pass
class TestX(unittest.TestCase):
    def test_sub(self):
        for i in range(3):
            with self.subTest(i=i): self.assertNotEqual(i, 1)
"""
UNITTEST_FILE = """
import unittest
class T(unittest.TestCase):
    def test_ok(self): pass
    def test_bad(self): self.fail("x")
    def test_error(self): raise ValueError("v")
    @unittest.skip("s")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    def test_sub(self):
        for i in range(3):
            with self.subTest(i=i): self.assertNotEqual(i, 1)
class C(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no class")
    def test_never(self): pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_p.py").write_text(PYTEST_FILE)
    (tmp_path / "test_u.py").write_text(UNITTEST_FILE)
    (tmp_path / "reports").mkdir()
    return tmp_path


def run(project: Path, *command: str, watched: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(project), "PYTEST_ADDOPTS": QUICK, **env}
    if watched:
        environ |= {"MAINSTAY_TESTS_DIR": str(project / "reports"), "PYTHONPATH": str(COLLECT)}
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=60)


def outcomes(project: Path) -> dict[str, str]:
    """What was reported, by the test's name."""
    target = project / "tests.jsonl"
    gather(project / "reports", target, str)
    reports = [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []
    return {report["id"]: report["outcome"] for report in reports}


QUICK = "-p no:schemathesis -p no:hypothesispytest -p no:cacheprovider"
"""Plugins of our own environment that only take time here."""
EXPECTED = {
    "test_p.py::test_ok": "passed",
    "test_p.py::test_bad": "failed",
    "test_p.py::test_skipped": "skipped",
    "test_p.py::test_expected": "skipped",
    "test_p.py::test_error": "error",
    "test_p.py::test_with[a]": "passed",
    "test_p.py::test_with[b]": "passed",
    "test_p.py::TestX::test_sub": "failed",
}


@pytest.mark.parametrize("more", [(), ("-n", "2"), ("-p", "no:anyio")])
def test_pytest_reports_every_test(project: Path, more: tuple[str, ...]) -> None:
    run(project, sys.executable, "-m", "pytest", "-q", "test_p.py", *more)
    assert outcomes(project) == EXPECTED
    assert len(list((project / "reports").iterdir())) == 1


def test_pytests_output_and_exit_code_stay_as_they_are(project: Path) -> None:
    watched = run(project, sys.executable, "-m", "pytest", "test_p.py")
    alone = run(project, sys.executable, "-m", "pytest", "test_p.py", watched=False)
    assert watched.returncode == alone.returncode == 1
    assert re.sub(r"in \d.*s", "", watched.stdout) == re.sub(r"in \d.*s", "", alone.stdout)
    assert watched.stderr == alone.stderr


def test_a_file_that_cannot_be_collected_is_an_error(project: Path) -> None:
    (project / "test_broken.py").write_text("import nothing_of_the_kind\n")
    run(project, sys.executable, "-m", "pytest", "-q", "test_broken.py")
    assert outcomes(project) == {"test_broken.py": "error"}


def test_runs_inside_tests_are_not_counted(project: Path) -> None:
    inner = (
        "import subprocess, sys\n"
        "def test_outer():\n"
        "    assert subprocess.run([sys.executable, '-m', 'pytest', '-q', 'test_p.py::test_ok']).returncode == 0\n"
        "    assert subprocess.run([sys.executable, '-m', 'unittest', 'test_u.T.test_ok']).returncode == 0\n"
    )
    (project / "test_outer.py").write_text(inner)
    assert run(project, sys.executable, "-m", "pytest", "-q", "test_outer.py").returncode == 0
    assert outcomes(project) == {"test_outer.py::test_outer": "passed"}


def interpreters() -> list[str]:
    """This Python, and what pyenv has of others."""
    found = glob.glob(str(Path.home() / ".pyenv/versions/3.*/bin/python"))
    versions = {path.split("/")[-3]: path for path in found}
    return [sys.executable, *(path for name, path in sorted(versions.items()) if int(name.split(".")[1]) >= 8)]


@pytest.mark.parametrize("python", interpreters())
def test_unittest_reports_every_test(project: Path, python: str) -> None:
    watched = run(project, python, "-m", "unittest", "test_u")
    alone = run(project, python, "-m", "unittest", "test_u", watched=False)
    assert watched.returncode == alone.returncode == 1
    assert re.sub(r"in \d.*s", "", watched.stderr) == re.sub(r"in \d.*s", "", alone.stderr)
    assert outcomes(project) == {
        "test_u.T.test_ok": "passed",
        "test_u.T.test_bad": "failed",
        "test_u.T.test_error": "error",
        "test_u.T.test_skipped": "skipped",
        "test_u.T.test_expected": "skipped",
        "test_u.T.test_sub": "failed",
        "setUpClass (test_u.C)": "error",
    }


def test_a_python_that_cannot_read_our_files_is_not_disturbed(project: Path) -> None:
    for old in glob.glob(str(Path.home() / ".pyenv/versions/[23].[0-7].*/bin/python")):
        done = run(project, old, "-B", "-c", "print(1)")
        assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


def test_a_sitecustomize_that_ours_hides_is_run(project: Path) -> None:
    (project / "site").mkdir()
    (project / "site" / "sitecustomize.py").write_text("print('theirs', __name__)\n")
    folders = f"{COLLECT}{os.pathsep}{project / 'site'}"
    done = run(project, sys.executable, "-c", "import sitecustomize; print(sitecustomize.__file__)", PYTHONPATH=folders)
    # `run` puts ours first; theirs comes along behind it.
    assert done.returncode == 0
    environ = {"PATH": os.environ["PATH"], "MAINSTAY_TESTS_DIR": str(project / "reports"), "PYTHONPATH": folders}
    words = [sys.executable, "-c", "import sitecustomize; print(sitecustomize.__file__)"]
    both = subprocess.run(words, env=environ, capture_output=True, text=True)
    assert both.stdout.splitlines() == ["theirs sitecustomize", str(project / "site" / "sitecustomize.py")]


def test_it_costs_a_python_less_than_a_few_milliseconds(project: Path) -> None:
    done = run(project, sys.executable, "-X", "importtime", "-c", "pass")
    ours = [line for line in done.stderr.splitlines() if line.endswith("sitecustomize")]
    assert int(ours[0].split("|")[1]) < 20_000  # microseconds; about 500 on an idle machine


def test_a_test_that_ran_twice_is_there_once_with_its_worst_end(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "1.jsonl").write_text(
        '{"id":"a","outcome":"failed","message":"secret"}\n{"id":"b","outcome":"passed"}\n'
    )
    (reports / "2.jsonl").write_text('{"id":"a","outcome":"passed"}\nnot json\n{"id":"c","outcome":"odd"}\n')
    (reports / "3.jsonl").symlink_to("/etc/passwd")
    target = tmp_path / "tests.jsonl"
    assert gather(reports, target, lambda text: text.replace("secret", "***")).counts == {
        "passed": 1,
        "failed": 1,
        "error": 0,
        "skipped": 0,
    }
    assert "secret" not in target.read_text()


def test_a_retried_test_counts_with_its_last_try(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"id":"a","outcome":"failed"}\n{"id":"a","outcome":"passed"}\n')
    target = tmp_path / "tests.json"
    assert gather(tmp_path, target, str).counts["passed"] == 1
    assert [json.loads(line).get("rerun", 0) for line in target.read_text().splitlines()] == [0, 1]


CRASH = "import os\ndef test_bad(): assert 0\ndef test_crash(): os._exit(1)\n"


@pytest.mark.parametrize(
    ("command", "complete"),
    [
        (("pytest", "-q", "test_p.py"), True),
        (("pytest", "-q", "test_p.py", "-n", "2"), True),
        (("unittest", "test_u"), True),
        (("pytest", "-q", "test_p.py::test_ok"), False),  # nothing failed
        (("pytest", "-q", "test_crash.py"), False),
        (("pytest", "-q", "test_p.py", "-x", "--no-such-option"), False),
        (("unittest", "test_crash_unittest"), False),
    ],
)
def test_a_run_that_came_to_its_end_says_so(project: Path, command: tuple[str, ...], complete: bool) -> None:
    (project / "test_crash.py").write_text(CRASH)
    as_unittest = "import os, unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.fail()\n"
    (project / "test_crash_unittest.py").write_text(as_unittest + "    def test_b(self): os._exit(1)\n")
    run(project, sys.executable, "-m", *command)
    assert gather(project / "reports", project / "all.jsonl", str).complete is complete


def test_one_crash_among_several_runs_is_not_hidden_by_the_others(project: Path) -> None:
    (project / "test_crash.py").write_text(CRASH)
    run(project, sys.executable, "-m", "pytest", "-q", "test_p.py")
    run(project, sys.executable, "-m", "pytest", "-q", "test_crash.py")
    assert not gather(project / "reports", project / "all.jsonl", str).complete


@pytest.mark.parametrize(
    ("command", "only", "ran"),
    [
        (("pytest", "-q", "test_p.py"), ["test_p.py::test_bad", "test_p.py::test_with[b]"], None),
        (("pytest", "-q", "test_p.py", "-n", "2"), ["test_p.py::test_bad", "test_p.py::test_with[b]"], None),
        (("unittest", "test_u"), ["test_u.T.test_bad"], None),
        (("pytest", "-q", "test_p.py"), ["test_p.py::test_gone"], []),
    ],
)
def test_a_run_can_be_limited_to_some_tests(
    project: Path, command: tuple[str, ...], only: list[str], ran: list[str] | None
) -> None:
    (project / "reports" / "only.json").write_text(json.dumps(only))
    done = run(project, sys.executable, "-m", *command)
    assert sorted(outcomes(project)) == (only if ran is None else ran)
    assert done.returncode == (1 if ran is None else 5)


def test_that_no_test_reported_is_seen_at_once(tmp_path: Path) -> None:
    assert silent(None)
    folder = tmp_path / "tests"
    assert not silent(folder)  # what went wrong there is for `gather` to tell
    folder.mkdir()
    assert silent(folder)
    assert gather(folder, tmp_path / "target") == Gathered()
    (folder / "deep").mkdir()
    assert not silent(folder)
