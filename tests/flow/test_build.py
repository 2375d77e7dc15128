"""Folding jobs into a build's state."""

from hypothesis import given
from hypothesis import strategies as st

from mainstay.flow.build import fold
from mainstay.model.states import ENDED_JOB, BuildState, JobState

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
