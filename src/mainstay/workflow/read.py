"""One workflow file: bytes -> its triggers, jobs and all of its problems."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath

from mainstay.model.plan import Concurrency, PlannedJob, Problem
from mainstay.workflow import yaml
from mainstay.workflow.jobs import (
    CallingJob,
    read_concurrency,
    read_defaults,
    read_jobs,
    read_permissions,
)
from mainstay.workflow.problems import Problems
from mainstay.workflow.reading import Reading
from mainstay.workflow.triggers import Triggers, read_triggers

KEYS = ("name", "run-name", "on", "permissions", "env", "defaults", "concurrency", "jobs")


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow file that was read. With an error among its problems it has no jobs."""

    path: str
    name: str
    """The key `name`, else the file's name without ending."""
    triggers: Triggers = field(default_factory=Triggers)
    jobs: tuple[PlannedJob | CallingJob, ...] = ()
    run_name: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    concurrency: Concurrency | None = None
    permissions: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    data: bytes = field(default=b"", repr=False)
    """The file itself."""

    @property
    def broken(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)


@lru_cache(maxsize=128)
def read_workflow(path: str, data: bytes, *, ours: bool) -> Workflow:
    """Read a workflow file. Never raises: whatever is wrong is in its problems. The last files read are remembered."""
    name = PurePosixPath(path).stem
    lines: list[str] = []
    try:
        text = yaml.read_text(data)
        lines = text.split("\n")
        document = yaml.parse(text)
    except yaml.BrokenYaml as error:
        problems = Problems(path, lines or data[: yaml.MAX_BYTES].decode("utf-8", "replace").splitlines())
        problems.add("error", error.message, error.line, error.column)
        return Workflow(path, name, problems=problems.all(), data=data)
    problems = Problems(path, document.lines)
    for second, first in document.doubles:
        problems.error(second, f'the key "{second.text[:80]}" stands twice (first in line {first.line})')
    return _workflow(Reading(problems, ours=ours), document.root, name, data)


def _workflow(reading: Reading, root: yaml.Node, name: str, data: bytes) -> Workflow:
    problems = reading.problems
    found = reading.mapping(root, "a workflow", KEYS)
    if found is None:
        return Workflow(problems.path, name, problems=problems.all(), data=data)
    entries = found.entries
    for needed, example in (("on", "on: push"), ("jobs", "jobs: ...")):
        if needed not in entries:
            problems.error(found, f'the key "{needed}" is missing: a workflow needs {example}')
    env = reading.templates(entries.get("env"), "env", '"env"')
    permissions = read_permissions(reading, entries["permissions"]) if "permissions" in entries else {}
    triggers = read_triggers(reading, entries["on"]) if "on" in entries else Triggers()
    defaults = read_defaults(reading, entries.get("defaults"))
    jobs = read_jobs(reading, entries["jobs"], env, defaults, permissions) if "jobs" in entries else ()
    run_name = reading.template(entries.get("run-name"), "run-name", '"run-name"')
    shown = reading.text(entries.get("name"), '"name"') or name
    concurrency = read_concurrency(reading, entries.get("concurrency"), "concurrency")
    return Workflow(
        path=problems.path,
        name=shown,
        triggers=triggers,
        jobs=() if problems.failed else jobs,
        run_name=run_name,
        env=env,
        concurrency=concurrency,
        permissions=permissions,
        problems=problems.all(),
        data=data,
    )
