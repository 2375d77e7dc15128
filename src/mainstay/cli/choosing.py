"""What `mainstay run` is to run: which workflows, which of their jobs, started by what, with which inputs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mainstay.cli.worktree import WorkTree
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.plan import Json, Plan, PlannedJob
from mainstay.workflow.contexts import SEPARATOR
from mainstay.workflow.detect import detect
from mainstay.workflow.expressions import Scope
from mainstay.workflow.expressions.values import to_text
from mainstay.workflow.inputs import checked_inputs
from mainstay.workflow.matrix import expand
from mainstay.workflow.plan import plan_of, read_all
from mainstay.workflow.read import Workflow
from mainstay.workflow.triggers import TriggerEvent, why_not

EVENTS = ("push", "pull_request", "workflow_dispatch", "schedule")
"""In this order the first that starts anything is taken, where none is named."""
USUAL_BRANCHES = ("main", "master", "develop", "trunk")
"""A workflow for one of these is run on any other branch too: here it is asked for, not noticed."""
MAX_EVENT_BYTES = 1 << 20
SHOWN = 12
"""So many values are named in a message."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    workflow: str | None = None
    job: str | None = None
    event: str | None = None
    matrix: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    payload: Mapping[str, Json] = field(default_factory=dict)
    needs: bool = True
    """Whether what the named job needs is run before it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan, which of its jobs are to run, and what started it."""

    plan: Plan
    jobs: tuple[PlannedJob, ...]
    event: str = "push"
    inputs: Mapping[str, Json] = field(default_factory=dict)
    payload: Mapping[str, Json] = field(default_factory=dict)
    matrix: Mapping[str, str] = field(default_factory=dict)

    def keeps(self, matrix: Mapping[str, Json]) -> bool:
        """Whether a leg of a matrix is one of those that were asked for."""
        return keeps(matrix, self.matrix)


def keeps(matrix: Mapping[str, Json], asked: Mapping[str, str]) -> bool:
    """Whether nothing in a leg of a matrix speaks against what was asked for."""
    return all(key not in matrix or same(matrix[key], wanted) for key, wanted in asked.items())


def same(value: Json, written: str) -> bool:
    """Whether a value of a matrix is the one that is written on the command line (or by the page of a build)."""
    if isinstance(value, bool):
        return written.lower() == to_text(value)
    if isinstance(value, dict | list):
        # The page of a build writes JSON; people write what tells the leg from the others.
        if any(same(part, written) for part in (value.values() if isinstance(value, dict) else value)):
            return True
        try:
            return bool(json.loads(written) == value)
        except ValueError:
            return False
    return to_text(value) == written


def choose(files: WorkTree, asked: Asked) -> list[Chosen]:
    """The plans to run, at least one. Raises NotFound when there is none, BadInput when a file or a value is wrong."""
    event, workflows = _workflows(files, asked)
    plans = [plan_of(each, files) for each in workflows] if workflows else [detect(files)]
    errors = [str(problem) for plan in plans for problem in plan.problems if problem.severity == "error"]
    if errors:
        raise BadInput("\n".join(errors))
    inputs = [_inputs(each, event, asked.inputs) for each in workflows] or [{}]
    every = zip(plans, inputs, strict=True)
    chosen = [Chosen(plan, _jobs(plan, asked), event, given, asked.payload, asked.matrix) for plan, given in every]
    chosen = [each for each in chosen if each.jobs or not asked.job]
    if asked.job and not chosen:
        if any(_jobs(plan, replace(asked, matrix={})) for plan in plans):
            words = ", ".join(f"{key}={value}" for key, value in asked.matrix.items())
            raise NotFound(f"no leg of {asked.job!r} has {words} in its matrix.")
        known = ", ".join(each.key for plan in plans for each in plan.jobs)
        raise NotFound(f"there is no job {asked.job!r}; there are {known or 'none'}.")
    _check_matrix(chosen, asked)
    return chosen


