"""What `mainstay run` does: chooses plans and jobs, runs them here, says how they ended."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mainstay.cli import outlook, terminal
from mainstay.cli.choosing import Asked, Chosen, choose
from mainstay.cli.facts import Facts, base_contexts
from mainstay.cli.here import Done, Here, opened
from mainstay.cli.showing import Shown
from mainstay.cli.snapshot import Snapshot, snapshot
from mainstay.cli.terminal import Table, Terminal
from mainstay.cli.worktree import WorkTree
from mainstay.flow.build import fold
from mainstay.model.plan import Plan
from mainstay.model.states import BuildState

GREEN = frozenset({BuildState.PASSED, BuildState.ALLOWED, BuildState.SKIPPED})


def run(
    folder: Path,
    data: Path,
    asked: Asked,
    facts: Facts,
    *,
    parallel: int | None,
    dry_run: bool,
    means: Mapping[str, Any],
    as_json: bool,
) -> int:
    """Run what was chosen; the exit code. `means`: how, as in `runner.config.Config`."""
    out = terminal.messages() if as_json else terminal.output()
    files = WorkTree.of(folder)
    facts = Facts(files.main, facts.variables, facts.secrets)
    chosen = choose(files, asked)
    if dry_run:
        return _say_what_would_run(files, chosen, facts, out, as_json=as_json)
    work = _run(folder, data, chosen, facts, means, parallel or os.cpu_count() or 1, out)
    results = asyncio.run(work)
    if as_json:
        terminal.print_json({"items": results, "next": None})
    return 0 if all(BuildState(each["state"]) in GREEN for each in results) else 1


def _say_what_would_run(
    files: WorkTree, chosen: Sequence[Chosen], facts: Facts, out: Terminal, *, as_json: bool
) -> int:
    ref = f"refs/heads/{files.branch or files.main}"
    shot = Snapshot(0, files.root.name, "0" * 40, "0" * 40, ref, changed=False)
    found = [(each, outlook.outlooks(each, base_contexts(shot, facts, each))) for each in chosen]
    if as_json:
        items = [
            {
                "workflow": each.plan.workflow,
                "source": each.plan.source,
                "event": each.event,
                "jobs": [job.document() for job in jobs],
            }
            for each, jobs in found
        ]
        terminal.print_json({"items": items, "next": None})
        return 0
    for number, (each, jobs) in enumerate(found):
        if number:
            out.line()
        for line in outlook.lines(each, jobs, out):
            out.line(line)
    return 0


async def _run(
    folder: Path,
    data: Path,
    chosen: Sequence[Chosen],
    facts: Facts,
    means: Mapping[str, Any],
    parallel: int,
    out: Terminal,
) -> list[dict[str, Any]]:
    mirrors = data / "mirrors"
    shot = await snapshot(folder, mirrors)
    out.line(f"{shot.name} at {shot.commit[:8]}" + (" (with uncommitted changes)" if shot.changed else ""))
    async with opened(data / "runner", mirrors, means, parallel) as machine:
        here = Here(machine, shot, facts, data / "repositories" / f"{shot.name}-{shot.id:x}", Shown(out), parallel)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, here.stop)
        ended = await here.run(chosen)
    results = []
    for each, done in zip(chosen, ended, strict=True):
        state = fold(job.state for job in done)
        out.line()
        if len(done) > 1:
            for line in _summary(done, out).lines(out):
                out.line(line)
        out.line(f"{out.state_text(state)}  {each.plan.workflow}")
        results.append(_document(each.plan, state, done))
    return results


def _summary(done: Sequence[Done], out: Terminal) -> Table:
    """A line per job."""
    table = Table(("", "job", "tests", "time", ""), flexible=4, right=frozenset({3}))
    for job in done:
        tests = ", ".join(f"{count} {kind}" for kind, count in job.tests.items() if count)
        took = terminal.duration(job.duration_s) if job.duration_s is not None else ""
        table.rows.append((out.state(job.state), job.name, tests, took, job.reason or ""))
    return table


def _document(plan: Plan, state: BuildState, done: Sequence[Done]) -> dict[str, Any]:
    return {
        "workflow": plan.workflow,
        "source": plan.source,
        "state": state.value,
        "jobs": [{**asdict(each), "state": each.state.value} for each in done],
    }
