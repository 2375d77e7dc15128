"""Fills the tables directly: repositories, commits, builds with jobs in any state, attempts, logs, tests, runners."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import insert

from mainstay.engine.figures import count_some
from mainstay.store import tests as test_store
from mainstay.store.database import Tx
from mainstay.store.schema import (
    artifacts,
    attempts,
    builds,
    commits,
    events,
    jobs,
    log_pieces,
    plans,
    refs,
    repositories,
    runners,
    schedules,
    tokens,
)
from mainstay.store.tests import NewResult
from mainstay.store.tokens import hash_of

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ENDED = {"passed", "failed", "allowed", "cancelled", "skipped", "neutral"}


def sha_of(text: str) -> str:
    """A commit's id made from any text."""
    return hashlib.sha1(text.encode()).hexdigest()


@dataclass
class Step:
    """A step to be; its output becomes part of the attempt's log."""

    name: str
    state: str = "passed"
    output: bytes = b""
    seconds: float = 1.0
    exit_code: int | None = 0


@dataclass
class TestRow:
    """A test result to be."""

    __test__ = False
    name: str
    outcome: str = "passed"
    seconds: float = 0.01
    message: str | None = None


@dataclass
class JobRow:
    """A job to be, with one attempt unless it has not come so far."""

    name: str = "test"
    state: str = "passed"
    reason: str | None = None
    waits_for: str | None = None
    steps: Sequence[Step] = ()
    tests: Sequence[TestRow] = ()
    seconds: float = 10.0
    delay: float = 1.0
    matrix: dict[str, Any] = field(default_factory=dict)
    needs: Sequence[str] = ()
    labels: Sequence[str] = ("linux",)
    annotations: Sequence[dict[str, Any]] = ()
    summary: str | None = None
    attempt_states: Sequence[str] = ()
    """Of the attempts before the last one."""


