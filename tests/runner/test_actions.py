"""The built-in replacements of actions."""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.model.plan import Step
from mainstay.runner import actions as registry
from mainstay.runner.actions import find, refusal, versions
from mainstay.runner.actions.build_package import described
from mainstay.runner.actions.call import ActionFailed
from mainstay.workflow.actions import REPLACED
from tests.runner.bench import Bench

HERE = ".".join(map(str, sys.version_info[:2]))


@pytest.mark.parametrize(
    ("text", "fits", "misses"),
    [
        ("3.12", [(3, 12, 0), (3, 12, 9)], [(3, 1, 2), (3, 13, 0), (2, 12, 0)]),
        ("3.12.4", [(3, 12, 4)], [(3, 12, 5)]),
        ("3.x", [(3, 8, 0), (3, 14, 1)], [(2, 7, 18)]),
        (">=3.9 <3.12", [(3, 9, 0), (3, 11, 9)], [(3, 8, 9), (3, 12, 0)]),
        (">=3.9,<3.12", [(3, 11, 0)], [(3, 12, 0)]),
        (">= 3.10", [(3, 10, 0), (3, 14, 0)], [(3, 9, 18)]),
        ("~3.11", [(3, 11, 5)], [(3, 12, 0)]),
        ("~3.11.2", [(3, 11, 5)], [(3, 11, 1), (3, 12, 0)]),
        ("~=3.9", [(3, 9, 0), (3, 12, 0)], [(3, 8, 0)]),
        ("~=3.9.1", [(3, 9, 2)], [(3, 9, 0), (3, 10, 0)]),
        ("^3.9", [(3, 13, 0)], [(3, 8, 0), (4, 0, 0)]),
        ("3.8 - 3.10", [(3, 8, 0), (3, 10, 13)], [(3, 11, 0)]),
        ("3.9 || 3.11", [(3, 9, 1), (3, 11, 1)], [(3, 10, 1)]),
        (">3.10", [(3, 11, 0)], [(3, 10, 13)]),
        ("<=3.10", [(3, 10, 13), (3, 9, 0)], [(3, 11, 0)]),
        (">=3.9, !=3.10.*", [(3, 9, 0), (3, 11, 0)], [(3, 10, 1)]),
    ],
)
def test_version_ranges(text: str, fits: list[versions.Version], misses: list[versions.Version]) -> None:
    wanted = versions.parse(text)
    assert [wanted.fits(version) for version in fits] == [True] * len(fits)
    assert [wanted.fits(version) for version in misses] == [False] * len(misses)


def test_prereleases_and_free_threading_are_told_apart() -> None:
    assert versions.parse("3.15-dev").prereleases
    assert versions.parse("3.14t").freethreaded
    assert not versions.parse("3.14").freethreaded
    assert versions.exact("Python 3.14.0rc2") == ((3, 14, 0), True)


@pytest.mark.parametrize("text", ["pypy3.10", "graalpy-24", "three", "3.9 and more"])
def test_what_is_not_available_or_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ActionFailed):
        versions.parse(text)


def test_actions_are_found_without_regard_to_case_and_version() -> None:
    assert find("Actions/Checkout@v4") is find("actions/checkout@0123456789abcdef")
    assert find("actions/unknown@v1") is None
    assert "run step" in refusal("docker://alpine:3")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("actions"))
    with bench.runner():
        yield bench


def test_setup_python_puts_an_interpreter_of_the_machine_in_front(bench: Bench) -> None:
    finish, record = bench.run(
        Step(uses="actions/setup-python@v5", id="p", inputs={"python-version": HERE}),
        Step(run="python -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'; python -m pip --version"),
        Step(run="echo ${{ steps.p.outputs.python-version }} > version; test -x ${{ steps.p.outputs.python-path }}"),
    )
    assert finish.state == "passed", record.log.decode()
    assert f"\n{HERE}\n" in record.log.decode()


