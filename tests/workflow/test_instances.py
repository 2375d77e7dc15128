"""Planned jobs become jobs once their needs have ended: conditions, names, labels, what called workflows see."""
# ruff: noqa: E501  (tables read better in one line)

import time
from dataclasses import dataclass, field, replace

import pytest

from mainstay.model.errors import BadInput
from mainstay.model.plan import Concurrency, Json, Limits, Matrix, Plan, PlannedJob
from mainstay.model.states import JobState
from mainstay.workflow.contexts import Run, github, job_contexts, push_event, repository_name
from mainstay.workflow.files import MemoryFiles
from mainstay.workflow.instances import Group, JobInstance, build_group, build_name, instances
from mainstay.workflow.plan import plans_for
from mainstay.workflow.triggers import TriggerEvent

BASE: dict[str, Json] = {
    "github": github(Run("push", "a" * 40, "refs/heads/main", "o/n", "CI")),
    "vars": {"X": "1"},
    "secrets": {"TOKEN": "t"},
}


@dataclass(frozen=True)
class Ended:
    key: str
    state: JobState = JobState.PASSED
    outputs: dict[str, str] = field(default_factory=dict)


def of(
    job: PlannedJob, *ended: Ended, others: tuple[PlannedJob, ...] = (), cancelled: bool = False
) -> list[JobInstance]:
    plan = Plan("w", "w.yml", (*others, job))
    return instances(job, job_contexts(plan, job, BASE, ended, cancelled=cancelled))


def only(job: PlannedJob, *ended: Ended, others: tuple[PlannedJob, ...] = ()) -> JobInstance:
    (found,) = of(job, *ended, others=others)
    return found


def test_a_plain_job_becomes_one() -> None:
    found = only(PlannedJob("a", labels=("ubuntu-latest",)))
    assert (found.name, found.labels, found.allowed_to_fail, found.time_limit_s) == ("a", ("linux",), False, 21600)
    assert found.strategy == {"fail-fast": True, "job-index": 0, "job-total": 1, "max-parallel": 1}


def test_a_matrix_becomes_many_with_names_labels_and_places() -> None:
    job = PlannedJob(
        "test",
        labels=("${{ matrix.os }}",),
        matrix=Matrix(
            {"v": [3.12, "3.10"], "os": ["ubuntu-22.04", "windows-latest"]}, include=[{"v": "3.10", "odd": True}]
        ),
        continue_on_error="${{ matrix.odd || false }}",
        limits=Limits(time_s="${{ matrix.v }}m"),
        fail_fast="false",
        max_parallel=2,
    )
    found = of(job)
    assert [each.name for each in found] == [
        "test (3.12, ubuntu-22.04)", "test (3.12, windows-latest)", "test (3.10, ubuntu-22.04)", "test (3.10, windows-latest)",
    ]  # fmt: skip
    assert [each.labels for each in found] == [("linux",), ("windows",), ("linux",), ("windows",)]
    assert [each.elsewhere is None for each in found] == [True, False, True, False]
    assert [each.allowed_to_fail for each in found] == [False, False, True, True]
    assert found[0].time_limit_s == pytest.approx(187.2)
    assert found[3].strategy == {"fail-fast": False, "job-index": 3, "job-total": 4, "max-parallel": 2}


def test_a_name_with_expressions_is_all_of_the_name() -> None:
    found = of(PlannedJob("t", name="py${{ matrix.v }}", matrix=Matrix({"v": [1, 2]})))
    assert [each.name for each in found] == ["py1", "py2"]
    found = of(PlannedJob("t", name="Tests", matrix=Matrix({"v": [1, 2]})))
    assert [each.name for each in found] == ["Tests (1)", "Tests (2)"]


