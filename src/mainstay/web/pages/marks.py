"""Builds, commits, attempts and test results as marks of a strip, with one sentence each."""

from collections.abc import Sequence
from urllib.parse import quote

from mainstay.store.views.queue import Held
from mainstay.store.views.tests import Outcome
from mainstay.web.listing import CommitLine, Line
from mainstay.web.pages.forms import Forms
from mainstay.web.pages.strip import Mark

OUTCOMES = {"passed": "passed", "failed": "failed", "error": "failed", "skipped": "skipped"}


def state_of_outcome(outcome: str | None) -> str:
    """The state whose sign stands for a test's outcome."""
    return OUTCOMES.get(outcome or "", "neutral")


def of_commits(lines: Sequence[CommitLine], repository: str, forms: Forms) -> list[Mark]:
    """One mark per commit; it leads to its build, or to the commit when there are several."""
    return [_of_commit(line, repository, forms) for line in lines]


def _of_commit(line: CommitLine, repository: str, forms: Forms) -> Mark:
    subject = line.commit.subject[:80] if line.commit else ""
    one = len(line.builds) == 1
    href = f"/builds/{line.builds[0].head.id}" if one else f"/repositories/{repository}/commits/{line.sha}"
    parts = [
        line.sha[:8],
        forms.words.plain(line.state.value),
        forms.span(line.seconds),
        forms.relative(line.tested.at),
    ]
    return Mark(
        line.state.value, line.seconds, href, " ".join(filter(None, parts)) + (f": {subject}" if subject else "")
    )


def of_builds(lines: Sequence[Line], forms: Forms) -> list[Mark]:
    """One mark per build."""
    return [
        Mark(
            line.state.value,
            line.seconds,
            f"/builds/{line.head.id}",
            " ".join(
                filter(None, (f"#{line.head.number}", forms.words.plain(line.state.value), forms.span(line.seconds)))
            ),
        )
        for line in lines
    ]


def of_attempts(held: Sequence[Held], forms: Forms) -> list[Mark]:
    """One mark per attempt of a runner."""
    marks = []
    for each in held:
        seconds = (each.finished_at - each.started_at).total_seconds() if each.finished_at and each.started_at else None
        state = forms.words.plain(each.state.value.replace("_", " "))
        title = f"{each.repository}#{each.build_number} {each.job}: {state} {forms.span(seconds)}".strip()
        marks.append(Mark(each.state.value, seconds, f"/jobs/{each.job_id}/attempts/{each.number}", title))
    return marks


def of_outcomes(found: Sequence[Outcome], forms: Forms) -> list[Mark]:
    """One mark per result of a test."""
    return [
        Mark(
            state_of_outcome(each.outcome),
            each.duration_s,
            f"/jobs/{each.job_id}/attempts/{each.attempt}",
            f"#{each.build_number} {each.commit[:8]} {forms.words.plain(each.outcome)} {forms.span(each.duration_s)}",
        )
        for each in found
    ]


def path_of(repository: str, *more: str) -> str:
    """The path of a repository's page, or of one below it."""
    return "/".join(("/repositories", quote(repository, safe=""), *(quote(part, safe="") for part in more)))
