"""What a line of commits tells."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as some

from mainstay.model.repository import Commit
from mainstay.model.states import BuildState
from mainstay.web import history
from mainstay.web.history import newest_first, standing
from tests.web.filling import NOON


def line(*states: str) -> list[history.Tested]:
    """Commits newest first, a minute apart."""
    count = len(states)
    return [
        history.Tested(f"c{count - n}", BuildState(word), NOON - timedelta(minutes=n)) for n, word in enumerate(states)
    ]


def test_a_branch_is_broken_since_the_first_failure_after_the_last_success() -> None:
    found = standing(line("running", "failed", "failed", "passed", "failed"))
    assert found is not None
    assert (found.state, found.by, found.certain, found.ahead) == (BuildState.FAILED, "c3", True, 1)


def test_a_run_that_fills_the_window_may_have_begun_earlier() -> None:
    found = standing(line("failed", "failed"))
    assert found is not None
    assert not found.certain


def test_a_branch_without_a_verdict_stands_as_its_tip_does() -> None:
    found = standing(line("queued", "running"))
    assert found is not None
    assert found.state is BuildState.QUEUED
    assert standing([]) is None


@given(some.lists(some.lists(some.integers(0, 11), max_size=3), max_size=12), some.randoms())
def test_every_commit_stands_once_and_before_its_parents(parents: list[list[int]], random: object) -> None:
    known = {
        str(n): Commit(str(n), "t", tuple(str(p) for p in dict.fromkeys(of) if p < n), "a", "e", NOON, NOON, "s", "m")
        for n, of in enumerate(parents)
    }
    shas = list(known)
    random.shuffle(shas)  # type: ignore[attr-defined]
    found = newest_first(shas, known)
    assert sorted(found) == sorted(shas)
    for sha in found:
        assert all(found.index(parent) > found.index(sha) for parent in known[sha].parents)
