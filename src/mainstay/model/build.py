"""A build to come: one workflow run for one commit and one event. A stored one is read by `store.builds`."""

from dataclasses import dataclass, field

from mainstay.model.plan import Json, Plan


@dataclass(frozen=True, slots=True)
class NewBuild:
    """A build to be stored; its first jobs are worked out once it has its number."""

    commit: str
    tree: str
    ref: str
    """Whole: `refs/heads/main`."""
    event: str
    """`push`, `pull_request`, `schedule`, `workflow_dispatch` ..."""
    plan: Plan
    payload: dict[str, Json] = field(default_factory=dict)
    """The event as the `github.event` context shows it."""
    priority: int = 0
    trusted: bool = True
    """Whether secrets and trusted caches may reach it (promise 9)."""
    occasion: str = ""
    """Why it is not the same as another build of this commit: empty for pushes, the time for schedules."""
    cause: str = "push"