@pytest.mark.parametrize(
    ("labels", "wanted", "elsewhere"),
    [
        (("ubuntu-24.04",), ("linux",), False),
        (("ubuntu-24.04-arm",), ("arm64", "linux"), False),
        (("self-hosted", "Linux", "X64"), ("linux", "x64"), False),
        (("self-hosted",), (), False),
        (("macos-14",), ("macos",), True),
        (("gpu-box",), ("gpu-box",), False),
        (('${{ fromJSON(\'["ubuntu-latest", "big"]\') }}',), ("big", "linux"), False),
        (('${{ fromJSON(\'{"group": "g", "labels": "big"}\') }}',), ("big",), False),
    ],
)
def test_labels_are_turned_into_what_our_runners_offer(
    labels: tuple[str, ...], wanted: tuple[str, ...], elsewhere: bool
) -> None:
    found = only(PlannedJob("a", labels=labels))
    assert found.labels == wanted
    assert (found.elsewhere is not None) == elsewhere


A = PlannedJob("a")
B = PlannedJob("b", needs=("a",))


def test_a_need_that_no_runner_could_decide_is_skipped_and_marked() -> None:
    needs = job_contexts(Plan("p", "x", jobs=(A, B)), B, {}, [Ended("a", JobState.NEUTRAL)]).values["needs"]
    assert needs == {"a": {"result": "skipped", "outputs": {}, "neutral": True}}
    both = [Ended("a", JobState.NEUTRAL), Ended("a", JobState.PASSED)]
    needs = job_contexts(Plan("p", "x", jobs=(A, B)), B, {}, both).values["needs"]
    assert needs == {"a": {"result": "success", "outputs": {}}}


@pytest.mark.parametrize(
    ("condition", "state", "runs"),
    [
        (None, JobState.PASSED, True),
        (None, JobState.ALLOWED, True),
        (None, JobState.FAILED, False),
        (None, JobState.SKIPPED, False),
        (None, JobState.NEUTRAL, False),
        ("always()", JobState.FAILED, True),
        ("failure()", JobState.FAILED, True),
        ("failure()", JobState.PASSED, False),
        ("!cancelled()", JobState.CANCELLED, True),
        ("needs.a.result == 'failure'", JobState.FAILED, False),
        ("always() && needs.a.result == 'failure'", JobState.FAILED, True),
        ("needs.a.outputs.x == 'y'", JobState.PASSED, True),
        ("github.ref == 'refs/heads/other'", JobState.PASSED, False),
    ],
)
def test_conditions_see_what_became_of_the_needs(condition: str | None, state: JobState, runs: bool) -> None:
    found = only(replace(B, condition=condition), Ended("a", state, {"x": "y"}), others=(A,))
    assert (found.skipped is None) == runs


def test_the_reason_for_skipping_is_in_words() -> None:
    assert only(B, Ended("a", JobState.FAILED), others=(A,)).skipped == "what it needs did not succeed (a: failure)"
    condition = "github.ref == 'x'"
    assert only(replace(A, condition=condition)).skipped == "its condition is false: github.ref == 'x'"


def test_success_looks_at_all_that_came_before_as_on_github() -> None:
    middle = PlannedJob("b", needs=("a",), condition="always()")
    last = PlannedJob("c", needs=("b",))
    ended = (Ended("a", JobState.FAILED), Ended("b"))
    assert only(last, *ended, others=(A, middle)).skipped == "something before it did not succeed"
    assert only(replace(last, condition="failure()"), *ended, others=(A, middle)).skipped is None


def test_in_a_cancelled_build_only_those_who_ask_for_it_run() -> None:
    assert of(A, cancelled=True)[0].skipped == "the build was cancelled"
    assert of(replace(A, condition="cancelled()"), cancelled=True)[0].skipped is None


def test_of_a_needed_matrix_any_failure_counts_and_the_last_output_that_is_set() -> None:
    ended: tuple[Ended, ...] = (
        Ended("a", outputs={"x": "1"}),
        Ended("a", outputs={"x": "2"}),
        Ended("a", JobState.NEUTRAL, {"x": ""}),
    )
    contexts = job_contexts(Plan("w", "w", (A, B)), B, BASE, ended)
    assert contexts.values["needs"] == {"a": {"result": "success", "outputs": {"x": "2"}}}
    ended = (*ended, Ended("a", JobState.FAILED))
    assert job_contexts(Plan("w", "w", (A, B)), B, BASE, ended).values["needs"]["a"]["result"] == "failure"


