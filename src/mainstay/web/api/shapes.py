"""The JSON of the API, as the contract has it. Times are texts in UTC with milliseconds."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-11-20T12:00:00.123Z"])]


class Step(Struct, frozen=True):
    """One command or action of an attempt."""

    number: int
    name: str
    state: str
    exit_code: int | None
    started_at: Time | None
    finished_at: Time | None
    log_offset: int | None
    reason: str | None


class Tests(Struct, frozen=True):
    """Tests by how they ended."""

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0


class AttemptShape(Struct, frozen=True):
    """One try of a job."""

    id: int
    number: int
    state: str
    reason: str | None
    cause: str
    runner: str | None
    commit: str | None
    """What was checked out, as the runner verified it."""
    exit_code: int | None
    queued_at: Time
    started_at: Time | None
    finished_at: Time | None
    log_bytes: int
    tests: Tests
    steps: list[Step]


class JobShape(Struct, frozen=True):
    """One node of a build's graph."""

    id: int
    key: str
    name: str
    matrix: dict[str, Any]
    needs: list[str]
    labels: list[str]
    state: str
    reason: str | None
    allowed_to_fail: bool
    reused_from: int | None
    tests: Tests
    attempts: list[AttemptShape]
    environment: str | None
    """Whose secrets and variables it is given; null: it names none."""
    permissions: dict[str, str]
    """As the workflow file has them; they rule nothing here."""


class BuildLine(Struct, frozen=True):
    """A build in a list."""

    id: int
    number: int
    repository: str
    commit: str
    tree: str
    branch: str | None
    """None for a tag or another ref; see `ref`."""
    ref: str
    event: str
    workflow: str
    state: str
    reason: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    url: str


class FailedTest(Struct, frozen=True):
    """A test that failed in the last attempt of a job."""

    test: str
    outcome: str
    job: str
    message: str


class BuildShape(BuildLine, frozen=True):
    """A build with its jobs, their attempts and steps."""

    jobs: list[JobShape]
    failed_tests: list[FailedTest]
    """The first 50 of the last attempts of its failed jobs; their counts are with the jobs."""


class RepositoryShape(Struct, frozen=True):
    """A watched repository."""

    id: int
    name: str
    url: str | None
    """Where it lives; null: it lives here."""
    branches: list[str]
    commits: str
    supersede: bool
    public: bool
    """Whether everybody may read it, without signing in."""
    poll_s: float
    key: str | None
    """The public half of its deploy key."""
    created_at: Time | None
    seen_at: Time | None
    error: str | None
    next_poll_at: Time | None
    page: str
    """Its page on this server."""
    paused_at: Time | None
    """Since when neither pushes nor schedules start anything; null: they do."""
    bisect: bool
    """Whether skipped commits are tested when a branch goes red, to find the culprit."""


class CommitShape(Struct, frozen=True):
    """A commit with its verdict, folded over its builds."""

    repository: str
    commit: str
    state: str
    subject: str | None
    author: str | None
    email: str | None
    committed_at: Time | None
    parents: list[str]
    builds: list[BuildLine]
    url: str


class ArtifactShape(Struct, frozen=True):
    """A bundle that a job of a build kept."""

    id: int
    name: str
    kind: str
    """`artifact` or `coverage`."""
    size_bytes: int
    job: str
    created_at: Time
    keep_until: Time | None
    """When it is deleted; null: with the rest of its build."""
    url: str
    """Where its bytes are, a zip file."""


class ScheduleShape(Struct, frozen=True):
    """One line of cron in one workflow file."""

    source: str
    cron: str
    last_at: Time | None
    next_at: Time | None
    """null: it never comes."""
    build: int | None
    """Of the last start."""
    told: str | None
    """Why the last start made no build."""
    missed: int
    """Starts that were due while no server ran, before the last one."""


class RunnerShape(Struct, frozen=True):
    """A runner."""

    id: int
    name: str
    labels: list[str]
    capacity: int
    running: int
    executor: str
    version: str
    state: str
    """`online`, `draining` or `offline`."""
    first_seen_at: Time
    last_contact_at: Time


class QueuedJob(Struct, frozen=True):
    """A job that has not ended."""

    id: int
    build: int
    repository: str
    number: int
    name: str
    state: str
    reason: str | None
    priority: int
    labels: list[str]
    runner: str | None
    since: Time


class Happened(Struct, frozen=True):
    """An event of the story."""

    id: int
    at: Time
    kind: str
    cause: str
    actor: str | None
    repository: int | None
    build: int | None
    job: int | None
    attempt: int | None
    runner: int | None
    details: dict[str, Any]


class TestShape(Struct, frozen=True):
    """A test with its figures over the 30 days that end with its newest result."""

    name: str
    state: str | None
    """How it ended in the newest build it was in: `passed`, `failed`, `error` or `skipped`; null: not counted yet."""
    runs: int
    failures: int
    flakiness: float
    """Share of the trees it ran on, on which one job both passed and failed it, 0 to 1."""
    trees: int
    flaky_trees: int
    duration_s: float | None
    """Mean of its runs; null: it has not run."""
    ran_at: Time | None
    broke_at: Time | None
    """When it began to fail, the last time it did."""


class TestRun(Struct, frozen=True):
    """One result of a test."""

    outcome: str
    duration_s: float
    rerun: int
    build: int
    number: int
    job: str
    attempt: int
    commit: str
    at: Time | None
    details: dict[str, Any] | None
    ref: str
    runner: str | None
    event: str


