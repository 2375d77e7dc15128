"""Reading workflow files: what is taken, what is refused, and where the problem is said to be."""
# ruff: noqa: E501  (tables read better in one line)

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.model.plan import PlannedJob
from mainstay.workflow.read import Workflow, read_workflow

JOB = "on: push\njobs:\n  a:\n    runs-on: linux\n    steps:\n      - run: x\n"


def read(text: str | bytes, *, ours: bool = False) -> Workflow:
    data = text.encode() if isinstance(text, str) else text
    return read_workflow(".mainstay/x.yml" if ours else ".github/workflows/x.yml", data, ours=ours)


def job(text: str, *, ours: bool = False) -> PlannedJob:
    workflow = read(text, ours=ours)
    assert not workflow.broken, "\n".join(map(str, workflow.problems))
    (found,) = workflow.jobs
    assert isinstance(found, PlannedJob)
    return found


def with_job(*lines: str) -> str:
    return JOB + "".join(f"    {line}\n" for line in lines)


def test_a_whole_file_is_read() -> None:
    text = (Path(__file__).parent / "ordinary.yml").read_bytes()
    workflow = read(text)
    assert workflow.problems == ()
    assert workflow.name == "CI"
    assert workflow.triggers.names == ("push", "pull_request", "schedule", "workflow_dispatch")
    lint, test, coverage, check = workflow.jobs
    assert isinstance(test, PlannedJob)
    assert (lint.key, test.needs, coverage.needs, check.needs) == (
        "lint",
        ("lint",),
        ("test",),
        ("lint", "test", "coverage"),
    )
    assert test.labels == ("${{ matrix.os }}",)
    assert test.matrix is not None
    assert test.matrix.axes["python-version"] == ["3.9", "3.10", "3.11", "3.12", "3.13"]
    assert test.fail_fast == "false"
    assert test.limits.time_s == "1800"
    assert test.env == {"FORCE_COLOR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    assert test.steps[4].condition == "!cancelled()"
    assert test.steps[1].inputs["allow-prereleases"] == "true"
    assert test.permissions == {"contents": "read"}
    assert coverage.condition == "always()"
    assert workflow.concurrency is not None
    assert workflow.concurrency.cancel_in_progress == "true"


def test_jobs_merge_the_workflows_environment_and_defaults() -> None:
    text = "env: {A: 1, B: 2}\ndefaults: {run: {shell: sh, working-directory: w}}\n" + with_job(
        "env: {B: 3}", "defaults: {run: {shell: bash}}"
    )
    found = job(text)
    assert found.env == {"A": "1", "B": "3"}
    assert (found.shell, found.working_directory) == ("bash", "w")


def test_versions_keep_their_text_everywhere() -> None:
    found = job(
        "on: push\nenv: {V: 3.10}\njobs:\n  a:\n    runs-on: linux\n    steps: [{run: x, env: {W: 1.20}, timeout-minutes: 0.5}]\n"
    )
    assert found.env == {"V": "3.10"}
    assert found.steps[0].env == {"W": "1.20"}
    assert found.steps[0].timeout_s == "30"


def test_our_own_keys_are_taken_in_our_folder() -> None:
    text = """
on: push
concurrency: {group: g, in-order: true}
jobs:
  a:
    run: pytest
    reports: {junit: "*.xml", coverage: [a, b]}
    retry: {max: 1, on: [lost]}
    priority: 7
    limits: {memory: 2 GB, processes: 50, network: false}
"""
    found = job(text, ours=True)
    assert found.labels == ("linux",)
    assert [step.run for step in found.steps] == ["pytest"]
    assert found.reports == {"junit": ("*.xml",), "coverage": ("a", "b")}
    assert (found.retry.max, found.retry.on, found.priority) == (1, ("lost",), 7)
    assert (found.limits.memory_bytes, found.limits.processes, found.limits.network) == (2 * 10**9, 50, False)


@pytest.mark.parametrize("line", ["reports: {junit: x}", "retry: {max: 1}", "priority: 1", "limits: {network: false}"])
def test_our_own_keys_are_refused_elsewhere_with_the_reason(line: str) -> None:
    (problem,) = read(with_job(line)).problems
    assert "can be used in .mainstay/*.yml only" in problem.message
    assert (problem.line, problem.column) == (7, 5)


def test_a_failed_test_can_never_be_retried() -> None:
    problems = read("on: push\njobs:\n  a:\n    run: x\n    retry: {on: [failed]}\n", ours=True).problems
    assert any("a failed test is never tried again" in problem.message for problem in problems)


def test_a_problem_shows_its_place_a_caret_and_a_suggestion() -> None:
    (problem,) = read(with_job("timeout-minute: 3")).problems
    assert str(problem) == (
        '.github/workflows/x.yml:7:5: error: unknown key "timeout-minute" in the job "a"; did you mean "timeout-minutes"?\n'
        "      timeout-minute: 3\n"
        "      ^"
    )


def test_a_mistake_inside_an_expression_is_shown_at_its_own_place() -> None:
    text = "on: push\njobs:\n  a:\n    runs-on: linux\n    if: github.ref == 'x' && foo(1)\n    steps:\n      - run: |\n          echo\n          echo ${{ steps.a. }}\n      - run: \"echo ${{ nope.x }}\"\n"
    places = [(problem.line, problem.column) for problem in read(text).problems]
    assert places[0] == (5, 30)
    assert places[1][0] == 9
    assert places[2] == (10, 24)


PROBLEMS: dict[str, tuple[str, str, tuple[int, int]]] = {
    "step does nothing": (JOB.replace("run: x", "name: x"), 'it needs "run" (a script) or "uses"', (6, 9)),
    "step does both": (JOB.replace("run: x", "{run: x, uses: a/b@v1}"), 'either "run" or "uses"', (6, 18)),
    "empty script": (JOB.replace("run: x", "run: ''"), '"run" is empty', (6, 14)),
    "step id twice": (JOB + "        id: s\n      - {run: y, id: S}\n", "used twice in this job (first in line 7)", (8, 22)),
    "bad step id": (JOB + "        id: 1x\n", "letters, digits", (7, 13)),
    "no steps": ("on: push\njobs:\n  a:\n    runs-on: linux\n", 'has no "steps"', (4, 5)),
    "empty steps": ("on: push\njobs:\n  a:\n    runs-on: linux\n    steps: []\n", '"steps" is empty', (5, 12)),
    "empty step": (JOB + "      -\n", "a step must be a mapping", (7, 8)),
    "no runs-on": ("on: push\njobs:\n  a:\n    steps: [{run: x}]\n", 'has no "runs-on"', (4, 5)),
    "no jobs": ("on: push\n", 'the key "jobs" is missing', (1, 1)),
    "no on": ("jobs: {a: {runs-on: l, steps: [{run: x}]}}\n", 'the key "on" is missing', (1, 1)),
    "empty jobs": ("on: push\njobs: {}\n", '"jobs" is empty', (2, 7)),
    "a list": ("- a\n", "a workflow must be a mapping", (1, 1)),
    "unknown needs": (with_job("needs: [b, lnt]"), 'needs "b", which is not a job', (7, 12)),
    "needs itself": (with_job("needs: a"), "in a circle: a -> a", (7, 12)),
    "key twice": (JOB + "    runs-on: x\n", 'the key "runs-on" stands twice (first in line 4)', (7, 5)),
    "bad job key": (JOB.replace("a:", "'a b':"), "must be letters, digits", (3, 3)),
    "unknown event": (JOB.replace("push", "pusch"), 'unknown event "pusch"; did you mean "push"?', (1, 5)),
    "unknown top key": ("nmae: x\n" + JOB, 'did you mean "name"?', (1, 1)),
    "merge key": ("x-a: &a {k: v}\n" + JOB.replace("run: x", "{<<: *a, run: x}"), "merge keys", (7, 10)),
    "unknown context": (with_job("if: steps.a.outputs.b"), 'context "steps" cannot be used in jobs.<job_id>.if', (7, 9)),
    "secrets in if": (with_job("if: secrets.X != ''"), 'context "secrets" cannot be used', (7, 9)),
    "status in name": (with_job("name: ${{ failure() }}"), "function failure cannot be used", (7, 15)),
    "open expression": (with_job("name: ${{ github.ref"), "no closing }}", (7, 11)),
    "matrix over 256": (with_job("strategy: {matrix: {a: [" + ",".join(map(str, range(17))) + "], b: [" + ",".join(map(str, range(17))) + "]}}"), "gives 289 jobs; at most 256", (7, 24)),
    "empty axis": (with_job("strategy: {matrix: {a: []}}"), "has no values", (7, 24)),
    "axis no list": (with_job("strategy: {matrix: {a: x}}"), "must be a list of values", (7, 28)),
    "bad include": (with_job("strategy: {matrix: {include: [x]}}"), "must be a mapping", (7, 35)),
    "bad action": (JOB.replace("run: x", "uses: actions/checkout"), "add @ and a version", (6, 15)),
    "with without uses": (JOB + "        with: {a: b}\n", '"with" belongs to a step with "uses"', (7, 9)),
    "bad timeout": (with_job("timeout-minutes: soon"), "number of minutes above 0", (7, 22)),
    "bad continue": (with_job("continue-on-error: maybe"), "must be true, false or an expression", (7, 24)),
    "bad shell": (JOB + "        shell: basch\n", 'did you mean "bash"?', (7, 16)),
    "bad cron": (JOB.replace("push", "{schedule: [{cron: '0 25 * * *'}]}"), '"25" is not a hour', (1, 24)),
    "both filters": (JOB.replace("push", "{push: {branches: [a], branches-ignore: [b]}}"), "cannot stand together", (1, 28)),
    "bad pattern": (JOB.replace("push", "{push: {branches: ['[z-a']}}"), "", (1, 23)),
    "unknown input type": (JOB.replace("push", "{workflow_dispatch: {inputs: {x: {type: bool}}}}"), 'did you mean "boolean"?', (1, 45)),
    "default of another type": (JOB.replace("push", "{workflow_dispatch: {inputs: {x: {type: number, default: y}}}}"), "must be a number", (1, 62)),
    "service without image": (with_job("services: {db: {ports: [1]}}"), 'needs an "image"', (7, 20)),
    "permission level": (with_job("permissions: {contents: all}"), "must be read, write or none", (7, 29)),
    "concurrency without group": (with_job("concurrency: {cancel-in-progress: true}"), 'needs a "group"', (7, 18)),
    "unknown zone": (JOB.replace("push", "{schedule: [{cron: '0 5 * * *', timezone: Berlin}]}"), "not a known time zone", (1, 24)),
    "unknown queue": (with_job("concurrency: {group: g, queue: all}"), '"queue" must be single', (7, 36)),
    "deep expression": (with_job("if: " + "(" * 10_000 + "1" + ")" * 10_000), "", (7, 9)),
}  # fmt: skip


def test_a_job_with_steps_in_the_background_is_not_run_and_the_others_are() -> None:
    other = "  b:\n    runs-on: linux\n    steps: [{run: x}]\n"
    workflow = read(JOB + "        background: true\n      - wait: a\n" + other)
    (problem,) = workflow.problems
    assert (problem.severity, problem.line, problem.column) == ("warning", 7, 9)
    assert "start the program with & in one script" in problem.message
    first, second = workflow.jobs
    assert isinstance(first, PlannedJob)
    assert first.unsupported == "a step of it runs beside others (background)"
    assert isinstance(second, PlannedJob)
    assert second.unsupported is None


def test_steps_of_a_parallel_stand_one_after_the_other_and_know_that_they_belong_together() -> None:
    steps = job(JOB + "      - parallel:\n          - {run: b, id: b}\n          - {run: c}\n      - run: d\n").steps
    assert [(step.run, step.together) for step in steps] == [("x", None), ("b", 1), ("c", 1), ("d", None)]
    wrong = read(JOB + "      - parallel: []\n      - parallel: [{parallel: [{run: x}]}]\n")
    assert [(problem.line, problem.message[:24]) for problem in wrong.problems] == [
        (7, '"parallel" is empty: it '),
        (8, "this step does nothing: "),
        (8, 'unknown key "parallel" i'),
    ]


def test_env_may_be_one_expression_that_gives_a_mapping() -> None:
    found = job(JOB + "        env: ${{ matrix.env }}\n" + "    env: ${{ fromJSON('{}') }}\n")
    assert (found.steps[0].env, found.env) == ({"*": "${{ matrix.env }}"}, {"*": "${{ fromJSON('{}') }}"})
    assert read(JOB + "        env: ${{ nope.x }}\n").broken
    assert read(JOB + "        env: A=${{ matrix.env }}\n").broken


@pytest.mark.parametrize("case", PROBLEMS)
def test_every_mistake_is_an_error_with_words_and_place_within_a_second(case: str) -> None:
    text, words, place = PROBLEMS[case]
    before = time.thread_time()
    workflow = read(text)
    assert time.thread_time() - before < 1
    assert workflow.broken
    assert workflow.jobs == ()
    found = [problem for problem in workflow.problems if problem.severity == "error" and words in problem.message]
    assert found, [str(problem) for problem in workflow.problems]
    if case != "deep expression":
        assert (found[0].line, found[0].column) == place


def test_circles_of_needs_are_shown_whole() -> None:
    jobs = "".join(f"  j{n}: {{runs-on: l, needs: j{(n + 1) % 3}, steps: [{{run: x}}]}}\n" for n in range(3))
    (problem,) = read(f"on: push\njobs:\n{jobs}").problems
    assert "in a circle: j0 -> j1 -> j2 -> j0" in problem.message


def test_a_long_chain_of_needs_is_no_circle_and_no_recursion() -> None:
    jobs = "".join(
        f"  j{n}: {{runs-on: l, {f'needs: j{n + 1}, ' if n < 899 else ''}steps: [{{run: x}}]}}\n" for n in range(900)
    )
    assert not read(f"on: push\njobs:\n{jobs}").broken


def test_all_problems_are_collected_in_the_order_of_the_file() -> None:
    workflow = read("nam: x\non: pusch\njobs:\n  a:\n    runs-on: linux\n    stps: []\n")
    assert [problem.line for problem in workflow.problems] == [1, 2, 5, 6]


def test_thousands_of_problems_are_counted_not_listed() -> None:
    workflow = read(JOB + "".join(f"    k{n}: 1\n" for n in range(2000)))
    assert len(workflow.problems) == 51
    assert "1950 more" in workflow.problems[-1].message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (JOB.replace("push", "[push, issues]"), 'the event "issues" does not happen here'),
        (JOB + "        shell: pwsh\n", "only where the runner has it"),
        (with_job("strategy: {max-parallel: '${{ 3 }}', matrix: {a: [1]}}"), '"max-parallel" takes no expression here'),
        (with_job("permissions: {content: read}"), 'did you mean "contents"?'),
        (with_job("if: x ${{ github.ref }}"), "always true"),
        (JOB.replace("runs-on: linux", "runs-on: {group: g, labels: [linux]}"), "no groups of runners here"),
    ],
)
def test_what_is_left_out_is_a_warning_and_stops_nothing(text: str, words: str) -> None:
    workflow = read(text)
    assert not workflow.broken
    assert [problem.severity for problem in workflow.problems] == ["warning"]
    assert words in workflow.problems[0].message


