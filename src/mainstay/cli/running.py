"""What `mainstay run` does: chooses plans and jobs, runs them here, says how they ended."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainstay.cli import terminal
from mainstay.cli.here import Done, Here, opened
from mainstay.cli.snapshot import snapshot
from mainstay.cli.terminal import Terminal
from mainstay.cli.worktree import WorkTree
from mainstay.flow.build import fold
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.states import BuildState
from mainstay.workflow.plan import plan_of, planned, read_all
from mainstay.workflow.triggers import TriggerEvent

GREEN = frozenset({BuildState.PASSED, BuildState.ALLOWED, BuildState.SKIPPED})


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan, and which of its jobs are to run."""

    plan: Plan
    jobs: tuple[PlannedJob, ...]


def run(
    folder: Path,
    data: Path,
    *,
    workflow: str | None,
    job: str | None,
    event: str,
    dry_run: bool,
    executor: str | None,
    as_json: bool,
) -> int:
    """Run what was chosen; the exit code."""
    out = terminal.messages() if as_json else terminal.output()
    plans = _plans(WorkTree.of(folder), workflow, event)
    chosen = [Chosen(plan, _jobs(plan, job)) for plan in plans]
    chosen = [each for each in chosen if each.jobs or not job]
    if job and not chosen:
        known = ", ".join(each.key for plan in plans for each in plan.jobs)
        raise NotFound(f"there is no job {job!r}; there are {known or 'none'}.")
    if dry_run:
        return _say_what_would_run(chosen, out, as_json=as_json)
    results = asyncio.run(_run(folder, data, chosen, event, executor, out))
    if as_json:
        terminal.print_json({"items": results, "next": None})
    return 0 if all(BuildState(each["state"]) in GREEN for each in results) else 1


def _plans(files: WorkTree, workflow: str | None, event: str) -> list[Plan]:
    """The plans that the event starts, or that of the named workflow. Raises when there is none, or one is broken."""
    if workflow is not None:
        named = [each for each in read_all(files) if workflow in (each.path, Path(each.path).name, each.name)]
        if not named:
            known = ", ".join(each.path for each in read_all(files))
            raise NotFound(f"there is no workflow {workflow!r} in {files.root}; there are {known or 'none'}.")
        plans = [plan_of(each, files) for each in named]
    else:
        asked = planned(files, TriggerEvent(event, "refs/heads/main", base="main", action="synchronize"))
        plans = list(asked.plans)
        if not plans:
            reasons = "\n".join(f"  {path}: {why}" for path, why in asked.passed_over.items())
            raise NotFound(f"nothing is started by {event} in {files.root}.\n{reasons}")
    errors = [str(problem) for plan in plans for problem in plan.problems if problem.severity == "error"]
    if errors:
        raise BadInput("\n".join(errors))
    return plans


def _jobs(plan: Plan, job: str | None) -> tuple[PlannedJob, ...]:
    """All jobs of a plan, or one with all that it needs."""
    if job is None:
        return plan.jobs
    by_key = {each.key: each for each in plan.jobs}
    todo = [key for key in by_key if key == job or key.startswith(f"{job} / ")]
    wanted: set[str] = set()
    while todo:
        key = todo.pop()
        if key not in wanted and key in by_key:
            wanted.add(key)
            todo += by_key[key].needs
    return tuple(each for each in plan.jobs if each.key in wanted)


def _say_what_would_run(chosen: Sequence[Chosen], out: Terminal, *, as_json: bool) -> int:
    if as_json:
        items = [{"workflow": each.plan.workflow, "jobs": [job.key for job in each.jobs]} for each in chosen]
        terminal.print_json({"items": items, "next": None})
        return 0
    for each in chosen:
        out.line(f"{out.paint(each.plan.workflow, bold=True)}  {each.plan.source}")
        for job in each.jobs:
            out.line(f"  {job.key}" + (f"  after {', '.join(job.needs)}" if job.needs else ""))
    return 0


async def _run(
    folder: Path, data: Path, chosen: Sequence[Chosen], event: str, executor: str | None, out: Terminal
) -> list[dict[str, Any]]:
    mirrors = data / "mirrors"
    shot = await snapshot(folder, mirrors)
    out.line(f"{shot.name} at {shot.commit[:8]}" + (" (with uncommitted changes)" if shot.changed else ""))
    results = []
    async with opened(data / "runner", mirrors, executor) as machine:
        here = Here(machine, shot, data / "artifacts" / shot.name, out)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, here.stop)
        for each in chosen:
            done = await here.run(each.plan, event, each.jobs)
            state = fold(job.state for job in done)
            out.line(f"{out.state_text(state)}  {each.plan.workflow}")
            results.append(_document(each.plan, state, done))
    return results


def _document(plan: Plan, state: BuildState, done: Sequence[Done]) -> dict[str, Any]:
    return {
        "workflow": plan.workflow,
        "source": plan.source,
        "state": state.value,
        "jobs": [{**asdict(each), "state": each.state.value} for each in done],
    }
