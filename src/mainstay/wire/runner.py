"""What a runner and the server say to each other, as JSON. Every message is idempotent: a repeat is harmless.

    POST  /runner/v1/hello                          Hello     -> Welcome        at start and after every 410
    POST  /runner/v1/poll                           Poll      -> Orders         long poll; takes work, renews leases
    POST  /runner/v1/attempts/ID/progress           Progress  -> Stored
    POST  /runner/v1/attempts/ID/log?offset=N       bytes     -> Stored         Content-Encoding: zstd or none
    PUT   /runner/v1/attempts/ID/tests              JSON lines of TestReport -> Stored    whole file, zstd or none
    PUT   /runner/v1/attempts/ID/artifacts/NAME     bytes     -> Stored         zip, digest in Digest header
    GET   /runner/v1/attempts/ID/durations                    -> JSON, seconds by test, the same for all of a build
    POST  /runner/v1/attempts/ID/finish             Finish    -> Stored         repeated until it is answered
    GET   /runner/v1/attempts/ID/artifacts                    -> Artifacts      those of its build so far
    GET   /runner/v1/attempts/ID/artifacts/NAME               -> bytes          one of them, from whichever job kept it
    GET   /runner/v1/attempts/ID/caches?key=K&restore=P...&version=V -> CacheFound  404: there is none
    GET   /runner/v1/attempts/ID/caches/CACHE                 -> bytes
    PUT   /runner/v1/attempts/ID/caches?key=K&version=V       bytes     -> Stored         one that is there stays

Authorization: `Bearer TOKEN` (from `mainstay runner-token`), and from `poll` on `Mainstay-Runner: ID`. A runner speaks
only for attempts it holds or held. Errors are `application/problem+json`: 401 bad token, 404 no such attempt,
409 offset beyond what is stored (`stored` in the body tells where to go on), 410 say hello again.
"""

from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

from mainstay.model.job import Annotation, StepResult
from mainstay.model.plan import Json, PlannedJob

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
"""A number that any database can hold."""
CommitId: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")]
MAX_CAPACITY = 512
"""Jobs that one runner may run at once."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all messages: unknown fields are refused."""


class Hello(Message, frozen=True):
    """A runner presents itself. `holding` are the attempts whose journal it has: running ones and undelivered ends."""

    name: str
    boot: str
    """Random, new at every start of the process."""
    version: str
    labels: tuple[str, ...]
    capacity: int
    executor: str
    holding: tuple[int, ...] = ()
    system: str = ""
    """`Linux 6.1 x86_64`, for people."""


class Welcome(Message, frozen=True):
    """The server's answer: which runner it is, and what to do with the attempts it holds."""

    runner: int
    lease_s: float
    """Each poll renews the leases of the attempts named in it for this long."""
    poll_s: float
    """How long the server may keep a poll open."""
    log_limit_bytes: int
    drop: tuple[int, ...] = ()
    """Attempts nobody wants any more: delete their journals."""


class Poll(Message, frozen=True):
    """Asks for work, renews leases. `free` slots may be 0: then only leases are renewed and cancels heard."""

    boot: str
    free: Annotated[int, msgspec.Meta(ge=0, le=MAX_CAPACITY)]
    running: tuple[int, ...] = ()
    wait_s: float = 25.0
    """The server answers at the latest after this long; 0 at once."""
    draining: bool = False
    leaving: bool = False
    """This is the last poll: the runner ends, and holds nothing that it still runs."""


class Source(Message, frozen=True):
    """Where the commit comes from."""

    repository: str
    repository_id: int
    path: str
    """Path of the smart HTTP repository on the server: `/git/NAME.git`."""
    token: str
    """Opens that repository, to read, while this attempt lives: basic auth, any user name."""
    commit: str
    tree: str
    ref: str