def test_setup_python_reads_the_version_from_a_file(bench: Bench) -> None:
    bench.commit({"pyproject.toml": f'[project]\nname = "x"\nrequires-python = ">={HERE}"\n'})
    finish, record = bench.run(
        Step(uses="actions/setup-python@v5", inputs={"python-version-file": "pyproject.toml"}),
        Step(run="python -c 'import sys; print(sys.prefix != sys.base_prefix)'"),
    )
    assert finish.state == "passed", record.log.decode()
    assert record.log.endswith(b"True\n")


def test_setup_python_says_what_is_there_when_it_does_not_have_it(bench: Bench) -> None:
    finish, _ = bench.run(Step(uses="actions/setup-python@v5", inputs={"python-version": ">=3.99"}))
    assert finish.state == "neutral"
    assert "Python >=3.99 is not available on this runner; it has" in (finish.reason or "")


def test_of_a_list_of_versions_those_that_are_there_are_set_up(bench: Bench) -> None:
    several = {"python-version": f"{HERE}\npypy3.10"}
    finish, record = bench.run(
        Step(uses="actions/setup-python@v5", inputs=several),
        Step(run="python -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"),
    )
    assert finish.state == "passed", record.log.decode()
    assert record.log.endswith(f"\n{HERE}\n".encode())
    assert any("pypy3.10 is not available here" in each.message for each in finish.annotations)
    none, _ = bench.run(Step(uses="actions/setup-python@v5", inputs={"python-version": "pypy3.9\npypy3.10"}))
    assert (none.state, "none of pypy3.9, pypy3.10" in (none.reason or "")) == ("neutral", True)


def test_a_failure_that_came_before_what_is_not_here_is_a_failure(bench: Bench) -> None:
    missing = Step(uses="actions/setup-python@v5", inputs={"python-version": "pypy3.10"}, condition="always()")
    finish, _ = bench.run("exit 3", missing)
    assert (finish.state, finish.reason) == ("failed", None)
    later, _ = bench.run(missing, Step(run="exit 3", condition="always()"))
    assert later.state == "neutral"
    assert "only CPython is" in (later.reason or "")


def test_setup_uv_says_which_uv_there_is(bench: Bench) -> None:
    finish, record = bench.run(
        Step(uses="astral-sh/setup-uv@v6", id="uv", inputs={"version": "0.0.1"}),
        Step(run="uv --version; test -n '${{ steps.uv.outputs.uv-version }}'"),
    )
    assert finish.state == "passed", record.log.decode()
    assert any("0.0.1 was asked for" in each.message for each in finish.annotations)


def test_a_python_that_uv_has_not_is_neutral(bench: Bench) -> None:
    finish, _ = bench.run(Step(uses="astral-sh/setup-uv@v6", inputs={"python-version": "3.99"}))
    assert (finish.state, "Python 3.99 is not on this machine" in (finish.reason or "")) == ("neutral", True)


def test_every_replacement_that_is_promised_is_there() -> None:
    assert set(REPLACED) == set(registry.REPLACED)


def test_what_a_file_of_requirements_names_is_installed_by_the_jobs_pip(bench: Bench) -> None:
    bench.commit({"needs.txt": "-r missing.txt\n"})
    setup = Step(uses="actions/setup-python@v5", inputs={"python-version": HERE})
    inputs = {"path": "needs.txt", "update-pip": "false", "update-setuptools": "false", "update-wheel": "false"}
    finish, record = bench.run(setup, Step(uses="py-actions/py-dependency-install@v4", inputs=inputs))
    assert finish.state == "failed"
    assert "pip install -r needs.txt failed" in (finish.reason or "")
    assert b"missing.txt" in record.log


