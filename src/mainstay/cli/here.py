"""Runs the jobs of a plan on this machine, one after the other, with the runner's own parts and without a server."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mainstay.cli import terminal
from mainstay.cli.snapshot import Snapshot
from mainstay.cli.terminal import Terminal
from mainstay.model.errors import MainstayError
from mainstay.model.plan import Plan, PlannedJob
from mainstay.model.states import AttemptState, JobState, StepState
from mainstay.runner.config import Config, own_labels
from mainstay.runner.job import Ending, Job
from mainstay.runner.logfile import LogFile
from mainstay.runner.machine import Machine
from mainstay.runner.output import Output
from mainstay.runner.results import gather
from mainstay.runner.setup import close_premises, open_premises
from mainstay.runner.shelf import LocalShelf
from mainstay.wire.runner import Assignment, Source
from mainstay.workflow.contexts import Run, github, job_contexts, push_event
from mainstay.workflow.instances import JobInstance, instances

LOG_LIMIT_BYTES = 1 << 40
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Done:
    """A job that has ended; what other jobs need to know of it (`workflow.contexts.EndedJob`), and what is shown."""

    key: str
    name: str
    state: JobState
    reason: str | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, int] = field(default_factory=dict)
    steps: tuple[dict[str, Any], ...] = ()


@asynccontextmanager
async def opened(data: Path, mirrors: Path, executor: str | None) -> AsyncIterator[Machine]:
    """A runner's premises, as long as the block lasts."""
    premises = await open_premises(Config("", "", "here", data, executor=executor, mirrors=mirrors), "")
    try:
        yield premises.machine
    finally:
        await close_premises(premises)


class Here:
    """Runs plans of one snapshot. What the jobs print goes to `stream`, what is said of them to `out`."""

    def __init__(self, machine: Machine, snapshot: Snapshot, artifacts: Path, out: Terminal) -> None:
        self._machine = machine
        self._snapshot = snapshot
        self._artifacts = artifacts
        self._kept: dict[str, str] = {}
        self._shelf = LocalShelf(artifacts, self._kept)
        self._out = out
        self._stream: BinaryIO = out.stream.buffer if hasattr(out.stream, "buffer") else sys.stdout.buffer
        self._running: Job | None = None
        self._stopped = False
        self._handing: asyncio.Future[None] | None = None
        self._count = 0

    def stop(self) -> None:
        """End the running job and begin no other; a second time: at once."""
        if self._running is not None and self._stopped:
            self._handing = asyncio.ensure_future(self._running.hand_back("stopped"))
        elif self._running is not None:
            self._running.stop(AttemptState.CANCELLED, "stopped by Ctrl-C")
        self._stopped = True

    async def run(self, plan: Plan, event: str, wanted: Sequence[PlannedJob]) -> list[Done]:
        """Run these jobs of a plan in an order that respects their needs."""
        done: list[Done] = []
        left = list(wanted)
        while left:
            ended = {each.key for each in done}
            job = next(each for each in left if not any(other.key in each.needs for other in left))
            left.remove(job)
            assert ended.issuperset(key for key in job.needs if any(each.key == key for each in wanted))
            done += await self._jobs(plan, job, event, done)
        return done

    async def _jobs(self, plan: Plan, job: PlannedJob, event: str, before: list[Done]) -> list[Done]:
        """The jobs that a planned job becomes, run."""
        if self._stopped:
            return [Done(job.key, job.name or job.key, JobState.CANCELLED, "stopped by Ctrl-C")]
        try:
            known = job_contexts(plan, job, self._base(plan, event), before, cancelled=self._stopped)
            expanded = instances(job, known)
        except MainstayError as error:
            return [self._tell(Done(job.key, job.name or job.key, JobState.FAILED, error.message))]
        return [self._tell(await self._one(job, each, known.values)) for each in expanded]

    async def _one(self, job: PlannedJob, each: JobInstance, values: dict[str, Any]) -> Done:
        if each.skipped is not None:
            return Done(each.key, each.name, JobState.SKIPPED, each.skipped)
        missing = sorted(set(each.labels) - set(own_labels()))
        if each.neutral is not None or missing:
            reason = each.neutral or each.elsewhere or f"this machine is no {', '.join(missing)}"
            return Done(each.key, each.name, JobState.NEUTRAL, reason)
        if job.container is not None or job.services:
            return Done(each.key, each.name, JobState.NEUTRAL, "it asks for containers, and there are none here")
        self._count += 1
        own = {"github": values["github"] | {"job": job.key}, "strategy": each.strategy, "matrix": each.matrix}
        assignment = Assignment(
            attempt=self._count,
            job=self._count,
            number=1,
            build=1,
            build_number=1,
            url="",
            source=self._source(),
            plan=job,
            name=each.name,
            matrix=each.matrix,
            contexts=values | own,
            time_limit_s=each.time_limit_s,
            allowed_to_fail=each.allowed_to_fail,
        )
        return await self._attempt(assignment)

    async def _attempt(self, assignment: Assignment) -> Done:
        self._out.line(f"{self._out.glyph('running')} {self._out.paint(assignment.name, bold=True)}")
        with tempfile.TemporaryDirectory(prefix="mainstay-run-") as folder:
            log = LogFile(Path(folder))
            shown = _Shown(log, self._stream)
            machine = self._machine
            output = Output(
                machine.capture, machine.threads, log, LOG_LIMIT_BYTES, (), lambda: shown.upto(output.ready_bytes)
            )
            steps = _Steps(self._out)
            job = Job(assignment, machine, output, lambda it: steps.tell(it, shown, output), self._keep, self._shelf)
            self._running = job
            try:
                ending = await job.run()
                steps.tell(job, shown, output)
                tests = await machine.threads.run(
                    gather, job.tests, Path(folder, "tests"), output.reading.masked, job.reported
                )
            finally:
                self._running = None
                await job.tidy()
                log.close()
        return self._done(assignment, ending, tests)

    def _done(self, assignment: Assignment, ending: Ending, tests: dict[str, int]) -> Done:
        state = {
            AttemptState.PASSED: JobState.PASSED,
            AttemptState.CANCELLED: JobState.CANCELLED,
            AttemptState.LOST: JobState.CANCELLED,
        }.get(ending.state, JobState.ALLOWED if assignment.allowed_to_fail else JobState.FAILED)
        steps = tuple(
            {"number": step.number, "name": step.name, "state": step.state.value, "exit_code": step.exit_code}
            for step in ending.steps
        )
        key = assignment.plan.key
        return Done(key, assignment.name, state, ending.reason, ending.outputs or {}, tests, steps)

    def _tell(self, done: Done) -> Done:
        tests = ", ".join(f"{count} {kind}" for kind, count in done.tests.items() if count)
        parts = (self._out.state_text(done.state), self._out.paint(done.name, bold=True), tests, done.reason or "")
        self._out.line("  ".join(part for part in parts if part))
        self._out.line()
        return done

    def _source(self) -> Source:
        shot = self._snapshot
        return Source(shot.name, shot.id, "", "", shot.commit, shot.tree, shot.ref)

    def _base(self, plan: Plan, event: str) -> dict[str, Any]:
        shot = self._snapshot
        head = {"id": shot.commit, "tree_id": shot.tree, "message": "", "author": {}}
        payload = push_event(ref=shot.ref, before=None, after=shot.commit, head_commit=head, repository=shot.name)
        run = Run(
            event_name=event,
            sha=shot.commit,
            ref=shot.ref,
            repository=shot.name,
            workflow=plan.workflow,
            workflow_path=plan.source,
            run_id="1",
            run_number="1",
            event=payload,
        )
        return {"github": github(run), "inputs": {}, "vars": {}, "secrets": {}}

    async def _keep(
        self, name: str, zip_file: Callable[[Path], None], retention_days: int | None, kind: str = "artifact"
    ) -> None:
        """`runner.actions.call.Keep`: artifacts of all kinds are left in a folder."""
        del retention_days  # Nothing is deleted here.
        self._artifacts.mkdir(parents=True, exist_ok=True)
        file = self._artifacts / f"{name}.zip"
        file.unlink(missing_ok=True)
        await self._machine.threads.run(zip_file, file)
        self._kept[name] = kind
        self._out.line(f"kept {file}")


