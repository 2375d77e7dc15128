"""From the files of a commit and an event to its plans: `.mainstay/`, else `.github/workflows/`, else detection."""

import re
from dataclasses import dataclass, field, replace

from mainstay.model.plan import Plan, Problem
from mainstay.model.repository import tag_of
from mainstay.workflow import quarantine
from mainstay.workflow.calls import with_calls
from mainstay.workflow.detect import detect
from mainstay.workflow.files import Files
from mainstay.workflow.read import Workflow, read_workflow
from mainstay.workflow.triggers import TriggerEvent, why_not

OURS = re.compile(r"\.mainstay/(?!quarantine\.)[^/]+\.ya?ml\Z")
GITHUBS = re.compile(r"\.github/workflows/[^/]+\.ya?ml\Z")
MAX_FILES = 100
"""Workflow files of one commit that are read."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What an event asks for."""

    plans: tuple[Plan, ...] = ()
    passed_over: dict[str, str] = field(default_factory=dict)
    """Path of each workflow that the event does not start, and why, in words."""


def workflow_paths(files: Files) -> tuple[str, ...]:
    """The workflow files that count, in the order of their names. Empty: there are none, so detection decides."""
    paths = files.paths()
    for pattern in (OURS, GITHUBS):
        found = sorted(path for path in paths if pattern.match(path))
        if found:
            return tuple(found)
    return ()


def read_all(files: Files) -> list[Workflow]:
    """Every workflow file, broken ones included; `MAX_FILES` at most."""
    found = []
    for path in workflow_paths(files)[:MAX_FILES]:
        data = files.read(path)
        if data is None:
            problem = Problem("error", "this file cannot be read: it is no regular file, or far too large", path)
            found.append(Workflow(path, path, problems=(problem,)))
        else:
            found.append(read_workflow(path, data, ours=OURS.match(path) is not None))
    return found


def planned(files: Files, event: TriggerEvent) -> Planned:
    """The plans of all workflows that `event` starts, and why the others are not started."""
    found = _planned(files, event)
    known = quarantine.of_files(files)
    if known == quarantine.Quarantine():
        return found
    return replace(found, plans=tuple(_with_quarantine(plan, known) for plan in found.plans))


def _with_quarantine(plan: Plan, known: quarantine.Quarantine) -> Plan:
    """The plan with the tests in quarantine; with nothing to run where that cannot be read."""
    problems = (*plan.problems, *known.problems)
    if known.broken:
        return replace(plan, jobs=(), calls=(), problems=problems)
    return replace(plan, problems=problems, quarantine=known.entries)


def _planned(files: Files, event: TriggerEvent) -> Planned:
    workflows = read_all(files)
    if not workflows:
        return _detected(files, event)
    plans: list[Plan] = []
    passed_over: dict[str, str] = {}
    for workflow in workflows:
        refused = why_not(workflow.triggers, event)
        if workflow.broken and (not workflow.triggers.names or refused is None):
            # Whoever broke it must see it, even where its triggers cannot be read.
            plans.append(Plan(workflow.name, workflow.path, problems=workflow.problems))
        elif refused is not None:
            passed_over[workflow.path] = refused
        else:
            plans.append(plan_of(workflow, files))
    return Planned(tuple(plans), passed_over)


def plans_for(files: Files, event: TriggerEvent) -> list[Plan]:
    """The plans of all workflows that `event` starts, in the order of their file names."""
    return list(planned(files, event).plans)


def plan_of(workflow: Workflow, files: Files) -> Plan:
    """The plan of one workflow, with the workflows that it calls in place."""
    called = with_calls(workflow, files)
    broken = any(problem.severity == "error" for problem in called.problems)
    return Plan(
        workflow=workflow.name,
        source=workflow.path,
        jobs=() if broken else called.jobs,
        env=workflow.env,
        run_name=workflow.run_name,
        concurrency=workflow.concurrency,
        calls=() if broken else called.calls,
        problems=called.problems,
    )


def _detected(files: Files, event: TriggerEvent) -> Planned:
    if event.name == "schedule" or (event.name == "push" and tag_of(event.ref) is not None):
        return Planned(
            passed_over={"detection": "without a workflow file only pushes to branches and changes are tested"}
        )
    return Planned((detect(files),))