def test_actions_that_have_nothing_to_do_say_so_and_pass(bench: Bench) -> None:
    finish, record = bench.run(Step(uses="dorny/test-reporter@v2", inputs={"path": "x.xml"}))
    assert finish.state == "passed"
    assert b"dorny/test-reporter@v2: nothing is done here: tests are counted here anyway" in record.log


def test_versions_that_are_none_and_programs_that_are_not_there_are_said(bench: Bench) -> None:
    finish, _ = bench.run(
        Step(uses="snok/install-poetry@v1", inputs={"version": "--index-url=x"}, continue_on_error="true"),
        Step(uses="actions/setup-go@v5", env={"PATH": "/nowhere"}, continue_on_error="true"),
        Step(uses="psf/black@stable", inputs={"options": "'"}, continue_on_error="true"),
    )
    assert [step.state.value for step in finish.steps] == ["allowed", "allowed", "allowed"]
    assert "is not a version of poetry" in (finish.steps[0].reason or "")
    assert "there is no Go on this runner" in (finish.steps[1].reason or "")
    assert "the input options cannot be read" in (finish.steps[2].reason or "")


def test_a_wheel_says_which_pythons_a_package_is_for(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    lines = [f"Classifier: Programming Language :: Python :: {each}" for each in ("3", "3.10", "3.9", "3 :: Only")]
    with zipfile.ZipFile(wheel, "w") as bundle:
        bundle.writestr("a-1.dist-info/METADATA", "\n".join(("Name: a", "Version: 1", *lines, "", "Classifier: x")))
    found = described([wheel])
    assert found["supported_python_classifiers_json_array"] == '["3.9", "3.10"]'
    assert (found["package_name"], found["package_version"]) == ("a", "1")


COMPOSITE = """
name: greet
inputs:
  who: {default: "${{ github.event_name }}"}
  how: {required: true}
outputs:
  said: {value: "${{ steps.say.outputs.text }}"}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      run: |
        echo "text=$HOW ${{ inputs.who }}" >> $GITHUB_OUTPUT
        echo "FROM_ACTION=yes" >> $GITHUB_ENV
        basename "$GITHUB_ACTION_PATH"
    - uses: ./actions/inner
    - shell: bash
      if: failure()
      run: echo never
"""
INNER = "name: inner\nruns:\n  using: composite\n  steps:\n    - {shell: bash, run: 'echo inner $HOW $FROM_ACTION'}\n"
LOOP = "name: loop\nruns:\n  using: composite\n  steps: [{uses: ./actions/loop}]\n"
FAILING = "name: x\nruns:\n  using: composite\n  steps: [{shell: bash, run: exit 7}, {shell: bash, run: echo no}]\n"


def test_local_composite_actions_run_with_inputs_outputs_and_env(bench: Bench) -> None:
    bench.commit({"actions/greet/action.yml": COMPOSITE, "actions/inner/action.yaml": INNER})
    finish, record = bench.run(
        Step(uses="./actions/greet", id="g", inputs={"HOW": "unused"}, env={"HOW": "hello"}),
        Step(run="echo '${{ steps.g.outputs.said }}' $FROM_ACTION ${{ steps.say.outputs.text }}"),
    )
    assert finish.state == "passed", record.log.decode()
    assert record.log.decode() == "greet\ninner hello yes\nhello push yes\n"
    assert len(finish.steps) == 2


def test_a_failed_step_of_a_composite_action_fails_the_step_that_uses_it(bench: Bench) -> None:
    bench.commit({"actions/bad/action.yml": FAILING})
    finish, record = bench.run(Step(uses="./actions/bad"), "echo no")
    assert (finish.state, finish.exit_code, bytes(record.log)) == ("failed", 7, b"")


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        ("./actions/loop", "levels deep"),
        ("./actions/none", "there is no ./actions/none/action.yml"),
        ("./../../..", "leads out of the repository"),
    ],
)
def test_local_actions_that_cannot_run_say_why(bench: Bench, uses: str, words: str) -> None:
    bench.commit({"actions/loop/action.yml": LOOP})
    finish, _ = bench.run(Step(uses=uses))
    assert words in (finish.reason or "")


