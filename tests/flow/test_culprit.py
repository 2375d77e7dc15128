"""Who broke a branch: named at once where all is tested, searched by halving where commits were skipped."""

from collections import defaultdict
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mainstay.flow import culprit
from mainstay.flow.culprit import Answer, Flaky, Name, Probe, Range, Search, Wait, most_probes

GOOD, BAD, OPEN, VOID = Answer.GOOD, Answer.BAD, Answer.OPEN, Answer.VOID


def search(*told: str, probes: int = 0, may_probe: bool = True, suspect: bool = False) -> Search:
    """A search over commits c1, c2 ...: `g`ood, `b`ad, `o`pen, `v`oid, or `-` not tested; several letters: answers."""
    letters = {"g": GOOD, "b": BAD, "o": OPEN, "v": VOID}
    answers = {f"c{number}": [letters[each] for each in word if each != "-"] for number, word in enumerate(told)}
    names = tuple(answers)
    known = {commit: given for commit, given in answers.items() if given}
    return Search(names[0], names[1:], known, probes, may_probe, suspect)


def test_where_every_commit_was_tested_the_first_bad_one_is_named_at_once() -> None:
    assert culprit.plan(search("g", "g", "b", "b")) == Name("c2")
    assert culprit.plan(search("g", "b")) == Name("c1")


def test_builds_that_run_are_awaited() -> None:
    found = culprit.plan(search("g", "o", "o", "b"))
    assert found == Wait("2 commits between c0 and c3 have builds that have not ended")


def test_commits_that_were_skipped_are_halved() -> None:
    assert culprit.plan(search("g", "-", "-", "-", "b")) == Probe("c2", "between c0 (good) and c4 (bad)")
    found = culprit.plan(search("g", "-", "-", "-", "b", may_probe=False))
    assert found == Range(["c1", "c2", "c3", "c4"], "3 of them were not tested")


def test_who_was_found_by_halving_is_named_after_a_second_answer_of_both_sides() -> None:
    assert culprit.plan(search("g", "g", "b", "b", probes=2)) == Probe("c2", "a second answer, before c2 is blamed")
    assert culprit.plan(search("g", "g", "bb", "b", probes=3)) == Probe("c1", "a second answer, before c2 is blamed")
    assert culprit.plan(search("g", "gg", "bo", "b", probes=3)) == Wait("c2 is tested once more")
    assert culprit.plan(search("g", "gg", "bb", "b", probes=4)) == Name("c2")


def test_a_test_that_says_both_of_one_commit_blames_nobody() -> None:
    assert isinstance(culprit.plan(search("g", "gb", "b")), Flaky)
    assert isinstance(culprit.plan(search("gb", "b", probes=1)), Flaky)


def test_tests_that_are_known_to_be_flaky_are_asked_twice_even_where_all_is_tested() -> None:
    assert isinstance(culprit.plan(search("g", "b", suspect=True)), Probe)
    assert isinstance(culprit.plan(search("g", "b", suspect=True, may_probe=False)), Flaky)
    assert culprit.plan(search("gg", "bb", suspect=True, probes=2)) == Name("c1")


def test_commits_that_cannot_be_tested_leave_a_range() -> None:
    found = culprit.plan(search("g", "v", "v", "b", probes=2))
    assert found == Range(["c1", "c2", "c3"], "the 2 before c3 cannot be tested")


def test_a_commit_that_was_mended_and_broken_again_is_blamed_the_second_time() -> None:
    assert culprit.plan(search("g", "b", "g", "b", "b")) == Name("c3")


@given(st.integers(1, 300), st.data())
def test_the_search_ends_within_its_bound_and_names_the_right_one(count: int, data: st.DataObject) -> None:
    guilty = data.draw(st.integers(1, count))
    names = [f"c{number}" for number in range(count + 1)]
    answers = defaultdict(list, {"c0": [GOOD], f"c{count}": [BAD]})
    state = Search("c0", tuple(names[1:]), answers, 0, may_probe=True)
    while isinstance(step := culprit.plan(replace(state, answers=dict(answers))), Probe):
        answers[step.commit].append(BAD if int(step.commit[1:]) >= guilty else GOOD)
        state = replace(state, probes=state.probes + 1)
        assert state.probes <= most_probes(count)
    assert step == Name(f"c{guilty}")


@given(st.lists(st.lists(st.sampled_from(list(Answer)), max_size=3), min_size=2, max_size=8), st.booleans())
def test_any_answers_lead_somewhere(told: list[list[Answer]], may_probe: bool) -> None:
    names = [f"c{number}" for number in range(len(told))]
    answers = dict(zip(names, told, strict=True))
    found = culprit.plan(Search(names[0], names[1:], answers, 3, may_probe))
    if isinstance(found, Probe):
        assert may_probe
    if isinstance(found, Name):
        assert found.commit in names[1:]
