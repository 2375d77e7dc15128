"""Which tests are in quarantine, and whether a job whose tests failed failed by those alone.

A quarantine must never hide anything else: not a crash of the test program, not another step, not a test that is not
named. So it holds only where the runs of the tests said themselves how they ended, and everything that failed is named.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from mainstay.model.job import StepResult
from mainstay.model.plan import Quarantined
from mainstay.model.states import StepState

FAILED_TESTS = frozenset({1, 2})
"""Exit codes of a step whose tests failed: 1 of pytest, unittest, tox, nox and hatch, 2 of make around them."""
SHOWN = 5
"""Names that a reason lists."""


def expired(entries: Iterable[Quarantined], now: datetime) -> list[Quarantined]:
    """The entries whose last day is over (by UTC)."""
    today = now.date()
    return [entry for entry in entries if date.fromisoformat(entry.expires) < today]


def expiry_reason(entries: Sequence[Quarantined]) -> str:
    """Why a build fails whose quarantine has entries that have expired."""
    lines = [
        f"{entry.path}:{entry.line}: the quarantine of {entry.test} expired on {entry.expires}"
        f"{f' (owner: {entry.owner})' if entry.owner else ''}; its reason was: {entry.reason}"
        for entry in entries
    ]
    return "\n".join([*lines, "Mend the test and take the entry out, or give it a new date."])


def entry_for(entries: Iterable[Quarantined], name: str) -> Quarantined | None:
    """The entry that holds a test; None: it is not in quarantine."""
    return next((entry for entry in entries if fits(entry.test, name)), None)


def fits(pattern: str, name: str) -> bool:
    """Whether a test's name is the pattern; in it `*` stands for any text. Time grows with the lengths only."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def allowed_reason(
    entries: Sequence[Quarantined], failed: Sequence[str], steps: Sequence[StepResult], *, complete: bool
) -> str | None:
    """Why the failure of an attempt is allowed, in words; None: it is not.

    `failed` are all its failed tests. `complete`: every run of tests wrote down how it ended, and that some failed.
    """
    if not entries or not failed or not complete:
        return None
    bad = [step for step in steps if step.state in (StepState.FAILED, StepState.TIMED_OUT)]
    if len(bad) != 1 or bad[0].state is not StepState.FAILED or bad[0].exit_code not in FAILED_TESTS:
        return None
    if not all(entry_for(entries, name) for name in failed):
        return None
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    what = "the only failed test is" if len(failed) == 1 else f"all {len(failed)} failed tests are"
    return f"{what} in quarantine: {', '.join(failed[:SHOWN])}{more}"
