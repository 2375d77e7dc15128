"""Whatever happens to a job, in whatever order: one verdict, one live attempt, and history that stays as it was."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mainstay.flow import result
from mainstay.flow.result import End
from mainstay.model.changes import EndAttempt
from mainstay.model.plan import Retry
from mainstay.model.states import ENDED_ATTEMPT, ENDED_JOB, AttemptState, JobState
from tests.flow.world import World, queued_job

RETRY = Retry()
ENDS = sorted(ENDED_ATTEMPT - {AttemptState.SKIPPED})


class JobLife(RuleBasedStateMachine):
    """A job, a hostile network and an impatient person."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(queued_job())
        self.ended: dict[int, AttemptState] = {}
        self.verdicts = 0
        self.reruns = 0

    def _after(self) -> None:
        for attempt in self.world.job.attempts:
            if attempt.state in ENDED_ATTEMPT:
                before = self.ended.get(attempt.id)
                assert before in (None, attempt.state, AttemptState.LOST), "an ended attempt was changed"
                self.ended[attempt.id] = attempt.state

    def _running(self) -> list[int]:
        return [each.id for each in self.world.job.attempts if each.state == AttemptState.RUNNING]

    @precondition(lambda self: any(each.state == AttemptState.QUEUED for each in self.world.job.attempts))
    @rule()
    def a_runner_claims(self) -> None:
        queued = next(each for each in self.world.job.attempts if each.state == AttemptState.QUEUED)
        assert self.world.job.state == JobState.QUEUED, "a queued attempt belongs to a queued job"
        self.world.claim(queued.id)

    @rule(data=st.data(), state=st.sampled_from(ENDS))
    def an_end_is_reported_by_whoever_once_ran_it(self, data: st.DataObject, state: AttemptState) -> None:
        claimed = [each for each in self.world.job.attempts if each.runner_id is not None]
        if not claimed:
            return
        attempt = data.draw(st.sampled_from(claimed))
        before = self.world.job
        now = self.world.tick()
        outcome = result.decide(before, attempt, End(EndAttempt(attempt.id, state, now)), RETRY, now)
        self.world.apply(outcome.changes)
        if before.state in ENDED_JOB:
            assert self.world.job.state == before.state, "a stale end changed a verdict"
        if outcome.job_ended:
            self.verdicts += 1
        self._after()

    @rule()
    def the_lease_runs_out(self) -> None:
        for attempt_id in self._running():
            now = self.world.tick()
            attempt = self.world.attempt(attempt_id)
            outcome = result.lost(self.world.job, attempt, RETRY, now, "not heard of")
            self.world.apply(outcome.changes)
            self.verdicts += outcome.job_ended
        self._after()

    @rule()
    def a_person_cancels(self) -> None:
        before = self.world.job.state
        self.world.apply(result.cancel(self.world.job, self.world.tick(), "cancelled by a person"))
        if before not in ENDED_JOB and self.world.job.state in ENDED_JOB:
            self.verdicts += 1
        self._after()

    @precondition(lambda self: self.reruns < 3)
    @rule()
    def a_person_runs_it_again(self) -> None:
        changes = result.rerun(self.world.job, self.world.tick(), "run again by a person")
        self.world.apply(changes)
        self.reruns += bool(changes)

    @invariant()
    def there_is_at_most_one_live_attempt(self) -> None:
        wanted = [
            each
            for each in self.world.job.attempts
            if each.state in (AttemptState.QUEUED, AttemptState.RUNNING) and each.cancel_reason is None
        ]
        assert len(wanted) <= 1

    @invariant()
    def an_open_job_has_an_open_attempt(self) -> None:
        open_attempts = [each for each in self.world.job.attempts if each.state not in ENDED_ATTEMPT]
        assert self.world.job.state in ENDED_JOB or open_attempts, "the job would wait for ever"

    @invariant()
    def there_is_one_verdict_per_run(self) -> None:
        expected = self.reruns + (1 if self.world.job.state in ENDED_JOB else 0)
        assert self.verdicts == expected

    @invariant()
    def retries_are_bounded(self) -> None:
        assert len(self.world.job.attempts) <= (self.reruns + 1) * (1 + result.MAX_TRIES)


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
