"""What a report says of a build: the tests and jobs that failed, their first failing lines, how to see it again.

All of it comes from outside and goes to people's mailboxes, so all of it is bounded here.
"""

import re
from dataclasses import dataclass

from mainstay.engine.logs import Logs
from mainstay.flow import build as build_flow
from mainstay.flow import failure, reproduce
from mainstay.model.job import Job
from mainstay.model.report import CommitFact, Facts, JobFact, TestFact
from mainstay.model.repository import Commit
from mainstay.model.states import JobState
from mainstay.store import builds, jobs, repositories
from mainstay.store.builds import BuildRow
from mainstay.store.database import Database, Tx
from mainstay.store.views import tests as test_views
from mainstay.store.views.tests import Outcome

TESTS, JOBS, LOGS, LINES = 10, 10, 3, 8
"""How many failed tests and jobs are named, of how many jobs lines are shown, and how many of each."""
NAME, LINE = 300, 200
"""Characters of a name, and of a line."""
COUNTED = 1000
COMMAND = 1000
"""Characters of the command that runs the same here."""
"""Failed tests beyond these are not counted."""
LEAD = 2
"""Lines before the first failing one."""

_STEERING = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


@dataclass(frozen=True, slots=True)
class Found:
    """A build as it is in the database."""

    row: BuildRow
    jobs: tuple[Job, ...]
    failures: tuple[tuple[str, Outcome], ...]
    commit: Commit | None


def found(tx: Tx, build_id: int) -> Found:
    """Read a build. Raises NotFound."""
    row = builds.get(tx, build_id)
    all_jobs = jobs.of_build(tx, build_id)
    bad = [job.attempts[-1].id for job in all_jobs if job.state == JobState.FAILED and job.attempts]
    failures = test_views.failures(tx, bad, COUNTED) if bad else []
    commit = repositories.known_commits(tx, row.repository_id, [row.commit]).get(row.commit)
    return Found(row, tuple(all_jobs), tuple(failures), commit)


async def facts(database: Database, logs: Logs, build_id: int) -> Facts:
    """What is to be said of a build by itself."""
    here = await database.read(found, build_id)
    failed = [job for job in here.jobs if job.state == JobState.FAILED]
    told = [await _job(logs, job, with_lines=place < LOGS) for place, job in enumerate(failed[:JOBS])]
    names = dict(reversed(here.failures))
    return Facts(
        repository=here.row.repository,
        ref=cut(here.row.ref, 1000),
        build_id=here.row.id,
        number=here.row.number,
        workflow=cut(here.row.workflow, NAME),
        event=here.row.event,
        state=build_flow.state(here.jobs).value,
        commit=commit_fact(here.commit) if here.commit else CommitFact(here.row.commit, "", "", ""),
        tests=tuple(_test(name, names[name]) for name in list(names)[::-1][:TESTS]),
        tests_total=len(names),
        counts=_counts(here.jobs),
        jobs=tuple(told),
        jobs_total=len(failed),
        reproduce=reproduce.within(COMMAND, here.row.commit, here.row.source, failed[0]) if failed else None,
    )


def commit_fact(commit: Commit) -> CommitFact:
    """A commit as reports show it."""
    return CommitFact(commit.sha, cut(commit.author, 100), commit.email[:254], cut(commit.subject, LINE))


def _test(name: str, outcome: Outcome) -> TestFact:
    details = outcome.details or {}
    said = str(details.get("message") or details.get("trace") or "")
    lines = [cut(line, LINE) for line in said[:4000].splitlines() if line.strip()]
    return TestFact(cut(name, NAME), "\n".join(lines[:3]))


async def _job(logs: Logs, job: Job, with_lines: bool) -> JobFact:
    last = job.attempts[-1] if job.attempts else None
    return JobFact(
        cut(job.name, NAME),
        job.id,
        last.number if last else 0,
        last.state.value if last else job.state.value,
        cut(job.reason or "", NAME),
        await _lines(logs, job) if last and with_lines and last.log_bytes else (),
    )


async def _lines(logs: Logs, job: Job) -> tuple[str, ...]:
    """The log of a job's last attempt around its first failing line."""
    attempt = job.attempts[-1]
    part = failure.telling(failure.parts(attempt))
    start = max(part.start, part.end - failure.LOOKED_AT)
    data = b"".join([piece async for piece in logs.read(attempt.id, start, part.end)])
    place = failure.first_failing_line(data)
    if place is None:
        return ()
    shown = data[failure.lines_before(data, place, LEAD) :][: LINES * LINE * 4].decode("utf-8", "replace")
    lines = [cut(line, LINE) for line in shown.splitlines()[: LINES + LEAD]]
    return tuple(line for line in lines if line.strip())[:LINES]


def _counts(all_jobs: tuple[Job, ...]) -> dict[str, int]:
    counts = {"passed": 0, "failed": 0, "error": 0, "skipped": 0}
    for job in all_jobs:
        if job.attempts:
            tests = job.attempts[-1].tests
            for outcome in counts:
                counts[outcome] += getattr(tests, outcome)
    return counts


def cut(text: str, limit: int) -> str:
    """A text from outside as one bounded piece without what steers terminals; a visible sign where it is cut."""
    plain = _STEERING.sub(" ", text[: limit * 4]).encode("utf-8", "replace").decode()
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