def test_a_matrix_from_another_jobs_output() -> None:
    job = PlannedJob("b", needs=("a",), matrix=Matrix(whole="${{ fromJSON(needs.a.outputs.m) }}"))
    found = of(job, Ended("a", outputs={"m": '{"v": ["3.10", "3.12"]}'}), others=(A,))
    assert [each.name for each in found] == ["b (3.10)", "b (3.12)"]


def test_what_cannot_be_evaluated_is_refused_in_words() -> None:
    for job in (
        PlannedJob("a", matrix=Matrix(whole="${{ fromJSON('nonsense') }}")),
        PlannedJob("a", labels=("${{ github.nothing }}",)),
        PlannedJob("a", limits=Limits(time_s="${{ 'x' }}m")),
        PlannedJob("a", continue_on_error="${{ 'perhaps' }}"),
    ):
        with pytest.raises(BadInput):
            of(job)


def test_a_matrix_that_excludes_everything_is_skipped_with_the_reason() -> None:
    assert (
        only(PlannedJob("a", matrix=Matrix({"v": [1]}, exclude=[{"v": 1}]))).skipped
        == "its matrix excludes every combination"
    )


def test_groups_and_names_of_builds_are_evaluated() -> None:
    plan = Plan(
        "w", "w", (A,), run_name="Run of ${{ github.ref_name }}", concurrency=Concurrency("${{ github.ref }}-g", "true")
    )
    contexts = job_contexts(plan, A, BASE)
    assert build_group(plan, contexts) == Group("refs/heads/main-g", cancel_in_progress=True)
    assert build_name(plan, contexts) == "Run of main"


CALLER = """
on: push
jobs:
  first: {runs-on: linux, outputs: {v: x}, steps: [{run: a}]}
  call:
    name: Build ${{ matrix.n }}
    needs: first
    if: needs.first.outputs.v == 'V'
    strategy: {matrix: {n: [1, 2]}}
    uses: ./.github/workflows/called.yml
    with: {who: "${{ matrix.n }}-${{ needs.first.outputs.v }}", flag: "${{ matrix.n == 1 }}"}
    secrets: {INNER: "${{ secrets.TOKEN }}"}
  last:
    needs: call
    runs-on: linux
    if: needs.call.outputs.out == 'made by 2-V'
    steps: [{run: a}]
"""
CALLED = """
on:
  workflow_call:
    inputs:
      who: {type: string, required: true}
      flag: {type: boolean}
      count: {type: number, default: 2}
    secrets: {INNER: {required: true}}
    outputs:
      out: {value: "made by ${{ jobs.y.outputs.o }}"}
jobs:
  x: {runs-on: linux, if: inputs.flag, steps: [{run: a}]}
  y: {runs-on: linux, name: "for ${{ inputs.who }}", needs: x, if: always(), outputs: {o: v}, steps: [{run: b}]}
"""


def called_plan() -> Plan:
    contents = {".github/workflows/caller.yml": CALLER.encode(), ".github/workflows/called.yml": CALLED.encode()}
    (plan,) = plans_for(MemoryFiles(contents), TriggerEvent("push", "refs/heads/main"))
    return plan


def job_of(plan: Plan, key: str) -> PlannedJob:
    return next(job for job in plan.jobs if job.key == key)


def test_called_jobs_see_their_own_inputs_secrets_and_needs() -> None:
    plan = called_plan()
    ended = [Ended("first", outputs={"v": "V"}), Ended("call (1) / x"), Ended("call (2) / x", JobState.SKIPPED)]
    x1, x2, y2 = (job_of(plan, key) for key in ("call (1) / x", "call (2) / x", "call (2) / y"))
    contexts = job_contexts(plan, x1, BASE, ended)
    assert contexts.values["inputs"] == {"who": "1-V", "flag": True, "count": 2}
    assert contexts.values["secrets"] == {"INNER": "t"}
    assert contexts.values["needs"] == {}
    assert instances(x1, contexts)[0].name == "Build 1 / x"
    assert instances(x2, job_contexts(plan, x2, BASE, ended))[0].skipped == "its condition is false: inputs.flag"
    contexts = job_contexts(plan, y2, BASE, ended)
    assert contexts.values["needs"] == {"x": {"result": "skipped", "outputs": {}}}
    assert instances(y2, contexts)[0].name == "Build 2 / for 2-V"


