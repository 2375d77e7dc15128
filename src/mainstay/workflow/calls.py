"""Workflows that call others: the jobs of the called file take the calling job's place, their keys begin `CALLER / `.

Everything is known when the files are read but the values of inputs, so it is done then: a plan has plain jobs only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mainstay.model.errors import BadInput
from mainstay.model.plan import Call, Json, PlannedJob, Problem
from mainstay.workflow.contexts import SEPARATOR
from mainstay.workflow.expressions import ExpressionError, Scope
from mainstay.workflow.files import Files
from mainstay.workflow.inputs import EMPTY, Input, typed
from mainstay.workflow.jobs import CallingJob
from mainstay.workflow.matrix import Combination, combinations, job_name
from mainstay.workflow.problems import Problems, suggestion
from mainstay.workflow.read import Workflow, read_workflow
from mainstay.workflow.triggers import CallTrigger

MAX_LEVELS = 4
"""Files in a chain of calls, the first one included, as on GitHub."""
MAX_JOBS = 1000
"""Planned jobs of one plan, with all called ones."""


@dataclass(slots=True)
class _Level:
    """The jobs of one file at one place, before their needs are turned into keys of the plan."""

    call: Call | None
    jobs: list[PlannedJob] = field(default_factory=list)
    calls: dict[str, list["_Level"]] = field(default_factory=dict)
    """By the key as written, one per combination of the calling job's matrix."""
    order: list[str] = field(default_factory=list)

    def all_keys(self) -> Iterator[str]:
        for job in self.jobs:
            yield job.key
        for levels in self.calls.values():
            for level in levels:
                yield from level.all_keys()


@dataclass(frozen=True, slots=True)
class Called:
    """A workflow with everything that it calls in place."""

    jobs: tuple[PlannedJob, ...]
    calls: tuple[Call, ...]
    problems: tuple[Problem, ...]


def with_calls(workflow: Workflow, files: Files) -> Called:
    """The jobs of a workflow, those of called workflows included, and the problems of all of these files."""
    if all(isinstance(job, PlannedJob) for job in workflow.jobs):
        return Called(tuple(job for job in workflow.jobs if isinstance(job, PlannedJob)), (), workflow.problems)
    inlining = _Inlining(files)
    level = inlining.level(workflow, None, (workflow.path,))
    jobs = tuple(_flattened(level, ()))
    return Called(jobs, tuple(inlining.calls), (*workflow.problems, *dict.fromkeys(inlining.problems)))


def _flattened(level: _Level, inherited: tuple[str, ...]) -> Iterator[PlannedJob]:
    """The jobs with needs as keys of the plan. What has no needs in a called file waits for what its caller needs."""
    prefix = level.call.key + SEPARATOR if level.call else ""

    def keys(names: tuple[str, ...]) -> tuple[str, ...]:
        found: list[str] = []
        for name in names:
            found += (
                [key for inner in level.calls[name] for key in inner.all_keys()]
                if name in level.calls
                else [prefix + name]
            )
        return tuple(found)

    by_key = {job.key: job for job in level.jobs}
    for name in level.order:
        if name in level.calls:
            for inner in level.calls[name]:
                yield from _flattened(inner, keys(inner.call.needs if inner.call else ()) or inherited)
        else:
            job = by_key[prefix + name]
            yield replace(job, needs=keys(job.needs) or inherited)


