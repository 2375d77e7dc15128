"""What the last results of a test tell."""

from dataclasses import replace

from mainstay.store.views.tests import Outcome
from mainstay.web import testing
from tests.web.filling import NOON


def result(build: int, job: int, outcome: str, tree: str = "t", attempt: int = 1) -> Outcome:
    """A result; jobs are named by their numbers."""
    return Outcome(
        1, outcome, 0.1, 0, attempt, attempt, build * 10 + job, f"j{job}", build, build, "c", tree, "r", NOON, None
    )


def test_a_failure_in_any_job_of_the_newest_build_counts() -> None:
    history = [result(2, 2, "passed"), result(2, 1, "failed"), result(1, 1, "passed")]
    assert [word for word, _ in testing.states(history)] == ["failed", "passed"]


def test_a_run_of_failures_is_counted_in_builds() -> None:
    history = [
        result(build, job, "failed" if build > 1 and job == 1 else "passed") for build in (3, 2, 1) for job in (2, 1)
    ]
    assert [each.build_id for each in testing.run(history)] == [3, 2]


def test_a_later_attempt_decides_for_its_job() -> None:
    history = [result(1, 1, "passed", attempt=2), result(1, 1, "failed", attempt=1)]
    assert testing.states(history)[0][0] == "passed"


def test_a_run_is_told_of_one_branch() -> None:
    elsewhere = replace(result(2, 1, "passed"), ref="other")
    history = [result(3, 1, "failed"), elsewhere, result(1, 1, "failed")]
    assert [each.build_id for each in testing.run(history)] == [3, 1]
