"""A table of labels that somebody wrote: what it means, and what is refused."""

import pytest

from mainstay.model.errors import BadInput
from mainstay.workflow.labels import MAX_RULES, Rule, Wanted, checked, wanted


def test_the_first_rule_that_fits_counts_in_any_case() -> None:
    table = checked([Rule(" Ubuntu-Big* ", ("Linux", "GPU", "gpu")), Rule("ubuntu-*", ("linux",)), Rule("any?", ())])
    assert table[0] == Rule("ubuntu-big*", ("linux", "gpu"))
    assert wanted(["UBUNTU-BIG-8"], table) == Wanted(("gpu", "linux"))
    assert wanted(["ubuntu-latest", "any1"], table) == Wanted(("linux",))
    assert wanted(["self-hosted", "windows-latest"], table) == Wanted(("self-hosted", "windows-latest"))
    assert wanted(["self-hosted"], ()) == Wanted(("self-hosted",))
    assert wanted(["w"], checked([Rule("w", ("w",), " no w here ")])) == Wanted(("w",), "no w here")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([Rule("", ("a",))], "is no pattern"),
        ([Rule("a b", ("a",))], "is no pattern"),
        ([Rule("a,b", ("a",))], "is no pattern"),
        ([Rule("[ab]", ("a",))], "is no pattern"),
        ([Rule("a" * 101, ("a",))], "is no pattern"),
        ([Rule("a\x00", ("a",))], "is no pattern"),
        ([Rule("a", ("b,c",))], "is no label"),
        ([Rule("a", ("",))], "is no label"),
        ([Rule("a", ("b" * 64,))], "is no label"),
        ([Rule("a", tuple(f"l{n}" for n in range(17)))], "at most 16"),
        ([Rule("a", ("a",), "one\ntwo")], "one line"),
        ([Rule("a", ("a",), " ")], "one line"),
        ([Rule("a", (), "why")], "asks for no label"),
        ([Rule("a", ("b",)), Rule("A", ("c",))], "stands twice"),
        ([Rule(f"a{n}", ()) for n in range(MAX_RULES + 1)], "at most 200"),
    ],
)
def test_what_can_mean_nothing_is_refused_in_words(rules: list[Rule], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        checked(rules)
