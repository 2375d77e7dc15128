"""What people are told: reports, what they hold, and where they go."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Light(StrEnum):
    """What the builds of one commit on one branch say of it."""

    GREEN = "green"
    RED = "red"
    OPEN = "open"
    """Not all of them have ended."""
    NONE = "none"
    """They have ended and decided nothing: cancelled, skipped, neutral; or there are none."""


class ReportKind(StrEnum):
    """Everything that is reported."""

    BROKEN = "broken"
    """A branch that was green, or was never tested before, is red."""
    STILL_BROKEN = "still-broken"
    """A day after the last message the branch is red as before."""
    FIXED = "fixed"
    FLAKY = "flaky"
    """A test both passed and failed on the same tree, and this was not told lately."""
    DIGEST = "digest"
    """A scheduled build has ended."""
    FINISHED = "finished"
    """A build has ended; for programs only."""
    PING = "ping"
    """Somebody tries whether a channel works."""


BRANCH_KINDS = (ReportKind.BROKEN, ReportKind.STILL_BROKEN, ReportKind.FIXED)
FOR_PEOPLE = (*BRANCH_KINDS, ReportKind.FLAKY, ReportKind.DIGEST)
"""What a channel gets if nothing is chosen."""


class ChannelKind(StrEnum):
    """How a channel is reached."""

    MAIL = "mail"
    CHAT = "chat"
    WEBHOOK = "webhook"


class DeliveryState(StrEnum):
    """Where one message to one recipient stands."""

    WAITING = "waiting"
    """It is to be sent, at once or after a failed try."""
    SENT = "sent"
    FAILED = "failed"
    """Given up: refused for good, or its last try was as late as it may be."""
    DROPPED = "dropped"
    """A person took it away."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was last found of a branch, and told."""

    light: Light
    """`green` or `red`."""
    commit: str
    """The newest commit that decided it."""
    since_at: datetime
    told_at: datetime | None = None
    """When the last message of this breakage was made; None while it is green."""
    report_id: int | None = None
    """The report of the breakage, which later ones answer; None while it is green."""


@dataclass(frozen=True, slots=True)
class CommitFact:
    """A commit as a report shows it."""

    sha: str
    author: str
    email: str
    subject: str


@dataclass(frozen=True, slots=True)
class TestFact:
    """A test that failed, or is flaky."""

    __test__ = False

    name: str
    message: str = ""
    """The first lines of what it said."""


@dataclass(frozen=True, slots=True)
class JobFact:
    """A job that failed."""

    name: str
    job_id: int
    attempt: int
    state: str
    reason: str = ""
    lines: tuple[str, ...] = ()
    """The log around its first failing line."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report holds. Everything in it comes from outside and is bounded."""

    repository: str
    ref: str
    build_id: int | None = None
    number: int | None = None
    workflow: str = ""
    event: str = ""
    state: str = ""
    """The build's."""
    commit: CommitFact | None = None
    """The commit that was tested."""
    commits: tuple[CommitFact, ...] = ()
    """What came since the branch stood otherwise, newest first."""
    commits_total: int = 0
    since_at: datetime | None = None
    """Since when the branch stood as it did before."""
    first_bad: str | None = None
    """For `still-broken` and `fixed`: the commit at which the breakage was found."""
    again: bool = False
    """The same commit as before: its builds were run again."""
    tests: tuple[TestFact, ...] = ()
    tests_total: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Tests of the build by outcome."""
    jobs: tuple[JobFact, ...] = ()
    jobs_total: int = 0
    reproduce: str | None = None
    """The command that runs the first failed job here."""


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that is told, whoever it is told to."""

    id: int
    repository_id: int
    kind: ReportKind
    at: datetime
    facts: Facts
    answers: int | None = None
    """The report that it follows up: of the breakage that goes on or was mended."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where reports of a repository go, besides to the persons they concern."""

    id: int
    repository_id: int
    name: str
    kind: ChannelKind
    shown: str
    """Its address as it may be shown: without what is secret in it."""
    branches: tuple[str, ...] = ("*",)
    kinds: tuple[ReportKind, ...] = FOR_PEOPLE
    language: str = "en"
    created_at: datetime | None = None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one person asked to hear."""

    id: int
    person_id: int
    repository_id: int | None
    """None: of all repositories that the person may see."""
    repository: str | None
    branches: tuple[str, ...] = ("*",)
    kinds: tuple[ReportKind, ...] = FOR_PEOPLE
    language: str = "en"
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A message to be sent to one recipient."""

    kind: ChannelKind
    recipient: str
    """A mail address; of other channels their name."""
    language: str = "en"
    channel_id: int | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """How one try to send a message ended."""

    sent: bool
    error: str | None = None
    """In words; None when it was sent."""
    status: int | None = None
    """What the other side answered, where it speaks in numbers."""
    for_good: bool = False
    """Trying again would not help: no such mailbox, a channel that cannot be opened."""
