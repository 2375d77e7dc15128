"""What `mainstay check` reports."""

import json
from pathlib import Path

from mainstay.workflow.actions import ADVICE, IDLE, REPLACED, replacement
from mainstay.workflow.check import Report, Verdict, check
from mainstay.workflow.composite import read_action
from mainstay.workflow.files import MemoryFiles

ORDINARY = (Path(__file__).parent / "ordinary.yml").read_bytes()


def report(text: str, **more: str) -> Report:
    contents = {".github/workflows/x.yml": text.encode()}
    return check(
        MemoryFiles(contents | {path.replace("__", "/") + ".yml": data.encode() for path, data in more.items()})
    )


def steps(*lines: str) -> str:
    return "on: push\njobs:\n  a:\n    runs-on: linux\n    steps:\n" + "".join(f"      - {line}\n" for line in lines)


def test_an_ordinary_file_runs_with_replacements_named() -> None:
    found = check(MemoryFiles({".github/workflows/ci.yml": ORDINARY}))
    (workflow,) = found.workflows
    assert found.runs
    assert {job.key: job.verdict for job in workflow.jobs} == dict.fromkeys(
        ["lint", "test", "coverage", "check"], Verdict.REPLACED
    )
    messages = [finding.message for job in workflow.jobs for finding in job.findings]
    assert any(message.startswith("actions/checkout@v4: ") for message in messages)
    assert any("9 of 15 jobs: it wants macOS" in message for message in messages)


def test_a_plain_job_runs() -> None:
    found = report(steps("run: x"))
    assert found.runs
    assert list(found.rows()) == [(".github/workflows/x.yml", "a", "runs", "")]


def test_an_action_from_elsewhere_does_not_run_and_the_report_says_what_to_write() -> None:
    found = report(steps("run: x", "uses: pypa/gh-action-pypi-publish@release/v1", "uses: some/thing@v1"))
    assert not found.runs
    first, second = found.workflows[0].jobs[0].findings
    assert (first.verdict, first.line) == (Verdict.DOES_NOT_RUN, 7)
    assert "uv publish" in first.message
    assert "as a run step" in second.message


def test_local_composite_actions_run_with_all_that_they_use() -> None:
    action = "runs:\n  using: composite\n  steps:\n    - {run: x, shell: bash}\n    - uses: actions/cache@v4\n"
    found = report(steps("uses: ./.github/act"), **{".github__act__action": action})
    (finding,) = found.workflows[0].jobs[0].findings
    assert (finding.verdict, finding.path, finding.line) == (Verdict.REPLACED, ".github/act/action.yml", 5)


def test_local_actions_of_other_kinds_in_circles_or_missing_do_not_run() -> None:
    other = report(steps("uses: ./act"), act__action="runs: {using: node20, main: x.js}")
    assert "only composite actions are run" in other.workflows[0].jobs[0].findings[0].message
    circle = report(steps("uses: ./act"), act__action="runs: {using: composite, steps: [{uses: ./act}]}")
    assert "in a circle" in circle.workflows[0].jobs[0].findings[0].message
    gone = report(steps("uses: ./gone"))
    assert "there is no gone/action.yml" in gone.workflows[0].jobs[0].findings[0].message
    broken = report(steps("uses: ./act"), act__action="runs: [")
    assert not broken.runs


def test_jobs_for_other_machines_do_not_run() -> None:
    found = report(steps("run: x").replace("linux", "windows-latest"))
    assert not found.runs
    assert "it wants Windows, and no such runner is here" in found.workflows[0].jobs[0].findings[0].message


def test_containers_are_said_to_need_an_engine() -> None:
    found = report(steps("run: x") + "    container: python:3.12\n")
    assert found.runs
    assert "a runner with the label container" in found.workflows[0].jobs[0].findings[0].message


UNKNOWN = "uses: some/thing@v1"


def job_of(text: str) -> tuple[Verdict, list[str]]:
    (found,) = report(text).workflows[0].jobs
    return found.verdict, [finding.message for finding in found.findings if finding.verdict is not Verdict.REPLACED]


def test_a_step_that_is_never_reached_here_is_no_hindrance() -> None:
    on_windows = steps("run: x", UNKNOWN + "\n        if: runner.os == 'Windows'")
    assert job_of(on_windows) == (Verdict.RUNS, [])


def test_a_step_whose_condition_is_not_known_before_is_told_but_does_not_forbid_the_job() -> None:
    on_tags = steps("run: x", UNKNOWN + "\n        if: startsWith(github.ref, 'refs/tags')")
    verdict, (message,) = job_of(on_tags)
    assert verdict is Verdict.RUNS
    assert "the job fails where its condition holds: startsWith(github.ref, 'refs/tags')" in message
    assert job_of(steps("run: x", UNKNOWN + "\n        if: failure()"))[0] is Verdict.RUNS
    assert job_of(steps("run: x", UNKNOWN + "\n        if: always()"))[0] is Verdict.DOES_NOT_RUN
    assert job_of(steps("run: x", UNKNOWN + "\n        continue-on-error: true"))[0] is Verdict.RUNS