def test_paths_filter_tells_what_the_push_changed(bench: Bench) -> None:
    bench.commit({"src/a.py": "a", "docs/x.md": "x"})
    before = bench.git("rev-parse", "HEAD")
    bench.commit({"src/b.py": "b", "src/c.py": "c"})
    filters = "code:\n  - 'src/**'\ndocs:\n  - 'docs/**'\n"
    finish, record = bench.run(
        Step(uses="dorny/paths-filter@v3", id="f", inputs={"filters": filters, "list-files": "json"}),
        Step(run="echo ${{ steps.f.outputs.code }} ${{ steps.f.outputs.docs }} ${{ steps.f.outputs.changes }} > said"),
        Step(run="cat said; echo '${{ steps.f.outputs.code_files }}'"),
        contexts={"github": {"event": {"before": before}}},
    )
    assert finish.state == "passed", record.log.decode()
    assert record.log.decode().splitlines()[-2:] == ["true false [code]", '["src/b.py", "src/c.py"]']


def test_alls_green_passes_over_what_no_runner_here_could_decide(bench: Bench) -> None:
    away = '{"result": "skipped", "outputs": {}, "neutral": true}'
    green = f'{{"a": {{"result": "success"}}, "b": {away}}}'
    alone = f'{{"b": {away}}}'
    uses = "re-actors/alls-green@release/v1"
    assert bench.run(Step(uses=uses, inputs={"jobs": green}))[0].state == "passed"
    assert bench.run(Step(uses=uses, inputs={"jobs": alone}))[0].state == "neutral"
    red = f'{{"a": {{"result": "failure"}}, "b": {away}}}'
    assert bench.run(Step(uses=uses, inputs={"jobs": red}))[0].state == "failed"


def test_changed_files_are_told_by_groups(bench: Bench) -> None:
    bench.commit({"src/a.py": "1", "docs/b.md": "1", "docs/c.txt": "1"})
    groups = "src:\n- src/**\ndocs:\n- docs/**\n- '!**/*.txt'\nci:\n- .github/**\n"
    finish, record = bench.run(
        Step(uses="tj-actions/changed-files@v47", id="c", inputs={"files_yaml": groups}),
        Step(run="echo ${{ steps.c.outputs.src_any_changed }} ${{ steps.c.outputs.ci_any_changed }}"),
        Step(run="echo ${{ steps.c.outputs.docs_all_changed_files }} / ${{ steps.c.outputs.changed_keys }}"),
        Step(uses="tj-actions/changed-files@v47", id="d", inputs={"files": "src/**", "separator": ","}),
        Step(run="echo ${{ steps.d.outputs.any_changed }} ${{ steps.d.outputs.other_changed_files }}"),
    )
    assert finish.state == "passed", record.log.decode()
    assert b"\ntrue false\ndocs/b.md / src docs\n" in record.log
    assert record.log.endswith(b"\ntrue docs/b.md,docs/c.txt\n")


def test_alls_green_decides_over_the_needed_jobs(bench: Bench) -> None:
    jobs = '{"a": {"result": "success"}, "b": {"result": "skipped"}}'
    finish, _ = bench.run(Step(uses="re-actors/alls-green@release/v1", inputs={"jobs": jobs, "allowed-skips": "b"}))
    assert finish.state == "passed"
    finish, _ = bench.run(Step(uses="re-actors/alls-green@release/v1", inputs={"jobs": jobs}))
    assert "b (skipped)" in (finish.reason or "")


def test_coverage_is_kept_and_not_sent_away(bench: Bench) -> None:
    finish, record = bench.run("echo '<coverage/>' > coverage.xml", Step(uses="codecov/codecov-action@v5"))
    assert finish.state == "passed"
    assert list(record.artifacts) == ["coverage"]