def test_the_outputs_of_a_called_workflow_reach_those_who_need_the_call() -> None:
    plan = called_plan()
    ended = [Ended("first", outputs={"v": "V"})]
    for number in (1, 2):
        ended += [Ended(f"call ({number}) / x"), Ended(f"call ({number}) / y", outputs={"o": f"{number}-V"})]
    last = job_of(plan, "last")
    contexts = job_contexts(plan, last, BASE, ended)
    assert contexts.values["needs"] == {"call": {"result": "success", "outputs": {"out": "made by 2-V"}}}
    assert instances(last, contexts)[0].skipped is None


def test_a_call_whose_condition_is_false_skips_all_its_jobs_even_those_that_always_run() -> None:
    plan = called_plan()
    ended = [Ended("first", outputs={"v": "other"}), Ended("call (1) / x", JobState.SKIPPED)]
    for key in ("call (1) / x", "call (1) / y"):
        job = job_of(plan, key)
        (found,) = instances(job, job_contexts(plan, job, BASE, ended))
        assert found.skipped == "its condition is false: needs.first.outputs.v == 'V'"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/owner/name.git", "owner/name"), ("git@host.example:owner/name.git", "owner/name"),
        ("ssh://git@host:22/a/owner/name", "owner/name"), ("/srv/git/name.git", "here"), ("file:///srv/git/name", "here"),
        ("https://host/name.git", "here"), (None, "here"), ("name", "here"),
    ],
)  # fmt: skip
def test_the_repositorys_full_name_comes_from_its_address(url: str | None, name: str) -> None:
    assert repository_name("here", url) == name


def test_the_github_context_of_a_tag_and_a_branch() -> None:
    tag = github(Run("push", "a" * 40, "refs/tags/v1", "o/n", "CI"))
    assert (tag["ref_name"], tag["ref_type"], tag["repository_owner"]) == ("v1", "tag", "o")
    branch = github(Run("push", "a" * 40, "refs/heads/x/y", "o/n", "CI"))
    assert (branch["ref_name"], branch["ref_type"]) == ("x/y", "branch")


def test_the_payload_of_a_push_that_made_its_branch() -> None:
    commit = {"id": "b" * 40, "message": "m", "author": {"name": "n", "email": "e"}}
    payload = push_event(ref="refs/heads/x", before=None, after="b" * 40, head_commit=commit, repository="o/n")
    assert payload["before"] == "0" * 40
    assert payload["created"] is True
    assert payload["head_commit"]["message"] == "m"


def test_256_jobs_are_worked_out_within_their_time() -> None:
    text = "on: push\njobs:\n" + "".join(
        f"  j{n}:\n    runs-on: ubuntu-latest\n    name: job ${{{{ github.ref_name }}}} {n}\n"
        f"    {'needs: j0' if n else 'timeout-minutes: 3'}\n    steps: [{{run: x}}]\n"
        for n in range(256)
    )
    files = MemoryFiles({".mainstay/a.yml": text.encode()})
    (plan,) = plans_for(files, TriggerEvent("push", "refs/heads/main"))
    before = time.thread_time()
    assert plans_for(files, TriggerEvent("push", "refs/heads/main")) == [plan]
    ended = [Ended("j0")]
    found = [each for job in plan.jobs for each in instances(job, job_contexts(plan, job, BASE, ended))]
    assert time.thread_time() - before < 0.25, "50 ms are promised; a busy test machine gets more"
    assert len(found) == 256


def test_a_matrix_of_256_is_worked_out_within_its_time() -> None:
    axes = {"a": list(range(16)), "b": list(range(16))}
    job = PlannedJob(
        "t",
        name="t ${{ matrix.a }} ${{ matrix.b }}",
        labels=("${{ matrix.a == 1 && 'x' || 'ubuntu-latest' }}",),
        matrix=Matrix(axes),
    )
    before = time.thread_time()
    assert len(of(job)) == 256
    assert time.thread_time() - before < 0.25
