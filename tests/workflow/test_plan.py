"""From files and an event to plans, called workflows included."""
# ruff: noqa: E501  (tables read better in one line)

import time
from pathlib import Path

import pytest

from mainstay.model.plan import Plan
from mainstay.workflow.files import MemoryFiles
from mainstay.workflow.plan import planned, plans_for
from mainstay.workflow.triggers import TriggerEvent

PUSH = TriggerEvent("push", "refs/heads/main")
ORDINARY = (Path(__file__).parent / "ordinary.yml").read_text()
SIMPLE = "on: push\njobs:\n  a:\n    runs-on: linux\n    steps: [{run: x}]\n"
CALLED = """
on:
  workflow_call:
    inputs:
      who: {type: string, required: true}
      count: {type: number, default: 2}
    secrets:
      TOKEN: {required: true}
    outputs:
      out: {value: "${{ jobs.y.outputs.o }}"}
jobs:
  x: {runs-on: linux, steps: [{run: a}]}
  y: {runs-on: linux, needs: x, outputs: {o: v}, steps: [{run: b}]}
"""
CALLER = """
on: push
jobs:
  first: {runs-on: linux, steps: [{run: a}]}
  call:
    needs: first
    uses: ./.github/workflows/called.yml
    with: {who: me}
    secrets: inherit
  last: {runs-on: linux, needs: call, steps: [{run: a}]}
"""


def files(**contents: str) -> MemoryFiles:
    return MemoryFiles({f".github/workflows/{name}.yml": text.encode() for name, text in contents.items()})


def one(**contents: str) -> Plan:
    (plan,) = plans_for(files(**contents), PUSH)
    return plan


def errors(plan: Plan) -> list[str]:
    return [problem.message for problem in plan.problems if problem.severity == "error"]


def test_our_own_folder_goes_before_githubs() -> None:
    both = {".mainstay/a.yml": SIMPLE.encode(), ".github/workflows/b.yml": SIMPLE.encode(), "noxfile.py": b""}
    assert [plan.source for plan in plans_for(MemoryFiles(both), PUSH)] == [".mainstay/a.yml"]
    del both[".mainstay/a.yml"]
    assert [plan.source for plan in plans_for(MemoryFiles(both), PUSH)] == [".github/workflows/b.yml"]
    del both[".github/workflows/b.yml"]
    assert [plan.source for plan in plans_for(MemoryFiles(both), PUSH)] == ["detected: nox"]


def test_files_in_folders_below_and_of_other_kinds_are_no_workflows() -> None:
    contents = {
        ".github/workflows/deep/a.yml": b"x",
        ".mainstay/notes.txt": b"x",
        ".github/workflows/b.yaml": SIMPLE.encode(),
    }
    assert [plan.source for plan in plans_for(MemoryFiles(contents), PUSH)] == [".github/workflows/b.yaml"]


def test_a_broken_file_fails_with_its_text_and_does_not_stop_the_others() -> None:
    broken, good = plans_for(files(a="on: push\njobs: [\n", b=SIMPLE), PUSH)
    assert (broken.source, broken.jobs) == (".github/workflows/a.yml", ())
    assert errors(broken)
    assert [job.key for job in good.jobs] == ["a"]


def test_a_broken_file_that_the_event_would_not_start_is_passed_over() -> None:
    found = planned(files(a="on: {push: {tags: [v1]}}\njobs: {}\n"), PUSH)
    assert found.plans == ()
    assert "for tags only" in found.passed_over[".github/workflows/a.yml"]


def test_a_push_that_starts_nothing_says_so_for_every_workflow() -> None:
    found = planned(
        files(a=SIMPLE.replace("push", "pull_request"), b=SIMPLE.replace("push", "{push: {branches: [x]}}")), PUSH
    )
    assert found.plans == ()
    assert list(found.passed_over.values()) == [
        "it is not started by a push",
        "the branch main is not among those it is for",
    ]


def test_without_workflow_files_tags_and_schedules_start_nothing() -> None:
    assert plans_for(MemoryFiles({"noxfile.py": b""}), TriggerEvent("push", "refs/tags/v1")) == []
    assert plans_for(MemoryFiles({"noxfile.py": b""}), TriggerEvent("schedule", "refs/heads/main")) == []


def test_equal_files_give_equal_plans() -> None:
    assert one(a=ORDINARY) == one(a=ORDINARY)


