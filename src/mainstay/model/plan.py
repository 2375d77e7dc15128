"""What a workflow file (or detection) asks for: the plan of a build, before anything has run.

A field said to be a *template* may hold `${{ expressions }}`. They are evaluated by `workflow.expressions` when
GitHub's documentation says: job keys on the server, once the job's needs have ended; step keys on the runner. A plan is
a value: equal workflow files give equal plans, and a plan is stored once per digest.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict of them. Mappings keep their order."""


WHOLE = "*"
"""The name in an `env` whose template gives more names and values (`env: ${{ matrix.env }}`)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command (`run`) or action (`uses`) of a job; exactly one of the two is set."""

    name: str | None = None
    """Template. None: shown as "Run FIRST LINE" or "Run ACTION"."""
    id: str | None = None
    run: str | None = None
    """Template: the script."""
    uses: str | None = None
    """`owner/name@ref`, `owner/name/path@ref`, `./path` or `docker://image`."""
    inputs: dict[str, str] = field(default_factory=dict)
    """The key `with`; templates."""
    env: dict[str, str] = field(default_factory=dict)
    """Templates; the name `*` (`WHOLE`) has one that gives a whole mapping."""
    condition: str | None = None
    """The key `if`: an expression without `${{ }}`. None: `success()`."""
    shell: str | None = None
    """`bash`, `sh`, `python` or a command with `{0}`. None: the job's default, else bash as GitHub starts it."""
    working_directory: str | None = None
    """Template, relative to the work tree."""
    timeout_s: str | None = None
    """Template of a number of seconds. None: only the job's limit holds."""
    continue_on_error: str = "false"
    """Template that gives `true` or `false`."""
    line: int | None = None
    """Line in the workflow file, from 1."""
    together: int | None = None
    """Steps with the same number stand in one `parallel`: none of them looks at how the others ended."""


