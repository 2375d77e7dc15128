"""From model values and rows to the JSON of the API."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from mainstay.engine.failing import Failing
from mainstay.model.breakage import Break
from mainstay.model.events import Event
from mainstay.model.job import Attempt, Job
from mainstay.model.repository import Commit, Repository, branch_of
from mainstay.model.runner import Runner
from mainstay.model.secret import Secret, Variable
from mainstay.model.states import OPEN_ATTEMPT
from mainstay.store.figures import DayRow
from mainstay.store.schedules import Scheduled
from mainstay.store.views.asked import NOTHING, Asked
from mainstay.store.views.queue import OpenJob
from mainstay.store.views.tests import Outcome, TestLine
from mainstay.web.api import shapes
from mainstay.web.api.runner_shapes import FailingRunner
from mainstay.web.listing import CommitLine, Line
from mainstay.web.quarantine import Held

MESSAGE_CHARS = 4000
"""So much of a failed test's message is given with its build."""


def moment(at: datetime | None) -> str | None:
    """A time as the API writes it."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def sure(at: datetime) -> str:
    """The same for a time that is always known."""
    return str(moment(at))


def build_line(line: Line, address: str) -> shapes.BuildLine:
    """A build in a list."""
    return shapes.BuildLine(**_build_fields(line, address))


def build(
    line: Line, jobs: Sequence[Job], asked: Mapping[int, Asked], failed: Sequence[tuple[str, Outcome]], address: str
) -> shapes.BuildShape:
    """A build with everything; `asked` by the job's id, `failed` tests with their names."""
    return shapes.BuildShape(
        **_build_fields(line, address),
        jobs=[job_shape(job, asked.get(job.id, NOTHING)) for job in jobs],
        failed_tests=[_failed_test(name, outcome) for name, outcome in failed],
    )


def _failed_test(name: str, outcome: Outcome) -> shapes.FailedTest:
    details = outcome.details or {}
    text = str(details.get("message") or details.get("trace") or "")
    return shapes.FailedTest(name, outcome.outcome, outcome.job, text[:MESSAGE_CHARS])


def _build_fields(line: Line, address: str) -> dict[str, Any]:
    head = line.head
    return {
        "id": head.id,
        "number": head.number,
        "repository": head.repository,
        "commit": head.commit,
        "tree": head.tree,
        "branch": branch_of(head.ref),
        "ref": head.ref,
        "event": head.event,
        "workflow": head.workflow,
        "state": line.state.value,
        "reason": head.reason,
        "created_at": sure(head.created_at),
        "started_at": moment(line.started_at),
        "finished_at": moment(line.finished_at),
        "url": f"{address}/builds/{head.id}",
    }


def job_shape(job: Job, asked: Asked) -> shapes.JobShape:
    """A job with its attempts; its tests are those of its newest attempt that has any."""
    counts = next((each.tests for each in reversed(job.attempts) if any(_counts(each).values())), None)
    return shapes.JobShape(
        job.id,
        job.key,
        job.name,
        job.matrix,
        list(job.needs),
        list(job.labels),
        job.state.value,
        job.reason,
        job.allowed_to_fail,
        job.reused_from,
        shapes.Tests(counts.passed, counts.failed, counts.error, counts.skipped) if counts else shapes.Tests(),
        [_attempt(each) for each in job.attempts],
        asked.environment,
        dict(asked.permissions),
    )


def _counts(attempt: Attempt) -> dict[str, int]:
    tests = attempt.tests
    return {"passed": tests.passed, "failed": tests.failed, "error": tests.error, "skipped": tests.skipped}


def _attempt(attempt: Attempt) -> shapes.AttemptShape:
    return shapes.AttemptShape(
        attempt.id,
        attempt.number,
        attempt.state.value,
        attempt.reason or (attempt.cancel_reason if attempt.state in OPEN_ATTEMPT else None),
        attempt.cause,
        attempt.runner,
        attempt.commit,
        attempt.exit_code,
        sure(attempt.queued_at),
        moment(attempt.started_at),
        moment(attempt.finished_at),
        attempt.log_bytes,
        shapes.Tests(**_counts(attempt)),
        [
            shapes.Step(
                step.number,
                step.name,
                step.state.value,
                step.exit_code,
                moment(step.started_at),
                moment(step.finished_at),
                step.log_offset,
                step.reason,
            )
            for step in attempt.steps
        ],
    )


def repository(found: Repository, address: str) -> shapes.RepositoryShape:
    """A watched repository."""
    return shapes.RepositoryShape(
        found.id,
        found.name,
        found.address,
        list(found.branches),
        found.commits.value,
        found.supersede,
        found.public,
        found.poll_s,
        found.key_public,
        moment(found.created_at),
        moment(found.seen_at),
        found.error,
        moment(found.next_poll_at),
        f"{address}/repositories/{found.name}",
        moment(found.paused_at),
        found.bisect,
    )


