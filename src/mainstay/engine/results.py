"""What runners report: progress, tests, ends. Each is stored in one transaction before it is acknowledged."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec

from mainstay.engine import unfold
from mainstay.engine.settle import settle
from mainstay.flow import quarantine
from mainstay.flow import result as result_flow
from mainstay.flow.result import End
from mainstay.model.changes import EndAttempt
from mainstay.model.errors import BadInput, Conflict, NotFound
from mainstay.model.job import Attempt, Job
from mainstay.model.plan import Retry
from mainstay.model.states import ENDED_ATTEMPT, AttemptState
from mainstay.store import changes, jobs, logs, plans, tests
from mainstay.store.database import Database, Tx
from mainstay.store.tests import NewResult
from mainstay.store.zstd import decompress
from mainstay.wire.runner import Finish, Progress, Stored, TestReport

MAX_TESTS = 200_000
"""Tests of one attempt."""
MAX_TESTS_BYTES = 512 * 1024 * 1024
"""All test reports of one attempt, unpacked."""
MAX_DETAIL = 65_536
"""Characters of a test's trace or output."""


def progress(tx: Tx, runner_id: int, attempt_id: int, message: Progress) -> Stored:
    """Store the steps of a running attempt."""
    place = _mine(tx, runner_id, attempt_id)
    if place.state != AttemptState.RUNNING:
        return Stored(accepted=False, reason=f"the attempt is {place.state}")
    jobs.record_progress(tx, attempt_id, message.sequence, message.steps, message.commit, message.started_at)
    tx.wake(f"attempt:{attempt_id}")
    tx.wake(f"build:{jobs.build_of(tx, attempt_id)}")
    return Stored()


async def take_tests(database: Database, runner_id: int, attempt_id: int, body: bytes, encoding: str | None) -> Stored:
    """Store the tests of an attempt, in place of what was stored of them before. Raises BadInput.

    They are stored in parts, and acknowledged when the last one is: whoever is interrupted sends them again.
    """
    reports = await decode_tests(body, encoding)
    for start in range(0, len(reports), tests.PART):
        part = [_result(report) for report in reports[start : start + tests.PART]]
        refused = await database.write(_put_part, runner_id, attempt_id, start, part)
        if refused is not None:
            return refused
    counts = await asyncio.to_thread(lambda: tests.count([_result(report) for report in reports]))
    return await database.write(_put_end, runner_id, attempt_id, len(reports), counts)


def _put_part(tx: Tx, runner_id: int, attempt_id: int, start: int, part: list[NewResult]) -> Stored | None:
    """Store some of an attempt's tests; the answer when they are not wanted."""
    refused = _unwanted(tx, runner_id, attempt_id)
    if refused is None:
        job, _ = jobs.of_attempt(tx, attempt_id)
        tests.put_part(tx, job.repository_id, attempt_id, start, part)
    return refused


def _put_end(tx: Tx, runner_id: int, attempt_id: int, length: int, counts: dict[str, int]) -> Stored:
    """That was all of them."""
    refused = _unwanted(tx, runner_id, attempt_id)
    if refused is not None:
        return refused
    tests.cut(tx, attempt_id, length)
    jobs.set_tests(tx, attempt_id, counts)
    return Stored(stored=length)


def _unwanted(tx: Tx, runner_id: int, attempt_id: int) -> Stored | None:
    """The answer to the tests of an attempt that nobody waits for."""
    jobs.lock_attempt(tx, attempt_id)  # the same report may come twice at a time
    place = _mine(tx, runner_id, attempt_id)
    if place.state in (AttemptState.RUNNING, AttemptState.LOST):
        return None
    return Stored(accepted=False, reason=f"the attempt is {place.state}")


async def decode_tests(body: bytes, encoding: str | None) -> list[TestReport]:
    """Unpack and decode a body of JSON lines, in a thread when it is large. Raises BadInput."""
    if encoding not in (None, "", "identity", "zstd"):
        raise BadInput(f"the encoding {encoding[:40]!r} is not known here; send zstd or none")

    def read() -> list[TestReport]:
        return read_tests(decompress(body, MAX_TESTS_BYTES) if encoding == "zstd" else body)

    return await asyncio.to_thread(read) if len(body) > 65_536 else read()


