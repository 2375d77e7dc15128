"""Which environments of a tox configuration get jobs, and on which Python."""

import pytest

from mainstay.model.plan import Plan
from mainstay.workflow.detect import detect
from mainstay.workflow.expressions import Scope
from mainstay.workflow.files import MemoryFiles
from mainstay.workflow.matrix import expand


def found(text: str, name: str = "tox.ini") -> Plan:
    return detect(MemoryFiles({name: text.encode()}))


def legs(plan: Plan) -> dict[str, str]:
    assert plan.source == "detected: tox"
    (job,) = plan.jobs
    assert job.matrix is not None
    return {str(leg["tox"]): str(leg["python"]) for leg in expand(job.matrix, Scope())}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("py39, py3.10,py313t", {"py39": "3.9", "py3.10": "3.10", "py313t": "3.13t"}),
        ("\n  py3{13,9}\n  pypy310  # comment\n", {"py313": "3.13", "py39": "3.9", "pypy310": "pypy3.10"}),
        ("py3{10-12}", {"py310": "3.10", "py311": "3.11", "py312": "3.12"}),
        (
            "py{311,312}-django{42,50}-{a,b}",
            {f"py{p}-django{d}-{x}": f"3.{p[1:]}" for p in ("311", "312") for d in ("42", "50") for x in "ab"},
        ),
        ("3.12,3.13-min", {"3.12": "3.12", "3.13-min": "3.13"}),
        ("py, py3, django42", {"py": "", "py3": "3.x", "django42": ""}),
        ("py3{11,12}, lint, docs, py312-mypy, pre-commit", {"py311": "3.11", "py312": "3.12"}),
        ("tests-{lowest,highest}, flake8", {"tests-lowest": "", "tests-highest": ""}),
        ("", {"py": ""}),
    ],
)
def test_each_environment_that_tests_is_a_job_with_its_python(listed: str, expected: dict[str, str]) -> None:
    assert legs(found(f"[tox]\nenvlist = {listed}\n[testenv]\ncommands = pytest {{posargs}}\n")) == expected


def test_commands_decide_where_names_do_not() -> None:
    text = (
        "[tox]\nenv_list = smoke, deep, site\n[testenv]\n[testenv:{smoke,site}]\ncommands = make all\n[testenv:deep]\n"
    )
    assert list(legs(found(text + "commands =\n  python -m pytest -x\n"))) == ["deep"]


def test_what_does_not_test_is_told_and_not_run() -> None:
    plan = found("[tox]\nenvlist = py, docs, style\n")
    assert [problem.severity for problem in plan.problems] == ["warning"]
    assert "left out here: docs, style" in plan.problems[0].message


@pytest.mark.parametrize(
    "text",
    [
        "[tox]\nenvlist = {env:ENVS:py}\n",
        "[tox]\nenvlist = {[base]envs}\n",
        "[tox]\nenvlist = lint, docs\n",
        "[tox]\nenvlist = py{" + ",".join(map(str, range(300))) + "}\n",
        "[tox]\nenvlist = py{0-150}-{0-150}-{0-150}-{0-150}\n",
        "[tox]\nenvlist = py'; rm -rf /\n",
        "[tox]\nno equals sign\n[testenv]\n = x\n",
    ],
)
def test_where_the_text_does_not_tell_tox_is_run_as_it_is(text: str) -> None:
    plan = found(text)
    assert plan.source == "detected: tox"
    assert plan.jobs[0].matrix is None
    assert "tox run" in (plan.jobs[0].steps[0].run or "")
    assert " -e " not in (plan.jobs[0].steps[0].run or "")


def test_toml_is_read_too() -> None:
    table = 'env_list = ["py3.13", "stress-py3.14t", "style", "3.{9-10}"]\n[env.stress]\ncommands = [["x"]]\n'
    expected = {"py3.13": "3.13", "stress-py3.14t": "3.14t", "3.9": "3.9", "3.10": "3.10"}
    assert legs(found(table, "tox.toml")) == expected
    inside = table.replace("[env.stress]", "[tool.tox.env.stress]")
    assert legs(found(f"[tool.tox]\n{inside}", "pyproject.toml")) == expected
    legacy = '[tool.tox]\nlegacy_tox_ini = """\n[tox]\nenvlist = py310\n"""\n'
    assert legs(found(legacy, "pyproject.toml")) == {"py310": "3.10"}
    product = found('env_list = [{product = [["py312"], ["a", "b"]]}]\n', "tox.toml")
    assert product.jobs[0].matrix is None
    assert "env_run_base.uv_seed" in (product.jobs[0].steps[0].run or "")