def secret(found: Secret, repository: str | None) -> shapes.SecretShape:
    """A secret without its value, as seen from a repository."""
    place = found.place
    name = repository if place.repository_id is not None else None
    used_at = moment(found.used_at)
    return shapes.SecretShape(found.name, name, place.environment, found.updated_by, sure(found.updated_at), used_at)


def variable(found: Variable, repository: str | None) -> shapes.VariableShape:
    """A variable, as seen from a repository."""
    place = found.place
    name = repository if place.repository_id is not None else None
    at = sure(found.updated_at)
    return shapes.VariableShape(found.name, name, place.environment, found.value, found.updated_by, at)


def commit(line: CommitLine, name: str, address: str) -> shapes.CommitShape:
    """A commit with its builds."""
    known: Commit | None = line.commit
    return shapes.CommitShape(
        name,
        line.sha,
        line.state.value,
        known.subject if known else None,
        known.author if known else None,
        known.email if known else None,
        moment(known.committed_at) if known else None,
        list(known.parents) if known else [],
        [build_line(each, address) for each in line.builds],
        f"{address}/repositories/{name}/commits/{line.sha}",
    )


def artifact(row: Any, address: str) -> shapes.ArtifactShape:
    """An artifact, from its row."""
    return shapes.ArtifactShape(
        row.id,
        row.name,
        row.kind,
        row.size_bytes,
        row.job,
        sure(row.created_at),
        moment(row.keep_until),
        f"{address}/api/v1/artifacts/{row.id}",
    )


def schedule(found: Scheduled) -> shapes.ScheduleShape:
    """A schedule."""
    last, following = moment(found.last_at), moment(found.next_at)
    return shapes.ScheduleShape(found.source, found.cron, last, following, found.build_id, found.told, found.missed)


def runner(found: Runner) -> shapes.RunnerShape:
    """A runner."""
    state = "offline" if not found.online else "draining" if found.draining else "online"
    return shapes.RunnerShape(
        found.id,
        found.name,
        list(found.labels),
        found.capacity,
        found.running,
        found.executor,
        found.version,
        state,
        sure(found.first_seen_at),
        sure(found.last_contact_at),
    )


def failing_runner(found: Failing) -> FailingRunner:
    """A local runner that does not start."""
    return FailingRunner(found.name, found.times, found.reason, sure(found.at), sure(found.next_at))


def queued_job(job: OpenJob) -> shapes.QueuedJob:
    """A job that has not ended."""
    return shapes.QueuedJob(
        job.id,
        job.build_id,
        job.repository,
        job.number,
        job.name,
        job.state.value,
        job.reason,
        job.priority,
        list(job.labels),
        job.runner,
        sure(job.since),
    )


def test_run(found: Outcome) -> shapes.TestRun:
    """One result of a test."""
    return shapes.TestRun(
        found.outcome,
        round(found.duration_s, 6),
        found.rerun,
        found.build_id,
        found.build_number,
        found.job,
        found.attempt,
        found.commit,
        moment(found.at),
        found.details,
        found.ref,
        found.runner,
        found.event,
    )


def test_line(found: TestLine) -> shapes.TestShape:
    """A test with its figures."""
    return shapes.TestShape(
        found.name,
        found.state,
        found.runs,
        found.failures,
        found.score,
        found.trees,
        found.flaky_trees,
        round(found.duration_s, 6) if found.runs else None,
        moment(found.ran_at),
        moment(found.broke_at),
    )


def quarantined(held: Held, today: date) -> shapes.QuarantinedShape:
    """An entry of the quarantine."""
    entry = held.entry
    lines = [test_line(each) for each in held.tests]
    return shapes.QuarantinedShape(
        entry.test, entry.reason, entry.expires, held.expired(today), entry.owner, entry.path, entry.line, lines
    )


def breakage(found: Break, repository: str, author: Commit | None) -> shapes.BreakShape:
    """A job that went red on a branch; `author`: the culprit's commit."""
    return shapes.BreakShape(
        found.id,
        repository,
        branch_of(found.ref) or found.ref,
        found.source,
        found.job,
        found.build_id,
        found.state.value,
        found.reason,
        found.culprit,
        author.author if author else None,
        author.email if author else None,
        author.subject if author else None,
        found.good,
        list(found.candidates),
        list(found.tests),
        sure(found.opened_at),
        moment(found.named_at),
        moment(found.ended_at),
    )


def test_day(day: date, found: DayRow) -> shapes.TestDay:
    """One day of a test."""
    mean = round(found.seconds / found.runs, 6) if found.runs else 0.0
    return shapes.TestDay(day.isoformat(), found.runs, found.failures, found.trees, found.flaky, mean)


def fields_of(shape: msgspec.Struct) -> dict[str, Any]:
    """A shape's values by name, for a shape that has them all and more."""
    return {name: getattr(shape, name) for name in shape.__struct_fields__}


def happened(event: Event) -> shapes.Happened:
    """An event of the story."""
    return shapes.Happened(
        event.id or 0,
        sure(event.at),
        event.kind.value,
        event.cause,
        event.actor,
        event.repository_id,
        event.build_id,
        event.job_id,
        event.attempt_id,
        event.runner_id,
        event.details,
    )
