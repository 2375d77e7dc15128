"""Reports for tests: an ordinary one, and one in which everything is hostile."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mainstay.model.report import CommitFact, Facts, JobFact, Report, ReportKind, TestFact

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHA = "3f2a91c0" + "0" * 32
ADA = CommitFact(SHA, "Ada", "ada@example.org", "Count differently")
TESTS = (TestFact("tests/test_shop.py::test_total", "AssertionError: assert 2 == 3\nwhere 2 = 1 + 1"),)
JOBS = (JobFact("test (3.12)", 90, 1, "failed", "", ("E   assert 2 == 3", "", "1 failed in 0.2 s")),)

EVIL = (
    "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>\u202e@everyone <!channel> {branch} \x1b[31m"
    + "y" * 4000
)


def broken(**values: Any) -> Report:
    """The report of a broken branch."""
    base: dict[str, Any] = {
        "repository": "shop", "ref": "refs/heads/main", "build_id": 41, "number": 7, "workflow": "tests",
        "event": "push", "state": "failed", "commit": ADA, "commits": (ADA,), "commits_total": 1,
        "since_at": NOON - timedelta(hours=3), "tests": TESTS, "tests_total": 2, "jobs": JOBS, "jobs_total": 1,
        "reproduce": "git checkout 3f2a91c00000 && mainstay run --job test", "counts": {"passed": 3, "failed": 2},
    }  # fmt: skip
    kind = values.pop("kind", ReportKind.BROKEN)
    answers = values.pop("answers", None)
    return Report(5, 1, kind, NOON, Facts(**(base | values)), answers)


def hostile(kind: ReportKind = ReportKind.BROKEN) -> Report:
    """Everything that comes from outside tries something."""
    commit = CommitFact(SHA, EVIL, EVIL, EVIL)
    return broken(
        kind=kind, ref=f"refs/heads/{EVIL}", workflow=EVIL, commit=commit, commits=(commit,) * 3,
        tests=(TestFact(EVIL, EVIL),) * 10, tests_total=1000,
        jobs=(JobFact(EVIL, 1, 1, "failed", EVIL, (EVIL,) * 8),), reproduce=EVIL,
    )  # fmt: skip
