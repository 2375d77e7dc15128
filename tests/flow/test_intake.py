"""Which moves count and which commits get builds."""

from mainstay.flow import intake
from mainstay.model.repository import CommitPolicy, RefMove, Repository

MAIN = "refs/heads/main"


def repository(*branches: str) -> Repository:
    return Repository(1, "demo", None, branches or ("*",))


def test_every_commit_of_a_push_is_chosen_the_tip_first_then_from_the_oldest_on() -> None:
    assert intake.chosen(["d", "c", "b", "a"], "d", CommitPolicy.EVERY, []) == ["d", "a", "b", "c"]


def test_a_commit_that_was_tested_on_another_branch_is_not_tested_again_but_the_tip_is() -> None:
    assert intake.chosen(["d", "c", "b"], "d", CommitPolicy.EVERY, ["d", "c"]) == ["d", "b"]


def test_latest_means_the_tip_alone() -> None:
    assert intake.chosen(["d", "c", "b"], "d", CommitPolicy.LATEST, []) == ["d"]


def test_new_moved_and_deleted_refs_are_moves_and_unwatched_ones_are_not() -> None:
    known = {MAIN: "a", "refs/heads/old": "b", "refs/tags/v1": "c"}
    seen = {MAIN: "d", "refs/heads/new": "e", "refs/tags/v1": "c", "refs/pull/1/head": "f", "refs/notes/x": "g"}
    assert intake.moves(known, seen, repository()) == [
        RefMove(MAIN, "a", "d"),
        RefMove("refs/heads/new", None, "e"),
        RefMove("refs/heads/old", "b", None),
    ]


def test_branch_patterns_choose_branches_and_leave_tags_alone() -> None:
    seen = {MAIN: "a", "refs/heads/topic/x": "b", "refs/tags/v1": "c"}
    found = intake.moves({}, seen, repository("main", "release-*"))
    assert [move.ref for move in found] == [MAIN, "refs/tags/v1"]


def test_the_pause_after_errors_doubles_and_ends_at_the_longest() -> None:
    pauses = [intake.pause_after(failures, 60, 3600) for failures in (0, 1, 2, 10, 10_000)]
    assert pauses == [60, 120, 240, 3600, 3600]