class Filling:
    """Writes rows within one transaction."""

    def __init__(self, tx: Tx, now: datetime = NOON) -> None:
        self.conn = tx.conn
        self.tx = tx
        self.now = now
        self._numbers: dict[int, count[int]] = {}
        self._parents: dict[tuple[int, str], str] = {}

    def token(self, kind: str, token: str, name: str) -> int:
        """A token that is known."""
        values = {"kind": kind, "name": name, "hash": hash_of(token), "created_at": self.now}
        return int(self.conn.execute(insert(tokens).values(**values).returning(tokens.c.id)).scalar_one())

    def repository(self, name: str, url: str | None = "/srv/git/demo.git", **values: Any) -> int:
        """A watched repository."""
        base: dict[str, Any] = {
            "name": name,
            "url": url,
            "branches": ["*"],
            "commits": "every",
            "supersede": False,
            "poll_s": 60.0,
            "created_at": self.now - timedelta(days=30),
            "seen_at": self.now - timedelta(seconds=20),
        }
        made = insert(repositories).values(**{**base, **values}).returning(repositories.c.id)
        return int(self.conn.execute(made).scalar_one())

    def commit(
        self,
        repository_id: int,
        text: str,
        *,
        branch: str = "main",
        at: datetime | None = None,
        author: str = "Ada Lovelace",
        message: str | None = None,
        merges: str | None = None,
    ) -> str:
        """A commit on top of the branch's last one. `merges`: the branch whose last commit is its second parent."""
        sha = sha_of(f"{repository_id} {text}")
        before = (self._parents.get((repository_id, name)) for name in (branch, merges) if name)
        moment = at or self.now
        self.conn.execute(
            insert(commits).values(
                repository_id=repository_id,
                sha=sha,
                tree=sha_of(f"tree {text}"),
                parents=[each for each in before if each],
                author=author,
                email="ada@example.org",
                authored_at=moment,
                committed_at=moment,
                subject=text.splitlines()[0][:500] if text else "",
                message=message or text,
            )
        )
        self._parents[repository_id, branch] = sha
        return sha

    def fork(self, repository_id: int, branch: str, onto: str = "main") -> None:
        """Begin a branch where another one is."""
        self._parents[repository_id, branch] = self._parents[repository_id, onto]

    def ref(self, repository_id: int, branch: str, sha: str) -> None:
        """Where a branch is."""
        values = {"repository_id": repository_id, "name": f"refs/heads/{branch}", "commit": sha, "moved_at": self.now}
        self.conn.execute(insert(refs).values(**values))

    def build(
        self,
        repository_id: int,
        sha: str,
        jobs_of: Sequence[JobRow],
        *,
        branch: str = "main",
        at: datetime | None = None,
        workflow: str = "tests",
        reason: str | None = None,
        tree: str | None = None,
        runner: tuple[int, str] | None = None,
        occasion: str = "",
    ) -> int:
        """A build with its jobs."""
        number = next(self._numbers.setdefault(repository_id, count(1)))
        moment = at or self.now
        digest = hashlib.sha256(b"plan").hexdigest()
        known = self.conn.execute(plans.select().where(plans.c.digest == digest)).first()
        if known is None:
            body = {"workflow": "tests", "source": "detected: pytest", "jobs": [], "problems": []}
            self.conn.execute(insert(plans).values(digest=digest, body=body))
        build_id: int = self.conn.execute(
            insert(builds)
            .values(
                repository_id=repository_id,
                number=number,
                commit=sha,
                tree=tree or sha_of(f"tree of {sha}"),
                ref=branch if branch.startswith("refs/") else f"refs/heads/{branch}",
                event="push",
                workflow=workflow,
                source=f".github/workflows/{workflow}.yml",
                plan=digest,
                payload={},
                priority=0,
                trusted=True,
                reason=reason,
                created_at=moment,
                occasion=occasion,
            )
            .returning(builds.c.id)
        ).scalar_one()
        for position, row in enumerate(jobs_of):
            self._job(repository_id, build_id, position, row, sha, moment, runner)
        self.event("build.created", build_id=build_id, repository_id=repository_id, at=moment, cause="push")
        return build_id

    def _job(
        self,
        repository_id: int,
        build_id: int,
        position: int,
        row: JobRow,
        sha: str,
        at: datetime,
        runner: tuple[int, str] | None,
    ) -> None:
        job_id: int = self.conn.execute(
            insert(jobs)
            .values(
                build_id=build_id,
                repository_id=repository_id,
                key=row.name.partition(" ")[0],
                name=row.name,
                position=position,
                state=row.state,
                reason=row.reason,
                waits_for=row.waits_for,
                matrix=row.matrix,
                strategy={},
                needs=list(row.needs),
                labels=list(row.labels),
                fit=",".join(sorted(row.labels)),
                allowed_to_fail=row.state == "allowed",
                priority=0,
                outputs={},
                time_limit_s=21600.0,
                changed_at=at,
            )
            .returning(jobs.c.id)
        ).scalar_one()
        if row.state in ("waiting", "skipped", "neutral"):
            return
        for number, state in enumerate(row.attempt_states, 1):
            self._attempt(repository_id, job_id, number, state, JobRow(seconds=3), sha, at, runner)
        last = {"allowed": "failed"}.get(row.state, row.state)
        number = len(row.attempt_states) + 1
        self._attempt(repository_id, job_id, number, last, row, sha, at + timedelta(seconds=4 * (number - 1)), runner)

    def _attempt(
        self,
        repository_id: int,
        job_id: int,
        number: int,
        state: str,
        row: JobRow,
        sha: str,
        at: datetime,
        runner: tuple[int, str] | None,
    ) -> None:
        started = None if state == "queued" else at + timedelta(seconds=row.delay)
        ended = started + timedelta(seconds=row.seconds) if started and state != "running" else None
        offset, place, steps = 0, started, []
        for index, step in enumerate(row.steps, 1):
            begins, begun = place, step.state not in ("pending", "skipped")
            place = place + timedelta(seconds=step.seconds) if place else None
            steps.append(
                {
                    "number": index,
                    "name": step.name,
                    "state": step.state,
                    "exit_code": step.exit_code,
                    "started_at": begins.isoformat() if begins and begun else None,
                    "finished_at": place.isoformat() if place and begun and step.state != "running" else None,
                    "log_offset": offset if begun else None,
                    "reason": None,
                }
            )
            offset += len(step.output)
        counts: dict[str, int] = dict.fromkeys(("passed", "failed", "error", "skipped"), 0)
        for test in row.tests:
            counts[test.outcome] += 1
        attempt_id: int = self.conn.execute(
            insert(attempts)
            .values(
                job_id=job_id,
                number=number,
                state=state,
                cause="push" if number == 1 else "retry after lost",
                queued_at=at,
                runner_id=runner[0] if runner and started else None,
                runner=runner[1] if runner and started else ("local-1" if started else None),
                lease_until=self.now + timedelta(seconds=60) if state == "running" else None,
                started_at=started,
                finished_at=ended,
                commit=sha if started else None,
                exit_code={"passed": 0, "failed": 1}.get(state),
                reason="the runner local-1 was not heard of for 60 s" if state == "lost" else None,
                steps=steps,
                annotations=list(row.annotations) or None,
                summary=row.summary,
                tests=counts,
                log_bytes=offset,
            )
            .returning(attempts.c.id)
        ).scalar_one()
        self.log(attempt_id, b"".join(step.output for step in row.steps))
        if row.tests:
            results = [
                NewResult(each.name, each.outcome, each.seconds, 0, {"message": each.message} if each.message else None)
                for each in row.tests
            ]
            test_store.put(self.tx, repository_id, attempt_id, results)
            if ended is not None and state != "lost":
                test_store.to_be_counted(self.tx, attempt_id)
                while count_some(self.tx):
                    pass

    def log(self, attempt_id: int, data: bytes, piece: int = 65536) -> None:
        """The bytes of a log, in pieces."""
        for start in range(0, len(data), piece):
            part = data[start : start + piece]
            row = {"attempt_id": attempt_id, "start": start, "size": len(part), "data": part}
            self.conn.execute(insert(log_pieces).values(**row, breaks=data.count(b"\n", 0, start)))

    def artifact(self, attempt_id: int, name: str, blob: str, size_bytes: int, **values: Any) -> int:
        """A bundle that an attempt kept; its bytes are stored already."""
        row = {"kind": "artifact", "created_at": self.now, "keep_until": None, **values}
        made = insert(artifacts).values(attempt_id=attempt_id, name=name, blob=blob, size_bytes=size_bytes, **row)
        return int(self.conn.execute(made.returning(artifacts.c.id)).scalar_one())

    def schedule(self, repository_id: int, source: str, cron: str, **values: Any) -> None:
        """A line of cron of a workflow file."""
        row = {"last_at": None, "next_at": self.now + timedelta(hours=1), **values}
        self.conn.execute(insert(schedules).values(repository_id=repository_id, source=source, cron=cron, **row))

    def runner(self, name: str, token_id: int | None = None, *, seen: datetime | None = None, **values: Any) -> int:
        """A runner."""
        base: dict[str, Any] = {
            "name": name,
            "token_id": token_id,
            "boot": "boot",
            "labels": ["linux", "x64", "self-hosted"],
            "capacity": 2,
            "executor": "bubblewrap",
            "version": "0.1.0",
            "first_seen_at": self.now - timedelta(days=3),
            "last_contact_at": seen or self.now,
        }
        return int(self.conn.execute(insert(runners).values(**{**base, **values}).returning(runners.c.id)).scalar_one())

    def event(self, kind: str, *, cause: str, at: datetime | None = None, **values: Any) -> int:
        """An event of the story."""
        row = {"kind": kind, "at": at or self.now, "cause": cause, "details": {}, **values}
        return int(self.conn.execute(insert(events).values(**row).returning(events.c.id)).scalar_one())
