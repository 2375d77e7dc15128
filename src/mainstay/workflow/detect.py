"""What to run for a repository that has no workflow file: nox, tox, pytest or unittest, whichever its files show."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from mainstay.model.plan import Json, Matrix, Plan, PlannedJob, Problem, Step
from mainstay.workflow import scripts, tox
from mainstay.workflow.files import Files
from mainstay.workflow.project import Project, read_project, read_pyproject

MAX_TEST_FILES = 150
"""How many test files are looked into, at most, to tell pytest from unittest."""
MAX_PATHS = 200_000
"""Paths beyond these are left out of account."""

PYTEST_FILES = frozenset({"pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml"})
TEST_FOLDERS = ("tests", "test")
TEST_PATTERNS = ("test*.py", "*_test.py", "*_tests.py", "Test*.py", "*Test.py", "*Tests.py")
"""What a test file may be called; the first is unittest's own."""
NOT_OURS = frozenset({"node_modules", "vendor", "_vendor", "vendored", "third_party", "site-packages", "venv", ".venv"})
IMPORTS_PYTEST = re.compile(rb"^[ \t]*(?:import|from)[ \t]+_?pytest\b", re.MULTILINE)
PLAIN_TEST_FUNCTION = re.compile(rb"^(?:async[ \t]+)?def[ \t]+test", re.MULTILINE)
NAMES_UNITTEST = re.compile(rb"\bunittest\b")

NEW_ENOUGH = ">=3.10"
"""Pythons that today's tox runs on."""
LEFT_OUT = "A workflow of your own (.mainstay/tests.yml) can run them: run: uvx tox -e NAME"

NOTHING_FOUND = """\
nothing was found to run here: no workflow file in .mainstay/ or .github/workflows/, no noxfile.py, no tox or pytest \
configuration, no tests that import pytest and no folder "tests" or "test" with Python tests. \
To say what to run, commit a file .mainstay/tests.yml with, for example:

on: push
jobs:
  test:
    runs-on: linux
    run: python3 -m unittest discover
"""


def detect(files: Files) -> Plan:
    """The plan for a repository without workflow files. Reads at most `MAX_TEST_FILES` test files and ten others."""
    present = frozenset(files.paths()[:MAX_PATHS])
    pyproject, problems = read_pyproject(files, present)
    if "noxfile.py" in present:
        return _plan("nox", (_nox(),), problems)
    tools = _tools(pyproject)
    environments = tox.environments(files, present, pyproject)
    if environments is not None:
        return _of_tox(environments, problems)
    sections = {name: _sections(files.read(name)) for name in ("tox.ini", "setup.cfg") if name in present}
    tox_ini = sections.get("tox.ini", frozenset())
    tests = _test_files(present)
    configured = (
        bool(PYTEST_FILES & present)
        or "pytest" in tools
        or "tool:pytest" in sections.get("setup.cfg", ())
        or "pytest" in tox_ini
        or any(path.endswith("conftest.py") and _name(path) == "conftest.py" and _ours(path) for path in present)
    )
    if configured or _written_for_pytest(files, tests):
        return _plan("pytest", _pytest(read_project(files, present, pyproject)), problems)
    runs = tuple(_discoveries(tests, present))
    if runs:
        return _plan("unittest", _unittest(read_project(files, present, pyproject), runs), problems)
    return Plan(
        "tests", "detected: nothing", problems=(*problems, Problem("error", NOTHING_FOUND, ".mainstay/tests.yml"))
    )


def _plan(what: str, steps: tuple[Step, ...], problems: tuple[Problem, ...]) -> Plan:
    return Plan("tests", f"detected: {what}", jobs=(PlannedJob("test", steps=steps),), problems=problems)


def _tools(pyproject: Mapping[str, Any]) -> Mapping[str, Any]:
    tools = pyproject.get("tool")
    return tools if isinstance(tools, dict) else {}


def _step(name: str, script: str) -> Step:
    return Step(name=name, run=script, shell="sh")  # noqa: S604  (the name of a shell, not a switch)


def _nox() -> Step:
    # uv as the default backend finds or fetches the interpreters that sessions ask for; a session that names its
    # own backend keeps it. CI=true makes nox fail, not skip, when an interpreter is missing all the same.
    script = scripts.tool("nox", ("--envdir", '"$RUNNER_TEMP/nox"'), with_uv=("--default-venv-backend", "uv"))
    return _step("Run nox", script)


def _of_tox(found: tox.Environments, problems: tuple[Problem, ...]) -> Plan:
    """A job for each environment that tests; where the text does not tell them, or there are none: tox as it is."""
    if not found.tests:
        return _plan("tox", (_step("Run tox", _tox(found.base, "")),), problems)
    if found.others:
        told = ", ".join(found.others)
        words = f"of the environments that tox would run, those that do not test are left out here: {told}. {LEFT_OUT}"
        problems = (*problems, Problem("warning", words, ".mainstay/tests.yml"))
    return Plan("tests", "detected: tox", jobs=(_tox_job(found.base, found.tests),), problems=problems)


