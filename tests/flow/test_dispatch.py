"""Who gets the next free place: fresh work before backlogs, fair shares between repositories, priorities within one."""

from hypothesis import given
from hypothesis import strategies as st

from mainstay.flow.dispatch import BACKLOG_BELOW, Candidate, Slot, plan
from mainstay.flow.intake import BACKLOG_PRIORITY

LINUX = frozenset({"linux"})


def candidate(attempt: int, repository: int = 1, priority: int = 0, labels: frozenset[str] = LINUX) -> Candidate:
    return Candidate(attempt, attempt, repository, priority, labels)


def test_a_backlog_lies_below_every_priority_a_workflow_can_give() -> None:
    assert BACKLOG_PRIORITY + 100 < BACKLOG_BELOW < -100


def test_a_fresh_tip_goes_before_another_repositorys_backlog() -> None:
    backlog = [candidate(n, repository=1, priority=BACKLOG_PRIORITY) for n in range(1, 400)]
    tip = candidate(900, repository=2)
    [first] = plan([*backlog, tip], [Slot(1, LINUX, 1)], {2: 5})
    assert first.attempt_id == 900


def test_repositories_take_turns_however_long_their_queues_are() -> None:
    busy = [candidate(n, repository=1) for n in range(1, 101)]
    quiet = [candidate(n, repository=2) for n in range(101, 104)]
    matches = plan([*busy, *quiet], [Slot(1, LINUX, 6)], {})
    assert [match.repository_id for match in matches].count(2) == 3


def test_within_a_repository_priority_comes_first_and_then_age() -> None:
    matches = plan([candidate(1), candidate(2, priority=5), candidate(3, priority=5)], [Slot(1, LINUX, 3)], {})
    assert [match.attempt_id for match in matches] == [2, 3, 1]


def test_a_plain_job_leaves_the_special_runner_free() -> None:
    special = Slot(1, LINUX | {"gpu"}, 4)
    plain = Slot(2, LINUX, 1)
    matches = plan([candidate(1), candidate(2, labels=LINUX | {"gpu"})], [special, plain], {})
    assert {match.attempt_id: match.runner_id for match in matches} == {1: 2, 2: 1}


def test_a_job_that_nobody_here_fits_does_not_hold_up_the_others() -> None:
    matches = plan([candidate(1, labels=frozenset({"gpu"})), candidate(2)], [Slot(1, LINUX, 1)], {})
    assert [match.attempt_id for match in matches] == [2]


LABELS = st.frozensets(st.sampled_from(["linux", "gpu", "arm", "big"]), max_size=3)


@given(
    jobs=st.lists(st.tuples(st.integers(1, 4), st.integers(-100, 100), LABELS), max_size=30),
    runners=st.lists(st.tuples(LABELS, st.integers(0, 5)), max_size=6),
)
def test_nothing_is_given_twice_nor_beyond_a_runners_places(
    jobs: list[tuple[int, int, frozenset[str]]], runners: list[tuple[frozenset[str], int]]
) -> None:
    candidates = [candidate(n, repository, priority, labels) for n, (repository, priority, labels) in enumerate(jobs)]
    slots = [Slot(n, labels, free) for n, (labels, free) in enumerate(runners)]
    matches = plan(candidates, slots, {})
    assert len({match.attempt_id for match in matches}) == len(matches)
    for slot in slots:
        given_here = [match for match in matches if match.runner_id == slot.runner_id]
        assert len(given_here) <= slot.free
        assert all(candidates[match.attempt_id].labels <= slot.labels for match in given_here)
    left = {each.attempt_id for each in candidates} - {match.attempt_id for match in matches}
    for slot in slots:
        if sum(match.runner_id == slot.runner_id for match in matches) < slot.free:
            assert not any(candidates[attempt].labels <= slot.labels for attempt in left), "work waits beside a place"