@dataclass(frozen=True, slots=True)
class Service:
    """A container that runs beside a job, or the one it runs in."""

    image: str
    env: dict[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    options: str = ""
    entrypoint: str = ""
    """Template; of services only. Empty: the image's own."""
    command: str = ""
    """Template; of services only."""
    credentials: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most one build or job of a group runs at a time."""

    group: str
    """Template."""
    cancel_in_progress: str = "false"
    """Template that gives `true` or `false`."""
    in_order: bool = False
    """Every waiting one gets its turn (our own key); else a newer one replaces the one that waits."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """`strategy.matrix`: either values known when the file is read, or an expression that gives them later."""

    axes: dict[str, Json] = field(default_factory=dict)
    """Axis name to a list of values, or to a template string that gives a list."""
    include: Json = None
    """A list of mappings, or a template string that gives one."""
    exclude: Json = None
    whole: str | None = None
    """A template that gives the whole mapping (`${{ fromJSON(needs.a.outputs.b) }}`); axes are empty then."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use. None: the runner's own limit."""

    time_s: str | None = None
    """Template of a number of seconds (`timeout-minutes` times 60). None: 6 h."""
    memory_bytes: int | None = None
    processes: int | None = None
    network: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a job is tried again by itself, and after which ends."""

    max: int = 2
    on: tuple[str, ...] = ("lost", "broken")


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One node of the graph as written, before its matrix is expanded."""

    key: str
    """Its name in the workflow file: `test`."""
    name: str | None = None
    """Template. None: the key, with the matrix values in brackets behind it."""
    needs: tuple[str, ...] = ()
    """Keys of other jobs."""
    condition: str | None = None
    """The key `if`. None: `success()`."""
    labels: tuple[str, ...] = ("linux",)
    """Templates (`runs-on`): a runner must have them all. One template may give a list."""
    matrix: Matrix | None = None
    fail_fast: str = "true"
    """Template."""
    max_parallel: int | None = None
    steps: tuple[Step, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    """Templates; the workflow's `env` is already merged in, the job's own wins."""
    shell: str | None = None
    """`defaults.run.shell`, workflow and job merged."""
    working_directory: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    """Templates over the job's steps."""
    limits: Limits = Limits()
    continue_on_error: str = "false"
    """Template that gives `true` or `false`: whether its failure is allowed."""
    container: Service | None = None
    services: dict[str, Service] = field(default_factory=dict)
    concurrency: Concurrency | None = None
    retry: Retry = Retry()
    priority: int = 0
    """Higher goes first, within a repository. -100 to 100."""
    reports: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """`junit` and `coverage`: globs of report files in the work tree."""
    permissions: dict[str, str] = field(default_factory=dict)
    """Accepted and shown."""
    environment: str | None = None
    """Accepted and shown."""
    inputs: dict[str, Json] = field(default_factory=dict)
    """For a job of a called workflow: the `inputs` context it sees (templates over the caller's contexts)."""
    line: int | None = None
    call: str | None = None
    """For a job of a called workflow: the key of the `Call` in the plan that it belongs to."""
    only_tests: tuple[str, ...] = ()
    """Names of the tests that its runs of pytest and unittest are to be limited to; empty: none are left out."""
    unsupported: str | None = None
    """Why it cannot be run here at all, in words; it is then neutral. None: it can."""


@dataclass(frozen=True, slots=True)
class Call:
    """A job that runs another workflow of the same repository. Its jobs stand in the plan, their keys begin `KEY / `.

    What the caller says of it holds for all of them and is evaluated in the caller's contexts.
    """

    key: str
    """`build`, of a matrix `build (3.12)`; within another call `outer / build`."""
    written: str
    """Its key as written in the calling file, by which `needs` there names it."""
    source: str
    """Path of the called file."""
    name: str | None = None
    """Template."""
    within: str | None = None
    """The key of the call it stands in itself; None: the build's own workflow."""
    needs: tuple[str, ...] = ()
    """As written, keys of the calling file."""
    condition: str | None = None
    matrix: dict[str, Json] = field(default_factory=dict)
    inputs: dict[str, Json] = field(default_factory=dict)
    """What the called jobs see as `inputs`; texts are templates over the caller's contexts."""
    input_types: dict[str, str] = field(default_factory=dict)
    """`string`, `boolean` or `number`, by name."""
    secrets: dict[str, str] | None = None
    """Templates; None: the caller's secrets are inherited."""
    env: dict[str, str] = field(default_factory=dict)
    """The called workflow's own `env`."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Templates over the context `jobs` of the called file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a workflow file, with its place. Lines and columns count from 1."""

    severity: str
    """`error` or `warning`."""
    message: str
    """What is wrong and what to do."""
    path: str
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    """The line itself with a caret line below it."""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)
        text = f"{place}: {self.severity}: {self.message}"
        return f"{text}\n{self.excerpt}" if self.excerpt else text


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Tests whose failure is known and passed over for a while."""

    test: str
    """A test's name; in it `*` stands for any text."""
    reason: str
    expires: str
    """The last day: `2026-12-31`."""
    owner: str | None
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One workflow for one commit and one event."""

    workflow: str
    """Its name as shown: the key `name`, else the file's name without ending, else `tests` for detection."""
    source: str
    """Path of the file in the repository, or `detected: pytest` and the like."""
    jobs: tuple[PlannedJob, ...] = ()
    """In the order of the file."""
    env: dict[str, str] = field(default_factory=dict)
    """The workflow's own `env`, for the `env` context of job keys (it is already merged into the jobs)."""
    run_name: str | None = None
    """Template."""
    concurrency: Concurrency | None = None
    calls: tuple[Call, ...] = ()
    """Workflows that were called and whose jobs stand among `jobs`, outer ones first."""
    problems: tuple[Problem, ...] = ()
    """Warnings; and errors, in which case there are no jobs and the build has failed with their text."""
    quarantine: tuple[Quarantined, ...] = ()
    """Of the commit's own `.mainstay/quarantine.yml`."""