def test_the_legs_of_a_matrix_in_which_a_step_does_not_run_are_named() -> None:
    matrix = "    strategy: {matrix: {py: ['3.11', '3.12', '3.13']}}\n"
    verdict, (message,) = job_of(steps("run: x", UNKNOWN + "\n        if: matrix.py == '3.12'") + matrix)
    assert verdict is Verdict.DOES_NOT_RUN
    assert message.endswith("(in a (3.12))")
    later = "    strategy: {matrix: '${{ fromJSON(needs.x.outputs.m) }}'}\n    needs: []\n"
    assert job_of(steps("run: x", UNKNOWN + "\n        if: matrix.py == '3.12'") + later)[0] is Verdict.RUNS


def test_what_needs_a_job_that_does_not_run_does_not_run_either() -> None:
    more = (
        "  b: {needs: a, runs-on: linux, steps: [{run: x}]}\n"
        "  c: {needs: b, runs-on: linux, steps: [{run: x}]}\n"
        "  d: {needs: [a, b], if: always(), runs-on: linux, steps: [{run: x}]}\n"
    )
    jobs = {job.key: job for job in report(steps(UNKNOWN) + more).workflows[0].jobs}
    assert [jobs[key].verdict for key in "bcd"] == [Verdict.DOES_NOT_RUN, Verdict.DOES_NOT_RUN, Verdict.RUNS]
    assert jobs["c"].findings[0].message == "it needs b, which does not run: so it is skipped"
    assert jobs["c"].findings[0].line == 8


def test_secrets_variables_and_sudo_are_told() -> None:
    text = steps(
        "run: x ${{ secrets.ONE }} ${{ secrets.GITHUB_TOKEN }}\n        env: {A: '${{ secrets.one || vars.V }}'}",
        "run: |\n          true && sudo apt-get install x\n        if: secrets.TWO == 'x' || vars['W'] == ''",
    ).replace("if: secrets.TWO == 'x' || ", "if: ")
    (workflow,) = report(text).workflows
    assert [(each.name, each.line) for each in workflow.secrets] == [("ONE", 6)]
    assert [(each.name, each.line) for each in workflow.variables] == [("V", 7), ("W", 10)]
    assert "it calls sudo" in workflow.jobs[0].findings[0].message
    assert workflow.runs


def test_actions_that_only_report_have_nothing_to_do() -> None:
    verdict, messages = job_of(steps("uses: EnricoMi/publish-unit-test-result-action@v2"))
    assert (verdict, messages) == (Verdict.REPLACED, [])
    assert not IDLE.keys() & (REPLACED.keys() | ADVICE.keys())


def test_text_of_strangers_in_a_script_is_warned_of_at_its_place() -> None:
    text = steps('run: |\n          echo\n          echo "${{ github.event.head_commit.message }}"')
    (problem,) = report(text).workflows[0].problems
    assert (problem.severity, problem.line, problem.column) == ("warning", 8, 21)


def test_a_broken_file_does_not_run_and_shows_its_problems() -> None:
    found = report("on: push\njobs: 3\n")
    assert not found.runs
    assert found.workflows[0].problems[0].line == 2


def test_without_workflow_files_the_detected_plan_is_reported() -> None:
    assert check(MemoryFiles({"noxfile.py": b""})).workflows[0].path == "detected: nox"
    assert not check(MemoryFiles({})).runs


def test_the_report_is_json() -> None:
    found = json.loads(json.dumps(check(MemoryFiles({".github/workflows/ci.yml": ORDINARY})).as_json()))
    assert found["runs"] is True
    assert found["workflows"][0]["jobs"][0]["verdict"] == "runs with replacement"


def test_replacements_are_found_for_every_version_and_case() -> None:
    assert replacement("Actions/Checkout@v4") is REPLACED["actions/checkout"]
    assert replacement("actions/cache/restore@main") is REPLACED["actions/cache/restore"]
    assert replacement("actions/checkouts@v4") is None
    assert not REPLACED.keys() & ADVICE.keys()


def test_a_composite_action_is_read_with_its_inputs_outputs_and_steps() -> None:
    data = b"""
name: Act
inputs:
  who: {description: d, required: true}
  level: {default: "${{ github.ref }}"}
outputs:
  out: {value: "${{ steps.s.outputs.o }}"}
runs:
  using: composite
  steps:
    - {id: s, run: "echo ${{ inputs.who }}", shell: bash, if: success()}
"""
    action = read_action("act/action.yml", data)
    assert action.problems == ()
    assert action.name == "Act"
    assert (action.inputs["who"].required, action.inputs["level"].default) == (True, "${{ github.ref }}")
    assert action.outputs == {"out": "${{ steps.s.outputs.o }}"}
    assert action.steps[0].id == "s"


def test_mistakes_in_a_composite_action_have_their_place() -> None:
    action = read_action("a.yml", b"runs:\n  using: composite\n  steps:\n    - run: echo ${{ secrets.X }}\n")
    assert [(problem.line, problem.column) for problem in action.problems] == [(4, 7), (4, 21)]
