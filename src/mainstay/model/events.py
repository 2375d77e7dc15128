"""What happened, in the past tense. Closed: all kinds of events stand here."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mainstay.model.plan import Json


class EventKind(StrEnum):
    """Everything that can have happened to something we keep."""

    REPOSITORY_ADDED = "repository.added"
    REPOSITORY_CHANGED = "repository.changed"
    REPOSITORY_REMOVED = "repository.removed"
    REPOSITORY_UNREACHABLE = "repository.unreachable"
    REPOSITORY_REACHABLE = "repository.reachable"
    PUSH_NOTICED = "push.noticed"
    BUILD_CREATED = "build.created"
    BUILD_ENDED = "build.ended"
    BUILD_CANCEL_ASKED = "build.cancel-asked"
    BUILD_RERUN_ASKED = "build.rerun-asked"
    BUILD_PRIORITISED = "build.prioritised"
    JOB_WAITING = "job.waiting"
    JOB_QUEUED = "job.queued"
    JOB_STARTED = "job.started"
    JOB_ENDED = "job.ended"
    ATTEMPT_QUEUED = "attempt.queued"
    ATTEMPT_ASSIGNED = "attempt.assigned"
    ATTEMPT_ENDED = "attempt.ended"
    ATTEMPT_CANCEL_ASKED = "attempt.cancel-asked"
    ATTEMPT_IGNORED = "attempt.ignored"
    """A stale end arrived and changed nothing."""
    RUNNER_ONLINE = "runner.online"
    RUNNER_OFFLINE = "runner.offline"
    RUNNER_DRAINING = "runner.draining"
    RUNNER_FAILED = "runner.failed"
    SERVER_CHANGED = "server.changed"
    """Something that holds for all repositories was set or removed."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Ids are None where they do not apply; `cause` says in words why it happened."""

    kind: EventKind
    at: datetime
    cause: str
    repository_id: int | None = None
    build_id: int | None = None
    job_id: int | None = None
    attempt_id: int | None = None
    runner_id: int | None = None
    actor: str | None = None
    """Who asked for it: a person's or token's name. None: Mainstay itself."""
    details: dict[str, Json] = field(default_factory=dict)
    id: int | None = None
    """Its place in the order of all events, once stored."""