@pytest.mark.parametrize(
    "text", ["on: push", "on: [push]", "on: {push: }", "on: {push: {branches: main}}", "'on': push", "on:\n  - push"]
)
def test_on_may_be_written_in_all_its_forms(text: str) -> None:
    workflow = read(JOB.replace("on: push", text))
    assert not workflow.broken
    assert workflow.triggers.names == ("push",)


def test_aliases_are_what_they_stand_for() -> None:
    text = "on: push\njobs:\n  a: &job\n    runs-on: linux\n    steps: &steps [{run: x}]\n  b: {runs-on: linux, steps: *steps}\n  c: *job\n"
    assert [each.key for each in read(text).jobs] == ["a", "b", "c"]


def test_newer_keys_of_github_are_understood() -> None:
    lines = (
        "concurrency: {group: g, queue: max}",
        "services: {db: {image: postgres, entrypoint: /bin/x, command: -v}}",
    )
    found = job(with_job(*lines).replace("run: x", "uses: $/.github/actions/a"))
    assert found.concurrency is not None
    assert found.concurrency.in_order
    assert (found.services["db"].entrypoint, found.services["db"].command) == ("/bin/x", "-v")
    assert found.steps[0].uses == "./.github/actions/a"


def test_minutes_from_an_expression_keep_their_unit() -> None:
    assert job(with_job("timeout-minutes: ${{ fromJSON('5') }}")).limits.time_s == "${{ fromJSON('5') }}m"