class QuarantinedShape(Struct, frozen=True):
    """Tests whose failure is passed over for a while, from `.mainstay/quarantine.yml`."""

    test: str
    """A name; in it `*` stands for any text."""
    reason: str
    expires: str
    """The last day."""
    expired: bool
    """It is over: builds fail until the entry is gone or has a new date."""
    owner: str | None
    path: str
    line: int
    tests: list[TestShape]
    """Those that were seen, 50 at most."""


class DurationsShape(Struct, frozen=True):
    """How long tests take."""

    durations: dict[str, float]
    """Mean seconds by name."""


class BreakShape(Struct, frozen=True):
    """A job that went red on a branch, and who did it as far as that is known."""

    id: int
    repository: str
    branch: str
    workflow_file: str
    job: str
    build: int
    """The build that showed it."""
    state: str
    """`searching`, `named`, `range` (one of `candidates`), `flaky` (nobody), `cancelled` or `mended`."""
    reason: str | None
    culprit: str | None
    author: str | None
    email: str | None
    subject: str | None
    good: str
    """The last commit before that was good."""
    candidates: list[str]
    """Oldest first."""
    tests: list[str]
    """The tests that failed, 100 at most."""
    opened_at: Time
    named_at: Time | None
    ended_at: Time | None


class TestDay(Struct, frozen=True):
    """What one day's results of a test add up to; days are in UTC."""

    day: str
    """`2026-11-20`."""
    runs: int
    failures: int
    trees: int
    flaky_trees: int
    duration_s: float
    """Mean."""


class TestHistory(TestShape, frozen=True):
    """A test with its days and its last results, both newest first."""

    window_days: int
    failing_since: Time | None
    """While it fails: since when, as far as `history` goes back."""
    first_bad_commit: str | None
    """While it fails: the commit of the first build in which it did."""
    last_failure: TestRun | None
    days: list[TestDay]
    """A year of them at most; they outlive the results."""
    history: list[TestRun]


class Page(Struct, frozen=True):
    """A page of a list."""

    items: Sequence[Any]
    next: str | None
    """Pass it as `cursor` for the page that follows; null: this is the last. A short page may still have a next."""


class NewToken(Struct, frozen=True):
    """A token. It is shown this once and cannot be shown again."""

    name: str
    token: str


class Key(Struct, frozen=True):
    """The public half of a deploy key, OpenSSH, one line."""

    key: str


class Webhook(Struct, frozen=True):
    """Where a forge sends its pushes. The secret is shown this once and cannot be shown again."""

    address: str
    secret: str


class SecretShape(Struct, frozen=True):
    """A secret. Its value is never shown."""

    name: str
    """In capitals; workflows may write it in any case."""
    repository: str | None
    """None: it is for all repositories."""
    environment: str | None
    """None: it is for all jobs."""
    updated_by: str
    updated_at: Time
    used_at: Time | None
    """When it was last given to a job; None: never yet."""


class VariableShape(Struct, frozen=True):
    """A variable."""

    name: str
    """In capitals; workflows may write it in any case."""
    repository: str | None
    """None: it is for all repositories."""
    environment: str | None
    """None: it is for all jobs."""
    value: str
    updated_by: str
    updated_at: Time


class RerunAnswer(Struct, frozen=True):
    """What runs again."""

    jobs: list[str]


class Started(Struct, frozen=True):
    """What was started."""

    builds: list[int]


class NewRepository(Struct, frozen=True, forbid_unknown_fields=True):
    """A repository to watch."""

    name: str
    url: str | None = None
    branches: tuple[str, ...] = ("*",)
    commits: str = "every"
    poll_s: float = 60.0
    since: str | None = None
    """Test the commits after this one too, not the tips only."""
    supersede: bool = False


class RepositoryChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays."""

    url: str | msgspec.UnsetType | None = msgspec.UNSET
    branches: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    commits: str | msgspec.UnsetType = msgspec.UNSET
    poll_s: float | msgspec.UnsetType = msgspec.UNSET
    supersede: bool | msgspec.UnsetType = msgspec.UNSET
    public: bool | msgspec.UnsetType = msgspec.UNSET
    paused: bool | msgspec.UnsetType = msgspec.UNSET
    bisect: bool | msgspec.UnsetType = msgspec.UNSET


class ValueAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """The value of a secret or variable, and the environment it is for."""

    value: str
    """Text, 64 KiB at most. A secret has 4 characters or more, because shorter ones cannot be hidden in logs."""
    environment: str | None = None
    """None: for all jobs."""


class CancelAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a build is to be cancelled, and which of its jobs: all, or one."""

    reason: Annotated[str, Meta(max_length=500)] | None = None
    job: str | None = None


class PriorityAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a build goes before or after others of its repository: 0 is usual, higher goes first."""

    priority: Annotated[int, Meta(ge=-2000, le=2000)]


class PriorityAnswer(Struct, frozen=True):
    """What a new priority moved."""

    priority: int
    jobs: int
    """Jobs of the build that have not ended."""


class RerunAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs run again: all, those that failed, or one."""

    failed: bool = False
    job: str | None = None


class StartAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """A workflow to start by hand, which it allows with `on: workflow_dispatch`."""

    workflow: Annotated[str, Meta(min_length=1, max_length=1000)]
    """Its file's path, or its name."""
    ref: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    """A branch or tag; null: the default branch."""
    inputs: dict[str, Any] = {}


class TokenAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """What a new token is for."""

    name: Annotated[str, Meta(min_length=1, max_length=100)] = "runner"
