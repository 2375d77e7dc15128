"""A build: one workflow run for one commit and one event."""

from dataclasses import dataclass, field
from datetime import datetime

from mainstay.model.job import Job
from mainstay.model.plan import Json, Plan
from mainstay.model.states import BuildState


@dataclass(frozen=True, slots=True)
class Build:
    """One workflow run. Its state is folded from its jobs when it is read (`flow.build.state`)."""

    id: int
    number: int
    """From 1 within its repository."""
    repository_id: int
    repository: str
    commit: str
    tree: str
    ref: str
    """Whole: `refs/heads/main`."""
    event: str
    """`push`, `pull_request`, `schedule`, `workflow_dispatch` ..."""
    workflow: str
    source: str
    """Path of the workflow file, or `detected: ...`."""
    state: BuildState
    reason: str | None
    priority: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    jobs: tuple[Job, ...] = ()
    payload: dict[str, Json] = field(default_factory=dict)
    """The event as the `github.event` context shows it."""
    trusted: bool = True
    """Whether secrets and trusted caches may reach it (promise 9)."""


@dataclass(frozen=True, slots=True)
class NewBuild:
    """A build to be stored; its first jobs are worked out once it has its number."""

    commit: str
    tree: str
    ref: str
    event: str
    plan: Plan
    payload: dict[str, Json] = field(default_factory=dict)
    priority: int = 0
    trusted: bool = True
    occasion: str = ""
    """Why it is not the same as another build of this commit: empty for pushes, the time for schedules."""
    cause: str = "push"