@dataclass(slots=True)
class _Shown:
    """How much of a log was shown."""

    log: LogFile
    stream: BinaryIO
    offset: int = 0
    is_broken: bool = True
    """Whether the last line that was shown is whole."""

    def upto(self, ready: int) -> None:
        """Show what came since, up to the place that is ready."""
        with suppress(BrokenPipeError):
            while self.offset < ready:
                data = self.log.read(self.offset, min(READ_BYTES, ready - self.offset))
                if not data:
                    break
                self.stream.write(data)
                self.offset += len(data)
                self.is_broken = data.endswith(b"\n")
            self.stream.flush()

    def end_line(self) -> None:
        """Let what is said next stand on a line of its own."""
        if not self.is_broken:
            self.stream.write(b"\n")
            self.stream.flush()
        self.is_broken = True


@dataclass(slots=True)
class _Steps:
    """Says when a step begins, and how each ended that did not pass."""

    out: Terminal
    begun: int = 0
    ended: int = 0

    def tell(self, job: Job, shown: _Shown, output: Output) -> None:
        """The steps have changed."""
        for step in job.steps:
            if step.number > self.ended and step.state not in (StepState.RUNNING, StepState.PENDING):
                shown.upto(output.ready_bytes)
                shown.end_line()
                self.ended = self.begun = step.number
                took = ""
                if step.started_at and step.finished_at:
                    took = terminal.duration((step.finished_at - step.started_at).total_seconds())
                words = f"  {self.out.glyph(step.state)} {step.name}  {self.out.faint(took)}"
                self.out.line(words + (f"  {step.reason}" if step.reason else ""))
            elif step.number > self.begun:
                shown.upto(output.ready_bytes)
                shown.end_line()
                self.begun = step.number
                self.out.line(f"  {self.out.glyph('running')} {step.name}")
