"""A quarantine passes over the tests that it names, and hides nothing else."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.flow import quarantine
from mainstay.model.job import StepResult
from mainstay.model.plan import Quarantined
from mainstay.model.states import StepState

ENTRY = Quarantined("tests/t.py::test_a", "races", "2026-12-31", None, ".mainstay/quarantine.yml", 2)
GLOB = replace(ENTRY, test="tests/slow/*")
RAN = StepResult(1, "Install", StepState.PASSED, 0)
FAILED = StepResult(2, "Run pytest", StepState.FAILED, 1)


def allowed(failed: list[str], *steps: StepResult, complete: bool = True) -> str | None:
    return quarantine.allowed_reason((ENTRY, GLOB), failed, steps or (RAN, FAILED), complete=complete)


def test_failures_that_are_all_named_are_allowed_with_their_names() -> None:
    assert allowed(["tests/t.py::test_a"]) == "the only failed test is in quarantine: tests/t.py::test_a"
    words = allowed(["tests/t.py::test_a", *(f"tests/slow/t.py::test_{n}" for n in range(6))])
    assert words is not None
    assert words.startswith("all 7 failed tests are in quarantine: tests/t.py::test_a, ")
    assert words.endswith(" and 2 more")


@pytest.mark.parametrize(
    "told",
    [
        allowed(["tests/t.py::test_a", "tests/t.py::test_b"]),  # another test
        allowed(["tests/t.py::test_a[1]"]),  # a name is the whole name
        allowed([]),  # no test failed, and yet the step did
        allowed(["tests/t.py::test_a"], complete=False),  # a crash
        allowed(["tests/t.py::test_a"], RAN, replace(FAILED, exit_code=139)),
        allowed(["tests/t.py::test_a"], RAN, replace(FAILED, exit_code=None)),
        allowed(["tests/t.py::test_a"], FAILED, replace(FAILED, number=3, name="Lint")),
        allowed(["tests/t.py::test_a"], FAILED, replace(RAN, state=StepState.TIMED_OUT)),
        allowed(["tests/t.py::test_a"], RAN),  # the job failed by something else
        quarantine.allowed_reason((), ["tests/t.py::test_a"], (FAILED,), complete=True),
    ],
)
def test_anything_else_is_a_failure(told: str | None) -> None:
    assert told is None


def test_an_entry_holds_to_the_end_of_its_last_day() -> None:
    at = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert quarantine.expired([ENTRY], at) == []
    assert quarantine.expired([ENTRY], at.replace(year=2027, month=1, day=1, hour=0)) == [ENTRY]
    words = quarantine.expiry_reason([replace(ENTRY, owner="ada")])
    assert words.startswith(
        ".mainstay/quarantine.yml:2: the quarantine of tests/t.py::test_a expired on 2026-12-31 (ow"
    )
    assert "races" in words


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a*", "a", True),
        ("a*b*c", "a.b.c", True),
        ("a*b*c", "a.c", False),
        ("*[x-*]", "t.py::test[x-1]", True),
        ("t[1]", "t1", False),  # brackets are what they are
        ("ab*ba", "aba", False),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, name: str, fits: bool) -> None:
    assert quarantine.fits(pattern, name) is fits


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=4), st.data())
def test_what_is_put_in_place_of_the_stars_fits(parts: list[str], data: st.DataObject) -> None:
    name = parts[0] + "".join(data.draw(st.text("ab*", max_size=3)) + part for part in parts[1:])
    assert quarantine.fits("*".join(parts), name)
