"""What is run for repositories without workflow files."""
# ruff: noqa: E501  (tables of files read better in one line)

# ruff: noqa: E501  (tables of files read better in one line)

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from mainstay.model.plan import Plan
from mainstay.workflow.detect import MAX_TEST_FILES, detect
from mainstay.workflow.files import MemoryFiles
from mainstay.workflow.project import specifier

UNITTEST = b"import unittest\nclass T(unittest.TestCase):\n    def test_it(self): pass\n"


def found(contents: Mapping[str, str | bytes]) -> Plan:
    return detect(
        MemoryFiles({path: text.encode() if isinstance(text, str) else text for path, text in contents.items()})
    )


def script(plan: Plan) -> str:
    return "\n".join(step.run or "" for job in plan.jobs for step in job.steps)


def perform(plan: Plan, tree: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run every step as a runner would, with the python of this test run as `python3`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_PATH": str(tmp_path / "path"),
        "GITHUB_ENV": str(tmp_path / "env"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        ["sh", "-e", "-c", script(plan)], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def write(tree: Path, contents: dict[str, str | bytes]) -> None:
    for path, text in contents.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("contents", "source"),
    [
        ({"noxfile.py": "", "tox.ini": "[tox]"}, "nox"),
        ({"tox.ini": "[tox]\n", "pytest.ini": ""}, "tox"),
        ({"tox.ini": "[testenv:py]\n"}, "tox"),
        ({"tox.toml": ""}, "tox"),
        ({"setup.cfg": "[tox:tox]\n"}, "tox"),
        ({"pyproject.toml": "[tool.tox]\n"}, "tox"),
        ({"tox.ini": "[pytest]\n[flake8]\n"}, "pytest"),
        ({"pytest.ini": ""}, "pytest"),
        ({".pytest.ini": ""}, "pytest"),
        ({"pytest.toml": ""}, "pytest"),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "pytest"),
        ({"pyproject.toml": "[tool.pytest]\n"}, "pytest"),
        ({"setup.cfg": "[tool:pytest]\n"}, "pytest"),
        ({"tests/conftest.py": ""}, "pytest"),
        ({"tests/test_a.py": "import os\nfrom pytest import raises\n"}, "pytest"),
        ({"src/pkg/tests/test_a.py": "import pytest\n"}, "pytest"),
        ({"tests/test_a.py": UNITTEST}, "unittest"),
        ({"test/test_a.py": UNITTEST, "setup.cfg": "[flake8]"}, "unittest"),
        ({"test/some_test.py": UNITTEST}, "unittest"),
        ({"README": ""}, "nothing"),
        ({"tests/data.c": ""}, "nothing"),
        ({"node_modules/x/conftest.py": ""}, "nothing"),
        ({}, "nothing"),
    ],
)
def test_the_kind_of_test_run_is_told_from_the_files(contents: dict[str, str | bytes], source: str) -> None:
    assert found(contents).source == f"detected: {source}"


def test_plain_test_functions_are_run_by_pytest_because_unittest_would_pass_over_them_in_silence() -> None:
    assert found({"tests/test_a.py": "def test_it():\n    assert 1\n"}).source == "detected: pytest"


def test_finding_nothing_is_an_error_that_says_which_file_to_write() -> None:
    plan = found({"README": ""})
    assert plan.jobs == ()
    (problem,) = plan.problems
    assert problem.severity == "error"
    assert "nothing was found to run" in problem.message
    assert ".mainstay/tests.yml" in problem.message


def test_extras_groups_and_requirement_files_for_tests_are_installed() -> None:
    text = script(
        found(
            {
                "pyproject.toml": """
                    [build-system]
                    requires = []
                    [project]
                    name = "x"
                    [project.optional-dependencies]
                    Testing = ["pytest"]
                    docs = ["sphinx"]
                    [dependency-groups]
                    test = ["pytest-cov"]
                    [tool.pytest.ini_options]
                    """,
                "requirements/test.txt": "hypothesis\n",
                "requirements-dev.txt": "ruff\n",
            }
        )
    )
    assert "-e '.[Testing]' --group test -r requirements/test.txt pytest" in text
    assert "sphinx" not in text
    assert "requirements-dev" not in text


def test_developer_sets_are_installed_only_when_the_test_sets_do_not_bring_pytest() -> None:
    text = script(
        found(
            {
                "pyproject.toml": "[build-system]\n[dependency-groups]\ntest = ['x']\ndev = ['pytest>=8']\n[tool.pytest]\n",
                "requirements-dev.txt": "ruff\n",
            }
        )
    )
    assert "--group test --group dev -r requirements-dev.txt" in text


def test_older_ways_to_name_extras_are_understood() -> None:
    setup = 'from setuptools import setup\nmore = {"test": deps, "docs": []}\nsetup(extras_require=more, python_requires=">=3.8")\n'
    assert "-e '.[test]'" in script(found({"setup.py": setup, "conftest.py": ""}))
    assert "uv venv --quiet --python '>=3.8'" in script(found({"setup.py": setup, "conftest.py": ""}))
    cfg = "[metadata]\nname = x\n[options.extras_require]\ntests =\n    pytest\n"
    assert "-e '.[tests]'" in script(found({"setup.cfg": cfg, "conftest.py": ""}))


