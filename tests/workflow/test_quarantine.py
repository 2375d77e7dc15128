"""`.mainstay/quarantine.yml`: entries with reason and expiry; whatever is wrong has its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.model.plan import Quarantined
from mainstay.workflow import quarantine
from mainstay.workflow.check import check
from mainstay.workflow.files import MemoryFiles
from mainstay.workflow.plan import plans_for, workflow_paths
from mainstay.workflow.triggers import TriggerEvent

PATH = ".mainstay/quarantine.yml"
GOOD = b"""
tests:
  - test: tests/t.py::test_a[1]
    reason: races with the clock
    expires: 2026-12-31
    owner: ada@example.org
  - {test: "tests/slow/*", reason: "too slow, #12", expires: "2027-01-31"}
"""
WORKFLOW = b"on: push\njobs: {test: {runs-on: linux, steps: [{run: pytest}]}}\n"
PUSH = TriggerEvent("push", "refs/heads/main")


def test_entries_are_read_with_their_places() -> None:
    found = quarantine.read(PATH, GOOD)
    assert found.problems == ()
    assert found.entries == (
        Quarantined("tests/t.py::test_a[1]", "races with the clock", "2026-12-31", "ada@example.org", PATH, 3),
        Quarantined("tests/slow/*", "too slow, #12", "2027-01-31", None, PATH, 7),
    )


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("tests:\n- {test: a, expires: 2026-12-31}", 2, '"reason" is missing'),
        ("tests:\n- {test: a, reason: b}", 2, '"expires" is missing'),
        ("tests:\n- {reason: b, expires: 2026-12-31}", 2, '"test" is missing'),
        ("tests:\n- {test: a, reason: '', expires: 2026-12-31}", 2, '"reason" must be a text'),
        ("tests:\n- {test: a, reason: b, expires: soon}", 2, "must be a day"),
        ("tests:\n- {test: a, reason: b, expires: 2026-02-30}", 2, "must be a day"),
        ("tests:\n- {test: '**', reason: b, expires: 2026-12-31}", 2, "fits every test"),
        ("tests:\n- {test: a, reason: b, expires: 2026-12-31, until: x}", 2, 'unknown key "until"'),
        ("tests: {test: a}", 1, "must be a list"),
        ("- test: a", 1, "must be a mapping"),
        ("tests: [", 1, ""),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, words: str) -> None:
    found = quarantine.read(PATH, text.encode())
    assert found.broken
    assert found.entries == ()
    assert any(problem.line == line and words in problem.message for problem in found.problems), found.problems


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    quarantine.read(PATH, b"tests:\n" + data)


def test_the_file_is_no_workflow_and_stands_in_every_plan() -> None:
    files = MemoryFiles({PATH: GOOD, ".github/workflows/t.yml": WORKFLOW})
    assert workflow_paths(files) == (".github/workflows/t.yml",)
    [plan] = plans_for(files, PUSH)
    assert [entry.test for entry in plan.quarantine] == ["tests/t.py::test_a[1]", "tests/slow/*"]
    assert plan.jobs


def test_a_broken_file_stops_the_build_with_its_text_and_is_told_by_check() -> None:
    files = MemoryFiles({PATH: b"tests:\n- {test: a}\n", ".mainstay/t.yml": WORKFLOW})
    [plan] = plans_for(files, PUSH)
    assert plan.jobs == ()
    assert any("expires" in problem.message for problem in plan.problems)
    report = check(files)
    assert not report.runs
    assert report.workflows[-1].path == PATH