class _Inlining:
    """Collects what is found while files call files."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.calls: list[Call] = []
        self.problems: list[Problem] = []
        self.jobs = 0

    def level(self, workflow: Workflow, call: Call | None, chain: tuple[str, ...]) -> _Level:
        level = _Level(call)
        prefix = call.key + SEPARATOR if call else ""
        problems = Problems(workflow.path, workflow.data.decode("utf-8-sig", "replace").splitlines())
        for job in workflow.jobs:
            self.jobs += 1
            if self.jobs > MAX_JOBS:
                problems.add("error", f"with the workflows it calls it has more than {MAX_JOBS} jobs", job.line or 1, 1)
                break
            level.order.append(job.key)
            if isinstance(job, PlannedJob):
                level.jobs.append(replace(job, key=prefix + job.key, call=call.key if call else None))
                continue
            called = self.called(job, chain, problems)
            if called is None:
                level.jobs.append(_not_called(job, call, prefix))
            else:
                level.calls[job.key] = list(self.levels(job, called, call, chain, problems))
        self.problems += problems.all()
        return level

    def called(self, job: CallingJob, chain: tuple[str, ...], problems: Problems) -> Workflow | None:
        """The called file. None: it cannot be called, and why is noted."""
        path = job.uses.removeprefix("./")
        if not job.uses.startswith("./"):
            message = (
                f'the job "{job.key}" calls a workflow of another repository, which is not run here ({job.uses[:100]})'
            )
            problems.add("warning", message + ": copy it into this repository", job.line, job.column)
            return None
        if path in chain:
            problems.add(
                "error", f"workflows call each other in a circle: {' -> '.join((*chain, path))}", job.line, job.column
            )
            return None
        if len(chain) >= MAX_LEVELS:
            problems.add("error", f"workflows call each other more than {MAX_LEVELS} levels deep", job.line, job.column)
            return None
        data = self.files.read(path) if ".." not in path.split("/") else None
        if data is None:
            problems.add(
                "error", f'the job "{job.key}" calls {path[:200]}, and there is no such file', job.line, job.column
            )
            return None
        workflow = read_workflow(path, data, ours=path.startswith(".mainstay/"))
        self.problems += workflow.problems
        if workflow.broken:
            problems.add("error", f'the job "{job.key}" calls {path}, which has errors', job.line, job.column)
            return None
        if workflow.triggers.call is None:
            message = f'the job "{job.key}" calls {path}, whose "on" does not name workflow_call'
            problems.add("error", message, job.line, job.column)
            return None
        if job.concurrency is not None:
            message = '"concurrency" of a job that calls a workflow is left out; give it to the jobs of the called file'
            problems.add("warning", message, job.line, job.column)
        return workflow

    def levels(
        self, job: CallingJob, workflow: Workflow, outer: Call | None, chain: tuple[str, ...], problems: Problems
    ) -> Iterator[_Level]:
        """The called file once per combination of the calling job's matrix."""
        declared = workflow.triggers.call or CallTrigger()
        inputs = _inputs(job, declared.inputs, problems)
        _check_secrets(job, declared.secrets, problems)
        for combination in _combinations(job, problems):
            key = job_name(job.key, combination.shown)
            call = Call(
                key=f"{outer.key}{SEPARATOR}{key}" if outer else key,
                written=job.key,
                source=workflow.path,
                name=job.name,
                within=outer.key if outer else None,
                needs=job.needs,
                condition=job.condition,
                matrix=combination.values,
                inputs=inputs,
                input_types={name: each.type for name, each in declared.inputs.items()},
                secrets=job.secrets,
                env=workflow.env,
                outputs=declared.outputs,
            )
            self.calls.append(call)
            yield self.level(workflow, call, (*chain, workflow.path))


def _not_called(job: CallingJob, outer: Call | None, prefix: str) -> PlannedJob:
    """What stands in the plan in place of a workflow that cannot be called."""
    return PlannedJob(
        key=prefix + job.key,
        name=job.name if job.name and "${{" not in job.name else None,
        needs=job.needs,
        condition=job.condition,
        line=job.line,
        call=outer.key if outer else None,
        unsupported=f"it calls {job.uses[:200]}, a workflow that cannot be run here",
    )


def _combinations(job: CallingJob, problems: Problems) -> list[Combination]:
    if job.matrix is None:
        return [Combination({}, ())]
    try:
        return combinations(job.matrix, Scope())
    except ExpressionError:
        message = f'the matrix of "{job.key}" must be plain values, because the job calls a workflow'
    except BadInput as error:
        message = error.message
    problems.add("error", message, job.line, job.column)
    return []


def _inputs(job: CallingJob, declared: Mapping[str, Input], problems: Problems) -> dict[str, Json]:
    """Given values and defaults. Expressions are evaluated, and typed, when the caller's needs have ended."""
    values: dict[str, Json] = {}
    for name, given in job.inputs.items():
        if name not in declared:
            problems.error(given, f'{job.uses} has no input "{name[:50]}"' + suggestion(name, declared))
    for name, each in declared.items():
        if name not in job.inputs:
            if each.required:
                problems.add("error", f'{job.uses} needs the input "{name}"', job.line, job.column)
            values[name] = each.default if each.default is not None else EMPTY.get(each.type, "")
            continue
        given = job.inputs[name]
        if "${{" in given.text:
            values[name] = given.text
            continue
        try:
            values[name] = typed(name, each, given.text if each.type == "string" else given.value)
        except BadInput as error:
            problems.error(given, error.message)
    return values


def _check_secrets(job: CallingJob, declared: Mapping[str, bool], problems: Problems) -> None:
    for name, required in declared.items():
        if required and job.secrets is not None and name not in job.secrets:
            problems.add("error", f'{job.uses} needs the secret "{name}"', job.line, job.column)
    for name in job.secrets or ():
        if name not in declared:
            message = f'{job.uses} has no secret "{name[:50]}"' + suggestion(name, declared)
            problems.add("error", message, job.line, job.column)