def test_an_ordinary_file_is_read_within_its_time() -> None:
    data = (Path(__file__).parent / "ordinary.yml").read_bytes()
    best = min(_timed(data) for _ in range(10))
    assert best < 0.02, "10 ms are promised; a busy test machine gets twice that"


def _timed(data: bytes) -> float:
    before = time.thread_time()
    read_workflow.__wrapped__("x.yml", data, ours=False)
    return time.thread_time() - before


WORDS = st.sampled_from(
    ["on", "jobs", "push", "steps", "run", "uses", "runs-on", "if", "needs", "matrix", "strategy", "include", "env", "with",
     "schedule", "cron", "inputs", "workflow_call", "workflow_dispatch", "outputs", "services", "image", "container", "a", "",
     "${{ matrix.a }}", "${{", "true", "3.10", "* * * * *", "permissions", "concurrency", "group", "defaults", "secrets", "shell",
     "timeout-minutes", "continue-on-error", "reports", "retry", "branches", "paths", "!x", "[a", "type", "default", "limits"]
)  # fmt: skip
TREES = st.recursive(
    WORDS
    | st.none()
    | st.integers(-5, 500)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False, width=16),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(WORDS, TREES, max_size=4), TREES, TREES, st.booleans())
def test_no_tree_of_known_words_crashes_the_reader(
    top: dict[str, object], on: object, jobs: object, ours: bool
) -> None:
    survives(top, on, jobs, ours)


def survives(top: dict[str, object], on: object, jobs: object, ours: bool) -> None:
    workflow = read_workflow.__wrapped__("x.yml", json.dumps({**top, "on": on, "jobs": jobs}).encode(), ours=ours)
    assert workflow.broken == (not workflow.jobs)
    for problem in workflow.problems:
        assert problem.message


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(WORDS, TREES, max_size=5))
def test_no_job_of_known_words_crashes_the_reader(given_job: dict[str, object]) -> None:
    survives({}, "push", {"a": given_job}, ours=True)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    read_workflow.__wrapped__("x.yml", data, ours=False)