def read_payload(path: Path | None) -> dict[str, Json]:
    """The file of `--event-file`. Raises BadInput."""
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            data = file.read(MAX_EVENT_BYTES + 1)
        document = json.loads(data) if len(data) <= MAX_EVENT_BYTES else None
    except OSError as error:
        raise BadInput(f"the event file {path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the event file {path} is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadInput(f"the event file {path} must hold one JSON object, of 1 MiB at most: the payload of the event.")
    return document


def _workflows(files: WorkTree, asked: Asked) -> tuple[str, list[Workflow]]:
    """The event, and the workflows that it starts. None of the latter: there are no files, so detection decides."""
    known = read_all(files)
    if asked.workflow is not None:
        name = asked.workflow.removeprefix("./")
        named = [each for each in known if name in (each.path, Path(each.path).name, each.name)]
        if not named:
            paths = ", ".join(each.path for each in known)
            raise NotFound(f"there is no workflow {asked.workflow!r} in {files.root}; there are {paths or 'none'}.")
        offered = {name for each in named for name in each.triggers.names}
        usual = "workflow_dispatch" if asked.inputs else next((event for event in EVENTS if event in offered), "push")
        return asked.event or usual, named
    if not known:
        return asked.event or "push", []
    wanted = (asked.event,) if asked.event else ("workflow_dispatch",) if asked.inputs else EVENTS
    refusals: dict[str, str] = {}
    for event in wanted:
        started = []
        for each in known:
            why = _refusal(files, each, event)
            if why is None:
                started.append(each)
            else:
                refusals.setdefault(each.path, why)
        if started:
            return event, started
    reasons = "\n".join(f"  {path}: {why}" for path, why in refusals.items())
    hint = "Name one with --workflow FILE to run it whatever starts it."
    raise NotFound(f"nothing is started by {wanted[0]} in {files.root}.\n{reasons}\n{hint}")


def _refusal(files: WorkTree, workflow: Workflow, event: str) -> str | None:
    """Why an event does not start a workflow, on whichever usual branch; whoever broke a file must see it."""
    if workflow.broken and not workflow.triggers.names:
        return None
    branches = dict.fromkeys(branch for branch in (files.branch, files.main, *USUAL_BRANCHES) if branch)
    refusals = [
        why_not(workflow.triggers, TriggerEvent(event, f"refs/heads/{branch}", base=branch, action="synchronize"))
        for branch in branches
    ]
    return None if None in refusals else refusals[0]


def _inputs(workflow: Workflow, event: str, given: Mapping[str, str]) -> dict[str, Json]:
    """The `inputs` context, typed as the file declares them; a file that is only called has inputs too."""
    triggers = workflow.triggers
    declared = triggers.dispatch if event == "workflow_dispatch" or given else None
    if declared is None and triggers.call is not None and triggers.dispatch is None:
        declared = triggers.call.inputs
    if declared is None:
        if given:
            raise BadInput(f"{workflow.path} takes no inputs: it has neither workflow_dispatch nor workflow_call.")
        return {}
    try:
        return checked_inputs(declared, given)
    except BadInput as error:
        raise BadInput(f"{workflow.path}: {error.message}. Give it with --input NAME=VALUE.") from None


def _jobs(plan: Plan, asked: Asked) -> tuple[PlannedJob, ...]:
    """All jobs of a plan, or one with all that it needs; of a call with a matrix, the legs that were asked for."""
    other = {call.key for call in plan.calls if not keeps(call.matrix, asked.matrix)}
    other |= {call.key for call in plan.calls if call.within in other}  # outer ones come first
    if asked.job is None:
        return tuple(each for each in plan.jobs if each.call not in other)
    by_key = {each.key: each for each in plan.jobs}
    named = [each for each in plan.jobs if asked.job in (each.key, each.name)]
    called = tuple(call.key + SEPARATOR for call in plan.calls if asked.job in (call.key, call.written))
    todo = [each.key for each in named] or [key for key in by_key if key.startswith(called)]
    wanted: set[str] = set()
    while todo:
        key = todo.pop()
        if key not in wanted and key in by_key:
            wanted.add(key)
            todo += by_key[key].needs if asked.needs else ()
    return tuple(each for each in plan.jobs if each.key in wanted and each.call not in other)


def _check_matrix(chosen: list[Chosen], asked: Asked) -> None:
    """Every `--matrix KEY=VALUE` must be there in some matrix, as far as they are known before anything runs."""
    known = [_known_legs(job) for each in chosen for job in each.jobs if job.matrix is not None]
    legs = [leg for each in known for leg in each] + [call.matrix for each in chosen for call in each.plan.calls]
    unknown = not all(known)
    for key, wanted in asked.matrix.items():
        values = list(dict.fromkeys(_shown(leg[key]) for leg in legs if key in leg))
        if unknown or any(key in leg and same(leg[key], wanted) for leg in legs):
            continue
        if not values:
            keys = ", ".join(dict.fromkeys(key for leg in legs for key in leg)) or "none"
            raise NotFound(f"no job that was asked for has {key!r} in its matrix; there are {keys}.")
        more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
        raise NotFound(f"there is no {key}={wanted} in a matrix; {key} is one of {', '.join(values[:SHOWN])}{more}.")


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else to_text(value)


def _known_legs(job: PlannedJob) -> list[dict[str, Json]]:
    """The legs of a matrix that is written without expressions; none of one with them."""
    try:
        return expand(job.matrix, Scope()) if job.matrix is not None else []
    except BadInput:
        return []
