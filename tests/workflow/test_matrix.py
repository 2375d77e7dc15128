"""Matrices expand by GitHub's rules; the cases are those of its documentation."""
# ruff: noqa: E501  (tables read better in one line)

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.model.plan import Json, Matrix
from mainstay.workflow.expressions import Scope
from mainstay.workflow.matrix import BadMatrix, combinations, expand, job_name

CASES: dict[str, tuple[Matrix, list[dict[str, Json]]]] = {
    "two axes, the first turns slowest": (
        Matrix({"os": ["u", "m"], "v": [1, 2]}),
        [{"os": "u", "v": 1}, {"os": "u", "v": 2}, {"os": "m", "v": 1}, {"os": "m", "v": 2}],
    ),
    "the documentation's fruits": (
        Matrix(
            {"fruit": ["apple", "pear"], "animal": ["cat", "dog"]},
            include=[
                {"color": "green"},
                {"color": "pink", "animal": "cat"},
                {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"},
                {"fruit": "banana", "animal": "cat"},
            ],
        ),
        [
            {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
            {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
            {"fruit": "pear", "animal": "cat", "color": "pink"},
            {"fruit": "pear", "animal": "dog", "color": "green"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    ),
    "include extends": (
        Matrix({"os": ["w", "u"], "node": [14, 16]}, include=[{"os": "w", "node": 16, "npm": 6}]),
        [{"os": "w", "node": 14}, {"os": "w", "node": 16, "npm": 6}, {"os": "u", "node": 14}, {"os": "u", "node": 16}],
    ),
    "include adds": (
        Matrix({"os": ["u"], "v": [14]}, include=[{"os": "w", "v": 17}]),
        [{"os": "u", "v": 14}, {"os": "w", "v": 17}],
    ),
    "include alone": (Matrix(include=[{"a": 1}, {"b": 2}]), [{"a": 1}, {"b": 2}]),
    "exclude by some keys": (
        Matrix({"os": ["m", "w"], "v": [12, 14], "env": ["s", "p"]}, exclude=[{"os": "m", "v": 12, "env": "p"}, {"os": "w", "v": 14}]),
        [
            {"os": "m", "v": 12, "env": "s"}, {"os": "m", "v": 14, "env": "s"}, {"os": "m", "v": 14, "env": "p"},
            {"os": "w", "v": 12, "env": "s"}, {"os": "w", "v": 12, "env": "p"},
        ],
    ),
    "include comes after exclude": (
        Matrix({"v": [1, 2]}, exclude=[{"v": 2}], include=[{"v": 2, "x": True}]),
        [{"v": 1}, {"v": 2, "x": True}],
    ),
    "all excluded": (Matrix({"v": [1]}, exclude=[{"v": 1}]), []),
    "exclude compares loosely": (Matrix({"v": [3.9, "3.10"]}, exclude=[{"v": "3.9"}]), [{"v": "3.10"}]),
    "exclude with an unknown key fits nothing": (Matrix({"v": [1]}, exclude=[{"w": 1}]), [{"v": 1}]),
    "mappings as values": (
        Matrix({"n": [{"v": 1, "env": "a"}, {"v": 2}]}, exclude=[{"n": {"v": 1}}]),
        [{"n": {"v": 2}}],
    ),
    "an axis from an expression": (
        Matrix({"v": "${{ fromJSON(needs.a.outputs.list) }}"}, include="${{ fromJSON('[{\"v\": 1, \"x\": 2}]') }}"),
        [{"v": 1, "x": 2}, {"v": 2}],
    ),
    "the whole from an expression": (
        Matrix(whole="${{ fromJSON(needs.a.outputs.whole) }}"),
        [{"os": "a", "v": "3.10"}, {"os": "b", "v": "3.10"}, {"os": "c", "v": "1"}],
    ),
    "expressions inside of values": (Matrix({"v": ["${{ github.ref }}", "x"]}), [{"v": "r"}, {"v": "x"}]),
}  # fmt: skip
OUTPUTS = {"list": "[1, 2]", "whole": '{"os": ["a", "b"], "v": ["3.10"], "include": [{"os": "c", "v": "1"}]}'}
SCOPE = Scope({"github": {"ref": "r"}, "needs": {"a": {"outputs": OUTPUTS}}})


@pytest.mark.parametrize("case", CASES)
def test_matrices_expand_as_documented(case: str) -> None:
    matrix, expected = CASES[case]
    assert expand(matrix, SCOPE) == expected
    assert [list(each) for each in expand(matrix, SCOPE)] == [list(each) for each in expected], "order of the keys"


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (Matrix({"a": list(range(300))}), "300 jobs; at most 256"),
        (Matrix({name: list(range(100)) for name in "abcdefgh"}), "more than 25600"),
        (Matrix({"a": []}), "has no values"),
        (Matrix(), "is empty"),
        (Matrix(whole="${{ 'x' }}"), "must be a mapping"),
        (Matrix({"a": "${{ 'x' }}"}), "must be a list"),
        (Matrix(include="${{ fromJSON('[1]') }}"), "list of mappings"),
    ],
)
def test_matrices_that_cannot_be_are_refused_in_words(matrix: Matrix, words: str) -> None:
    with pytest.raises(BadMatrix, match=words):
        expand(matrix, SCOPE)


def test_names_show_the_values_of_the_axes() -> None:
    matrix = Matrix(
        {"v": [3.12, "3.10"], "os": ["linux"]}, include=[{"v": "3.10", "x": "more"}, {"v": 4, "os": "other"}]
    )
    names = [job_name("test", each.shown) for each in combinations(matrix, Scope())]
    assert names == ["test (3.12, linux)", "test (3.10, linux)", "test (4, other)"]
    assert job_name("a", ("b" * 200,)) == "a (" + "b" * 94 + "..."


def test_expanding_256_jobs_is_quick() -> None:
    matrix = Matrix({"a": list(range(16)), "b": list(range(16))}, include=[{"a": n, "c": n} for n in range(16)])
    before = time.thread_time()
    assert len(expand(matrix, Scope())) == 256
    assert time.thread_time() - before < 0.1


VALUES = st.integers(0, 3) | st.sampled_from(["a", "b", None, True])
ENTRIES = st.lists(st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3), max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from("xy"), st.lists(VALUES, min_size=1, max_size=3), min_size=1), ENTRIES, ENTRIES)
def test_original_values_are_never_overwritten(
    axes: dict[str, list[Json]], include: list[dict[str, Json]], exclude: list[dict[str, Json]]
) -> None:
    plain = expand(Matrix(axes, exclude=exclude), Scope())
    found = expand(Matrix(axes, include=include, exclude=exclude), Scope())
    assert len(plain) <= len(found) <= len(plain) + len(include)
    for original, job in zip(plain, found, strict=False):
        assert original.items() <= job.items()