def test_called_jobs_stand_in_the_plan_with_needs_of_their_own() -> None:
    plan = one(caller=CALLER, called=CALLED)
    assert errors(plan) == []
    assert {job.key: job.needs for job in plan.jobs} == {
        "first": (),
        "call / x": ("first",),
        "call / y": ("call / x",),
        "last": ("call / x", "call / y"),
    }
    (call,) = plan.calls
    assert (call.key, call.inputs, call.secrets) == ("call", {"who": "me", "count": 2}, None)
    assert [job.call for job in plan.jobs] == [None, "call", "call", None]


def test_a_matrix_of_calls_gives_each_its_own_jobs() -> None:
    caller = CALLER.replace("needs: first\n", "strategy: {matrix: {v: [3.10, 3.12]}}\n").replace(
        "who: me", "who: '${{ matrix.v }}'"
    )
    plan = one(caller=caller, called=CALLED)
    assert [job.key for job in plan.jobs][1:3] == ["call (3.10) / x", "call (3.10) / y"]
    assert len(plan.jobs[-1].needs) == 4
    assert [call.matrix for call in plan.calls] == [{"v": "3.10"}, {"v": 3.12}]


def test_calls_may_be_nested_four_files_deep_and_no_deeper() -> None:
    def level(number: int, on: str = "workflow_call") -> str:
        return f"on: {on}\njobs:\n  j{number}:\n    uses: ./.github/workflows/l{number + 1}.yml\n"

    leaf = SIMPLE.replace("push", "workflow_call")
    plan = one(l1=level(1, "push"), l2=level(2), l3=level(3), l4=leaf)
    assert [job.key for job in plan.jobs] == ["j1 / j2 / j3 / a"]
    plan = one(l1=level(1, "push"), l2=level(2), l3=level(3), l4=level(4), l5=leaf)
    assert any("more than 4 levels" in message for message in errors(plan))


@pytest.mark.parametrize(
    ("caller", "called", "words"),
    [
        (CALLER, CALLED.replace("workflow_call", "workflow_dispatch").replace("secrets", "x"), "has errors"),
        (CALLER, SIMPLE, "does not name workflow_call"),
        (CALLER.replace("who: me", "whom: me"), CALLED, 'has no input "whom"; did you mean "who"?'),
        (CALLER.replace("who: me", "count: 3"), CALLED, 'needs the input "who"'),
        (CALLER.replace("who: me", "who: me, count: x"), CALLED, '"count" must be a number'),
        (CALLER.replace("secrets: inherit", "secrets: {}"), CALLED, 'needs the secret "TOKEN"'),
        (CALLER.replace("secrets: inherit", "secrets: {TOKEN: x, TOKN: y}"), CALLED, 'has no secret "TOKN"'),
        (CALLER.replace("called.yml", "gone.yml"), CALLED, "there is no such file"),
        (CALLER.replace("called.yml", "../../x.yml"), CALLED, "there is no such file"),
        (CALLER.replace("called.yml", "caller.yml"), CALLED, "in a circle: .github/workflows/caller.yml -> .github"),
        (CALLER.replace("needs: first\n", "strategy: {matrix: '${{ fromJSON(needs.a.outputs.b) }}'}\n"), CALLED, "must be plain values"),
    ],
)  # fmt: skip
def test_calls_that_cannot_be_are_errors_in_words(caller: str, called: str, words: str) -> None:
    plan = (
        one(caller=caller, called=called)
        if "on: push" not in called
        else plans_for(files(caller=caller, called=called), PUSH)[1]
    )
    assert plan.jobs == ()
    assert any(words in message for message in errors(plan)), errors(plan)


def test_a_call_into_another_repository_leaves_that_job_neutral_and_runs_the_others() -> None:
    plan = one(caller=CALLER.replace("./.github/workflows/called.yml", "o/r/.github/workflows/x.yml@v1"))
    assert [(job.key, job.unsupported is None) for job in plan.jobs] == [
        ("first", True),
        ("call", False),
        ("last", True),
    ]
    assert [problem.severity for problem in plan.problems] == ["warning"]


def test_calls_that_multiply_are_stopped() -> None:
    wide = "\n".join(f"  j{n}: {{uses: ./.github/workflows/NEXT.yml}}" for n in range(40))
    texts = {
        f"l{n}": f"on: {'push' if n == 1 else 'workflow_call'}\njobs:\n{wide.replace('NEXT', f'l{n + 1}')}\n"
        for n in (1, 2, 3)
    }
    before = time.thread_time()
    plan = one(**texts, l4=SIMPLE.replace("push", "workflow_call"))
    assert time.thread_time() - before < 2
    assert any("more than 1000 jobs" in message for message in errors(plan))
