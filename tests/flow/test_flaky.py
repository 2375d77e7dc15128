"""What an attempt adds to a test's figures, and what makes it flaky."""

import pytest

from mainstay.flow import flaky
from mainstay.flow.flaky import Tally, Try


def tally(*outcomes: str, before: tuple[str, ...] = ()) -> Tally:
    return flaky.tally([Try(outcome, 0.5) for outcome in outcomes], before)


@pytest.mark.parametrize(
    ("own", "before", "trees", "is_flaky"),
    [
        (("passed",), (), 1, 0),
        (("failed",), (), 1, 0),
        (("failed", "passed"), (), 1, 1),  # a rerun within the attempt
        (("passed",), ("failed",), 0, 1),  # a later attempt, or another commit with the same tree
        (("error",), ("passed",), 0, 1),
        (("failed",), ("failed",), 0, 0),
        (("passed",), ("failed", "passed"), 0, 0),  # known already
        (("passed",), ("skipped",), 1, 0),
    ],
)
def test_both_outcomes_on_one_tree_make_a_test_flaky_once(
    own: tuple[str, ...], before: tuple[str, ...], trees: int, is_flaky: int
) -> None:
    found = tally(*own, before=before)
    assert (found.runs, found.trees, found.flaky) == (1, trees, is_flaky)


def test_a_skipped_test_did_not_run() -> None:
    assert tally("skipped", before=("failed",)) == Tally()


def test_reruns_are_one_run_that_takes_their_sum_and_ends_as_the_last() -> None:
    found = tally("failed", "failed", "passed")
    assert (found.runs, found.failures, found.seconds) == (1, 0, 1.5)


def test_the_score_is_the_share_of_flaky_trees() -> None:
    assert (flaky.score(1, 50), flaky.score(0, 50), flaky.score(0, 0)) == (0.02, 0.0, 0.0)
