"""How often a job is tried again by itself."""

from mainstay.flow import result
from mainstay.flow.result import MAX_TRIES, End
from mainstay.model.changes import EndAttempt
from mainstay.model.plan import Retry
from mainstay.model.states import AttemptState, JobState
from tests.flow.world import World, queued_job


def tried(state: AttemptState, *, began: bool, retry: Retry | None = None) -> World:
    """A job whose every attempt ends in `state`."""
    world = World(queued_job())
    while world.job.state == JobState.QUEUED:
        attempt = world.job.attempts[-1]
        world.claim(attempt.id)
        now = world.tick()
        order = EndAttempt(attempt.id, state, now, started_at=now if began else None)
        outcome = result.decide(world.job, world.attempt(attempt.id), End(order), retry or Retry(), now)
        world.apply(outcome.changes)
    return world


def test_a_job_that_began_is_tried_twice_more_when_its_runner_is_lost() -> None:
    world = tried(AttemptState.LOST, began=True)
    assert (len(world.job.attempts), world.job.state) == (3, JobState.FAILED)


def test_tries_that_never_began_do_not_count_up_to_a_bound_of_their_own() -> None:
    world = tried(AttemptState.BROKEN, began=False)
    assert (len(world.job.attempts), world.job.state) == (MAX_TRIES, JobState.FAILED)


def test_a_failed_test_or_a_time_limit_is_never_tried_again() -> None:
    for state in (AttemptState.FAILED, AttemptState.TIMED_OUT):
        assert len(tried(state, began=True).job.attempts) == 1


def test_a_workflow_may_ask_for_fewer_tries_or_none() -> None:
    assert len(tried(AttemptState.LOST, began=True, retry=Retry(max=0)).job.attempts) == 1
    assert len(tried(AttemptState.LOST, began=True, retry=Retry(on=("broken",))).job.attempts) == 1