class Assignment(Message, frozen=True):
    """One attempt to run."""

    attempt: int
    job: int
    number: int
    build: int
    build_number: int
    url: str
    """The build's page."""
    source: Source
    plan: PlannedJob
    """The job as planned; the runner evaluates the step templates with `contexts`."""
    name: str
    matrix: dict[str, Json]
    contexts: dict[str, Json]
    """`github`, `needs`, `vars`, `inputs`, `strategy`, `secrets` as the expressions see them."""
    masks: tuple[str, ...] = ()
    """Values that must never be printed."""
    trusted: bool = True
    time_limit_s: float = 21600.0
    allowed_to_fail: bool = False
    notices: tuple[str, ...] = ()
    """What the server has to say of the job: annotations of the attempt."""
    refused: str | None = None
    """Why the job cannot be run, which is our fault and not the code's; the attempt ends as broken with these words."""


class Cancel(Message, frozen=True):
    """Stop that attempt."""

    attempt: int
    reason: str


class Orders(Message, frozen=True):
    """The answer to a poll."""

    assign: tuple[Assignment, ...] = ()
    cancel: tuple[Cancel, ...] = ()
    drop: tuple[int, ...] = ()
    """Named as running but not yours any more: stop and forget."""
    drain: bool = False
    """Take no new work and end when the running jobs have ended."""


class Progress(Message, frozen=True):
    """The attempt's steps as far as they are known. `sequence` rises; an older one than stored is ignored."""

    sequence: Count
    steps: tuple[StepResult, ...] = ()
    commit: CommitId | None = None
    started_at: datetime | None = None


class Artifact(Message, frozen=True):
    """A named bundle of files that a job kept."""

    name: str
    size_bytes: int
    digest: str
    """`sha256:...`"""
    kind: str = "artifact"
    """`artifact` or `coverage`."""
    retention_days: int | None = None


class StoredArtifact(Message, frozen=True):
    """An artifact that the server has."""

    name: str
    size_bytes: int
    kind: str
    job: str
    """The name of the job that kept it."""
    digest: str = ""
    """SHA-256 of its bytes, in hex; empty from a server that does not tell."""


class Artifacts(Message, frozen=True):
    """The artifacts of a build: of each name the newest."""

    items: tuple[StoredArtifact, ...] = ()


class CacheFound(Message, frozen=True):
    """A cache that fits: by its exact key, or by the beginning of its key."""

    id: int
    key: str
    size_bytes: int
    digest: str = ""
    """As in StoredArtifact."""


class Finish(Message, frozen=True):
    """How the attempt ended. All of its log is delivered before, but for `log_tail`, which may come along here."""

    state: str
    """One of `model.states.ENDED_ATTEMPT`."""
    started_at: datetime | None
    finished_at: datetime
    log_bytes: Count
    """Size of the whole log."""
    exit_code: Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)] | None = None
    reason: str | None = None
    commit: CommitId | None = None
    steps: tuple[StepResult, ...] = ()
    outputs: dict[str, str] = {}
    annotations: tuple[Annotation, ...] = ()
    summary: str | None = None
    """Markdown, 1 MiB at most."""
    tests: dict[str, Count] = {}
    """Counts by outcome, of the reports delivered before."""
    tests_complete: bool = False
    """Every run of tests wrote down that it came to its end, some with failed tests, and no report was left out."""
    log_offset: Count = 0
    """Where `log_tail` begins."""
    log_tail: bytes = b""
    """At most 64 KiB."""
    log_notice: str | None = None
    """What was left out of the log, in words: the limit was reached."""


class Stored(Message, frozen=True):
    """What is safe on the server now."""

    stored: int = 0
    """For logs: how many bytes of it, from the beginning."""
    accepted: bool = True
    """False: the attempt is no longer wanted; stop it and forget it."""
    reason: str | None = None


class TestReport(Message, frozen=True):
    """One test of one attempt."""

    id: str
    """Stable over builds: `tests/test_a.py::Class::test_x[param]` or `module.Class.test_x`."""
    outcome: Annotated[str, msgspec.Meta(pattern=r"\A(?:passed|failed|error|skipped)\Z")]
    """`passed`, `failed`, `error`, `skipped`."""
    duration_s: float = 0.0
    file: str | None = None
    line: Count | None = None
    suite: str | None = None
    """The class or module it belongs to."""
    message: str | None = None
    """First lines of why, 4 KiB at most."""
    trace: str | None = None
    """64 KiB at most."""
    output: str | None = None
    """What the test printed, 64 KiB at most."""
    rerun: Count = 0
    """How many times it had been tried before within this attempt."""