def read_tests(body: bytes) -> list[TestReport]:
    """Decode JSON lines. Raises BadInput with the line's number."""
    lines = body.splitlines()
    if len(lines) > MAX_TESTS:
        raise BadInput(f"{len(lines)} tests in one attempt; at most {MAX_TESTS} are taken")
    reports = []
    decoder = msgspec.json.Decoder(TestReport)
    for number, line in enumerate(lines, 1):
        try:
            reports.append(decoder.decode(line))
        except msgspec.MsgspecError as error:
            raise BadInput(f"line {number} of the tests is not a test report: {error}") from None
    return reports


def _result(report: TestReport) -> NewResult:
    details: dict[str, Any] = {
        key: value[:MAX_DETAIL] if isinstance(value, str) else value
        for key in ("file", "line", "suite", "message", "trace", "output")
        if (value := getattr(report, key)) is not None
    }
    if report.outcome == "passed":
        details = {key: details[key] for key in ("file", "line") if key in details}
    return NewResult(report.id[:4000], report.outcome, report.duration_s, report.rerun, details or None)


def finish(tx: Tx, runner_id: int, attempt_id: int, message: Finish, now: datetime) -> Stored:
    """Store how an attempt ended and what follows from it. A repeat is harmless."""
    place = _mine(tx, runner_id, attempt_id)
    state = _ended_state(message.state)
    _store_tail(tx, place, message)
    jobs.lock_build_of(tx, attempt_id)
    job, attempt = jobs.of_attempt(tx, attempt_id)
    end = End(
        EndAttempt(
            attempt_id,
            state,
            finished_at=message.finished_at,
            started_at=message.started_at,
            reason=message.reason,
            exit_code=message.exit_code,
            commit=message.commit,
            steps=message.steps,
            annotations=message.annotations,
            summary=message.summary,
            tests=message.tests or None,
            log_notice=message.log_notice,
        ),
        outputs=message.outputs,
        allowed=_allowed(tx, job, attempt_id, message) if state is AttemptState.FAILED else None,
    )
    return conclude(tx, job, attempt, end, now)


def _allowed(tx: Tx, job: Job, attempt_id: int, message: Finish) -> str | None:
    """Why a failure is allowed: all that failed are tests in quarantine."""
    if not message.tests_complete:
        return None
    entries = plans.of_build(tx, job.build_id).quarantine
    if not entries:
        return None
    failed = tests.failed_names(tx, attempt_id)
    if len(failed) != message.tests.get("failed", 0) + message.tests.get("error", 0):
        return None  # not all of them are stored
    return quarantine.allowed_reason(entries, failed, message.steps, complete=True)


def conclude(tx: Tx, job: Job, attempt: Attempt, end: End, now: datetime) -> Stored:
    """Decide about an attempt's end, write it, and carry its build forward."""
    outcome = result_flow.decide(job, attempt, end, retry_of(tx, job), now)
    changes.apply(tx, outcome.changes, now)
    if outcome.accepted and outcome.changes and end.state != AttemptState.LOST:  # else it was counted before
        tests.to_be_counted(tx, attempt.id)
    if outcome.job_ended:
        settle(tx, job.build_id, now, f"{job.name}: attempt {attempt.number} {end.state}")
    return Stored(accepted=outcome.accepted, reason=outcome.reason)


def retry_of(tx: Tx, job: Job) -> Retry:
    """How often the job's plan lets it be tried again by itself."""
    plan = plans.of_build(tx, job.build_id)
    try:
        return unfold.planned(plan, job.key).retry
    except NotFound:
        return Retry()


def _ended_state(word: str) -> AttemptState:
    try:
        state = AttemptState(word)
    except ValueError:
        raise BadInput(f"{word!r} is not a state of an attempt") from None
    if state not in ENDED_ATTEMPT:
        raise BadInput(f"an attempt that is {word} has not ended")
    return state


def _store_tail(tx: Tx, place: logs.Place, message: Finish) -> None:
    """Append the end of the log that came along; refuse when something before it is missing."""
    stored, tail = place.stored, message.log_tail
    if message.log_offset > stored:
        raise Conflict(f"the log is stored up to byte {stored}, its tail begins at {message.log_offset}", stored=stored)
    fresh = tail[stored - message.log_offset :]
    if fresh:
        logs.append(tx, place, fresh)
    if stored + len(fresh) < message.log_bytes:
        have = stored + len(fresh)
        raise Conflict(f"the log has {message.log_bytes} bytes and only {have} are stored", stored=stored)


def _mine(tx: Tx, runner_id: int, attempt_id: int) -> logs.Place:
    place = logs.place(tx, attempt_id)
    if place is None or place.runner_id != runner_id:
        raise NotFound(f"this runner holds no attempt {attempt_id}")
    return place