def _tox_job(base: str, environments: Sequence[tox.Environment]) -> PlannedJob:
    # What the machine does not have makes a job neutral, not red (decision 13); none gives way to another that fails.
    steps = (
        Step(
            name="Set up Python",
            uses="actions/setup-python@v6",
            inputs={"python-version": "${{ matrix.python }}", "allow-prereleases": "true"},
            condition="matrix.python",
        ),
        _step("Run tox", _tox(base, "-e '${{ matrix.tox }}'")),
    )
    legs: Json = [{"tox": each.name, "python": each.python or ""} for each in environments]
    return PlannedJob("test", "test (${{ matrix.tox }})", matrix=Matrix(include=legs), fail_fast="false", steps=steps)


def _tox(base: str, pick: str) -> str:
    # tox-uv finds or fetches interpreters; seeded environments have pip, as tox's own do. tox itself runs on a Python
    # of its own, however old the one that is tested.
    command = ("run", "--workdir", '"$RUNNER_TEMP/tox"', *((pick,) if pick else ()))
    return scripts.tool(
        "tox", command, with_uv=("-x", f"{base}.uv_seed=true"), plugin="tox-uv", python=NEW_ENOUGH if pick else None
    )


def _pytest(project: Project) -> tuple[Step, ...]:
    return (
        _step("Install", scripts.install(project, "pytest")),
        _step("Run pytest", "python -m pytest\n"),
    )


def _unittest(project: Project, runs: Sequence[Sequence[str]]) -> tuple[Step, ...]:
    installed = project.installs
    script = scripts.unittest(runs, installed=installed, source_folder=project.source_folder)
    run = _step("Run unittest", script)
    return (_step("Install", scripts.install(project)), run) if installed else (run,)


def _sections(data: bytes | None) -> frozenset[str]:
    """Names of the sections of an ini file; a file that is broken elsewhere still shows them."""
    return frozenset(re.findall(r"^\[([^\]\n]+)\]", (data or b"").decode("utf-8", "replace"), re.MULTILINE))


def _ours(path: str) -> bool:
    return NOT_OURS.isdisjoint(path.split("/"))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _test_files(present: frozenset[str]) -> tuple[str, ...]:
    """Paths that look like Python tests, those near the root first."""
    looks = re.compile(r"(?:^|/)(?:[tT]est[^/]*|[^/]*(?:_tests?|Tests?))\.py$")
    found = [path for path in present if path.endswith(".py") and looks.search(path) and _ours(path)]
    return tuple(sorted(found, key=lambda path: (path.count("/"), path)))


def _written_for_pytest(files: Files, tests: Sequence[str]) -> bool:
    """Whether tests import pytest, or are plain functions that unittest would pass over in silence."""
    plain, names_unittest = False, False
    for path in tests[:MAX_TEST_FILES]:
        data = files.read(path) or b""
        if IMPORTS_PYTEST.search(data):
            return True
        plain = plain or PLAIN_TEST_FUNCTION.search(data) is not None
        names_unittest = names_unittest or NAMES_UNITTEST.search(data) is not None
    return plain and not names_unittest


def _discoveries(tests: Sequence[str], present: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Arguments of `unittest discover`, one run per folder that unittest does not reach from another by itself."""
    parents = {path: path.rpartition("/")[0] or "." for path in tests}
    inside = [path for path in tests if path.split("/")[0] in TEST_FOLDERS and "/" in path]
    inside = inside or [path for path in tests if not set(TEST_FOLDERS).isdisjoint(parents[path].split("/"))]
    inside = inside or [path for path in tests if parents[path] == "."]
    done: set[tuple[str, str]] = set()
    starts: dict[str, tuple[str, str]] = {}
    for path in inside:
        folder = parents[path]
        if folder not in starts:
            starts[folder] = _start(folder, present)
        start, top = starts[folder]
        pattern = next(pattern for pattern in TEST_PATTERNS if fnmatchcase(_name(path), pattern))
        if (start, pattern) in done:
            continue
        done.add((start, pattern))
        pick = () if pattern == TEST_PATTERNS[0] else ("-p", pattern)
        yield ("-s", start, *(() if top == start else ("-t", top)), *pick)


def _start(folder: str, present: frozenset[str]) -> tuple[str, str]:
    """Where discovery starts to reach `folder`, and the folder put on the import path (`-t`).

    unittest only goes down into packages. So the start is the highest test folder above `folder` from which packages
    lead down to it, and the top is the folder that holds the outermost package.
    """

    def package(path: PurePosixPath) -> bool:
        return str(path / "__init__.py") in present

    start = PurePosixPath(folder)
    while package(start) and start.name not in TEST_FOLDERS and str(start.parent) != ".":
        start = start.parent
    while start.name in TEST_FOLDERS and package(start) and not set(TEST_FOLDERS).isdisjoint(start.parent.parts):
        start = start.parent
    top = start
    while package(top) and str(top) != ".":
        top = top.parent
    return str(start), str(top)
