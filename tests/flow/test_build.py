"""Folding jobs into a build's state, and its rounds."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mainstay.flow.build import fold, latest_round
from mainstay.model.job import Attempt
from mainstay.model.states import ENDED_JOB, AttemptState, BuildState, JobState

P, F, N, S = JobState.PASSED, JobState.FAILED, JobState.NEUTRAL, JobState.SKIPPED


def test_the_worst_end_decides() -> None:
    assert fold([P, F, JobState.CANCELLED]) == BuildState.FAILED
    assert fold([P, JobState.CANCELLED]) == BuildState.CANCELLED
    assert fold([P, JobState.ALLOWED]) == BuildState.ALLOWED


def test_a_leg_that_is_not_decided_here_hides_nothing_and_is_never_green_alone() -> None:
    assert fold([P, N]) == BuildState.PASSED
    assert fold([N, S]) == BuildState.NEUTRAL
    assert fold([S]) == BuildState.SKIPPED
    assert fold([]) == BuildState.NEUTRAL


def test_an_open_build_runs_once_anything_has_begun() -> None:
    assert fold([JobState.QUEUED, JobState.WAITING]) == BuildState.QUEUED
    assert fold([JobState.WAITING]) == BuildState.WAITING
    assert fold([P, JobState.WAITING]) == BuildState.RUNNING


@given(st.lists(st.sampled_from(JobState), min_size=1))
def test_a_build_is_green_only_when_something_passed_and_nothing_else_went_wrong(states: list[JobState]) -> None:
    if fold(states) == BuildState.PASSED:
        assert P in states
        assert set(states) <= {P, N, S}
    if set(states) <= ENDED_JOB:
        assert fold(states).value in {state.value for state in ENDED_JOB}


def tried(number: int, cause: str, queued: int, finished: int | None) -> Attempt:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    end = None if finished is None else noon + timedelta(seconds=finished)
    moment = noon + timedelta(seconds=queued)
    return Attempt(0, 0, number, AttemptState.PASSED, cause, queued_at=moment, finished_at=end)


def test_a_build_is_counted_from_when_somebody_had_it_run_again() -> None:
    lint, test = tried(1, "push", 0, 10), tried(1, "push", 10, 30)
    retry = tried(2, "retry after lost", 40, 70)
    again, following = tried(3, "run again by ada", 9000, 9020), tried(2, "lint passed", 9025, 9060)
    assert latest_round([lint, test]) is None
    assert latest_round([lint, test, retry]) is None, "a lost attempt is tried again in the same round"
    assert latest_round([lint, test, retry, again, following]) == again.queued_at
    assert latest_round([lint, test, tried(2, "run again by ada", 9000, None)]) == again.queued_at


def test_what_is_run_again_beside_what_still_runs_begins_no_round() -> None:
    slow, flaky = tried(1, "push", 0, None), tried(1, "push", 0, 20)
    assert latest_round([slow, flaky, tried(2, "run again by ada", 30, 40)]) is None