def test_requirements_in_the_tables_of_other_tools_are_written_out() -> None:
    toml = """
        [build-system]
        [tool.poetry.dependencies]
        python = "^3.9"
        [tool.poetry.group.test.dependencies]
        pytest = "^8.1"
        thing = {version = "~1.2", extras = ["a"]}
        [tool.pytest.ini_options]
        """
    text = script(found({"pyproject.toml": toml}))
    assert "'pytest>=8.1,<9'" in text
    assert "'thing[a]>=1.2,<1.3'" in text
    assert "--python '>=3.9,<4'" in text


@pytest.mark.parametrize(
    ("poetry", "plain"),
    [
        ("^1.2.3", ">=1.2.3,<2"),
        ("^0.2.3", ">=0.2.3,<0.3"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("~1", ">=1,<2"),
        ("*", ""),
        ("1.2.*", "==1.2.*"),
        (">=1,<3", ">=1,<3"),
        ("^0", ">=0,<1"),
    ],
)
def test_poetry_constraints_become_specifiers(poetry: str, plain: str) -> None:
    assert specifier(poetry) == plain


def test_a_project_without_a_build_system_gets_its_dependencies_and_no_install() -> None:
    toml = "[project]\nname='x'\ndependencies=['attrs>=1']\n[project.optional-dependencies]\ntest=['pytest-xdist']\n[tool.pytest]\n"
    text = script(found({"pyproject.toml": toml, "src/x.py": ""}))
    assert "'attrs>=1' pytest-xdist pytest" in text
    assert "-e" not in text.split("pip install")[1].split("\n")[0]
    assert "PYTHONPATH=$PWD/src" in text


def test_broken_toml_is_a_warning_with_its_place_and_detection_goes_on() -> None:
    plan = found({"pyproject.toml": "[project\n", "tests/test_a.py": UNITTEST})
    assert plan.source == "detected: unittest"
    assert (plan.problems[0].severity, plan.problems[0].line) == ("warning", 1)


UNITTEST_LAYOUTS: dict[str, dict[str, str | bytes]] = {
    "plain folder": {"tests/test_a.py": UNITTEST},
    "package": {
        "tests/__init__.py": "",
        "tests/base.py": "x = 1\n",
        "tests/test_a.py": b"from tests.base import x\n" + UNITTEST,
    },
    "relative import": {
        "test/__init__.py": "",
        "test/base.py": "x = 1\n",
        "test/test_a.py": b"from .base import x\n" + UNITTEST,
    },
    "project imported": {"demo.py": "x = 1\n", "tests/test_a.py": b"import demo\n" + UNITTEST},
    "nested folders": {"tests/unit/test_a.py": UNITTEST, "tests/more/test_b.py": UNITTEST},
    "nested packages": {"tests/__init__.py": "", "tests/unit/__init__.py": "", "tests/unit/test_a.py": UNITTEST},
    "other names": {"tests/a_test.py": UNITTEST, "tests/TestB.py": UNITTEST},
    "inside the package": {
        "pkg/__init__.py": "x = 1\n",
        "pkg/tests/__init__.py": "",
        "pkg/tests/test_a.py": b"from pkg import x\n" + UNITTEST,
    },
    "src folder": {"src/demo.py": "", "tests/test_a.py": b"import demo\n" + UNITTEST},
    "no folder": {"test_a.py": UNITTEST},
}


@pytest.mark.parametrize("layout", UNITTEST_LAYOUTS)
def test_every_unittest_layout_really_runs_all_its_tests(layout: str, tmp_path: Path) -> None:
    contents = UNITTEST_LAYOUTS[layout]
    write(tmp_path / "tree", contents)
    plan = found(contents)
    result = perform(plan, tmp_path / "tree", tmp_path)
    assert result.returncode == 0, result.stderr
    expected = sum(b"TestCase" in text for text in contents.values() if isinstance(text, bytes))
    assert result.stderr.count("... ok") == expected
    assert not (tmp_path / "venv").exists()


def test_a_failing_test_in_any_of_several_folders_fails_the_script(tmp_path: Path) -> None:
    contents = {"tests/a/test_a.py": UNITTEST.replace(b"pass", b"self.fail()"), "tests/b/test_b.py": UNITTEST}
    write(tmp_path / "tree", {**contents})
    result = perform(found({**contents}), tmp_path / "tree", tmp_path)
    assert result.returncode != 0
    assert result.stderr.count("... ok") == 1


def test_all_scripts_are_correct_shell() -> None:
    shell = shutil.which("dash") or "sh"
    for contents in ({"noxfile.py": ""}, {"tox.toml": ""}, {"tox.ini": "[tox]"}, {"conftest.py": "", "setup.py": ""}):
        text = script(found(contents))
        result = subprocess.run(
            [shell, "-n"], input=text, capture_output=True, text=True, check=False, env={**os.environ}
        )
        assert result.returncode == 0, result.stderr


def test_a_large_repository_is_detected_quickly_and_few_files_are_read() -> None:
    class Counting:
        reads = 0

        def paths(self) -> list[str]:
            return [f"pkg{number % 100}/tests/test_{number}.py" for number in range(50_000)]

        def read(self, path: str) -> bytes | None:
            self.reads += 1
            return UNITTEST

    files = Counting()
    before = time.thread_time()
    assert detect(files).source == "detected: unittest"
    assert time.thread_time() - before < 2
    assert files.reads <= MAX_TEST_FILES + 10
