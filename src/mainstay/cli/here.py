"""Runs the jobs of plans on this machine, with the runner's own parts and without a server."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mainstay.cli import terminal
from mainstay.cli.choosing import Chosen
from mainstay.cli.facts import Facts, base_contexts
from mainstay.cli.showing import Shown
from mainstay.cli.snapshot import Snapshot
from mainstay.model.errors import Conflict, MainstayError
from mainstay.model.plan import PlannedJob
from mainstay.model.states import AttemptState, JobState
from mainstay.runner.config import Config, own_labels
from mainstay.runner.contexts import masks
from mainstay.runner.job import Ending, Job
from mainstay.runner.local_shelf import LocalShelf
from mainstay.runner.logfile import LogFile
from mainstay.runner.machine import Machine
from mainstay.runner.output import Output
from mainstay.runner.results import gather
from mainstay.runner.setup import close_premises, open_premises
from mainstay.wire.runner import Assignment, Source
from mainstay.workflow.contexts import job_contexts
from mainstay.workflow.instances import JobInstance, instances

LOG_LIMIT_BYTES = 1 << 40
READ_BYTES = 1 << 20
STOPPED = "stopped by Ctrl-C"
MOST_PREMISES = 8
"""So many `mainstay run` may be at work at once on one data folder."""


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
    matrix: Mapping[str, Any] = field(default_factory=dict)
    duration_s: float | None = None
    log: str | None = None
    """The file with all that it printed."""


@asynccontextmanager
async def opened(data: Path, mirrors: Path, means: Mapping[str, Any], capacity: int) -> AsyncIterator[Machine]:
    """A runner's premises, as long as the block lasts: those of `data`, or beside it where another run has them."""
    for number in range(1, MOST_PREMISES + 1):
        place = data if number == 1 else data.with_name(f"{data.name}-{number}")
        try:
            config = Config("", "", "here", place, capacity=capacity, mirrors=mirrors, **means)
            premises = await open_premises(config, "")
        except Conflict:
            if number == MOST_PREMISES:
                raise
            continue
        break
    try:
        yield premises.machine
    finally:
        await close_premises(premises)


@dataclass(slots=True)
class _Build:
    """One plan being run."""

    chosen: Chosen
    shelf: LocalShelf
    done: list[Done] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[list[Done]]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    left: dict[str, int] = field(default_factory=dict)
    """Of jobs that were expanded: how many of their legs have not ended."""

    def alone(self, key: str) -> bool:
        """Whether nothing can run beside this job until it has ended."""
        ready = [
            job.key for job in self.chosen.jobs if job.key not in self.ended and self.ended.issuperset(self.needs(job))
        ]
        return ready == [key] and self.left.get(key) == 1

    def assumed(self) -> list[Done]:
        """Jobs that are not run, because they were not asked for: they are taken to have passed."""
        return [Done(job.key, job.key, JobState.PASSED) for job in self.chosen.plan.jobs if job.key not in self.tasks]

    def needs(self, job: PlannedJob) -> list[str]:
        """Those that are run as well."""
        return [key for key in job.needs if key in self.tasks]


@dataclass(slots=True)
class _Legs:
    """The legs of one matrix while they run."""

    most: asyncio.Semaphore
    running: dict[str, Job] = field(default_factory=dict)
    failed: str | None = None
    """The one for which the others are called off."""


class Here:
    """Runs plans of one snapshot, some jobs at a time."""

    def __init__(
        self, machine: Machine, snapshot: Snapshot, facts: Facts, folder: Path, shown: Shown, parallel: int
    ) -> None:
        """`folder`: where artifacts, caches and logs are left."""
        self._machine = machine
        self._snapshot = snapshot
        self._facts = facts
        self._folder = folder
        self._shown = shown
        self._out = shown.out
        self._parallel = parallel
        self._slots = asyncio.Semaphore(parallel)
        self._groups: dict[str, asyncio.Lock] = {}
        self._builds: list[_Build] = []
        self._running: set[Job] = set()
        self._queued = 0
        self._stopped = False
        self._handing: set[asyncio.Task[None]] = set()
        self._count = 0

    def stop(self) -> None:
        """End the running jobs and begin no other; a second time: at once."""
        for job in self._running:
            if self._stopped:
                self._handing.add(asyncio.get_running_loop().create_task(job.hand_back("stopped")))
            else:
                job.stop(AttemptState.CANCELLED, STOPPED)
        self._stopped = True

    async def run(self, chosen: Sequence[Chosen]) -> list[list[Done]]:
        """Run the jobs of all plans, each as soon as what it needs has ended; how they ended, in the plans' order."""
        logs = self._folder / "logs"
        await self._machine.threads.run(lambda: shutil.rmtree(logs, ignore_errors=True))
        logs.mkdir(parents=True)
        for number, each in enumerate(chosen, 1):
            kept = self._folder / "artifacts" / (str(number) if len(chosen) > 1 else "")
            build = _Build(each, LocalShelf(kept, self._folder / "caches"))
            self._builds.append(build)
        for build in self._builds:
            loop = asyncio.get_running_loop()
            build.tasks.update({job.key: loop.create_task(self._planned(build, job)) for job in build.chosen.jobs})
        found = []
        for build in self._builds:
            ended = await asyncio.gather(*build.tasks.values())
            found.append([done for of_job in ended for done in of_job])
        await self._shown.close()
        return found

    async def _planned(self, build: _Build, job: PlannedJob) -> list[Done]:
        """The jobs that a planned job becomes, run once its needs have ended."""
        for key in build.needs(job):
            await build.tasks[key]
        done = await self._legs(build, job)
        build.done += done
        build.ended.add(job.key)
        return done

    async def _legs(self, build: _Build, job: PlannedJob) -> list[Done]:
        if self._stopped:
            return [Done(job.key, job.name or job.key, JobState.CANCELLED, STOPPED)]
        try:
            base = base_contexts(self._snapshot, self._facts, build.chosen)
            known = job_contexts(build.chosen.plan, job, base, [*build.done, *build.assumed()], cancelled=self._stopped)
            expanded = instances(job, known)
        except MainstayError as error:
            return [self._tell(Done(job.key, job.name or job.key, JobState.FAILED, error.message))]
        wanted = [each for each in expanded if build.chosen.keeps(each.matrix)]
        if not wanted:
            asked = ", ".join(f"{key}={value}" for key, value in build.chosen.matrix.items())
            return [self._tell(Done(job.key, job.name or job.key, JobState.FAILED, f"its matrix has no {asked}"))]
        most = job.max_parallel or len(wanted)
        legs = _Legs(asyncio.Semaphore(most))
        build.left[job.key] = len(wanted)
        return list(await asyncio.gather(*(self._leg(build, job, each, known.values, legs) for each in wanted)))

    async def _leg(
        self, build: _Build, job: PlannedJob, each: JobInstance, values: dict[str, Any], legs: _Legs
    ) -> Done:
        """One leg of a matrix: in its turn, unless another has failed."""
        group = self._groups.setdefault(each.concurrency.name, asyncio.Lock()) if each.concurrency else asyncio.Lock()
        self._queue(1)
        async with legs.most, group, self._slots:
            self._queue(-1)
            done = _not_run(each) or await self._lacks_engine(job, each)
            if done is None and legs.failed is not None:
                done = Done(each.key, each.name, JobState.CANCELLED, f"{legs.failed} failed (fail-fast)")
            if done is None and self._stopped:
                done = Done(each.key, each.name, JobState.CANCELLED, STOPPED)
            if done is None:
                live = self._parallel == 1 or (len(self._builds) == 1 and build.alone(job.key))
                done = await self._attempt(build, self._assignment(job, each, values), legs, live=live)
            if done.state is JobState.FAILED and each.strategy.get("fail-fast"):
                legs.failed = legs.failed or done.name
                for other in legs.running.values():
                    other.stop(AttemptState.CANCELLED, f"{done.name} failed (fail-fast)")
            build.left[job.key] -= 1
            return self._tell(replace(done, matrix=each.matrix))

    async def _lacks_engine(self, job: PlannedJob, each: JobInstance) -> Done | None:
        """What is known of a job that wants containers where there are none."""
        engines = self._machine.engines
        if not engines.concerns(job) or (found := await engines.get()).engine is not None:
            return None
        reason = f"it asks for containers, and none can be had here: {found.reason}"
        return Done(each.key, each.name, JobState.NEUTRAL, reason)

    def _queue(self, change: int) -> None:
        self._queued += change
        self._shown.waiting(self._queued)

    def _assignment(self, job: PlannedJob, each: JobInstance, values: dict[str, Any]) -> Assignment:
        self._count += 1
        own = {"github": values["github"] | {"job": job.key}, "strategy": each.strategy, "matrix": each.matrix}
        shot = self._snapshot
        return Assignment(
            attempt=self._count,
            job=self._count,
            number=1,
            build=1,
            build_number=1,
            url="",
            source=Source(shot.name, shot.id, "", "", shot.commit, shot.tree, shot.ref),
            plan=job,
            name=each.name,
            matrix=each.matrix,
            contexts=values | own,
            time_limit_s=each.time_limit_s,
            allowed_to_fail=each.allowed_to_fail,
        )

    async def _attempt(self, build: _Build, assignment: Assignment, legs: _Legs, *, live: bool) -> Done:
        machine, name = self._machine, assignment.name
        log_file = self._folder / "logs" / f"{assignment.attempt:03d}-{_slug(name)}.log"
        with tempfile.TemporaryDirectory(prefix="mainstay-run-") as folder:
            log = LogFile(Path(folder))
            watched = self._shown.begin(name, log, live=live)
            inside = machine.engines.container_of(assignment.plan) is not None
            output = Output(
                machine.capture,
                machine.threads,
                log,
                LOG_LIMIT_BYTES,
                masks(assignment),
                lambda: self._shown.grew(watched),
                machine.pipes / str(assignment.attempt) if inside else None,
            )
            watched.output = output

            def changed(it: Job) -> None:
                watched.steps = tuple(it.steps)
                self._shown.grew(watched)

            keep = _Keeping(machine, build.shelf, self._shown)
            job = Job(assignment, machine, output, changed, keep, build.shelf)
            self._running.add(job)
            legs.running[name] = job
            began = datetime.now(UTC)
            try:
                ending = await job.run()
                tests = await machine.threads.run(
                    gather, job.tests, Path(folder, "tests"), output.reading.masked, job.reported
                )
                await machine.threads.run(_copy, log, output.ready_bytes, log_file)
                state = _state(assignment, ending)
                self._shown.end(
                    watched,
                    ending.steps,
                    log_file,
                    failed=state in (JobState.FAILED, JobState.ALLOWED, JobState.NEUTRAL),
                )
            finally:
                self._running.discard(job)
                legs.running.pop(name, None)
                await job.tidy()
                log.close()
        return _done(assignment, ending, tests.counts, (datetime.now(UTC) - began).total_seconds(), log_file)

    def _tell(self, done: Done) -> Done:
        out = self._out
        tests = ", ".join(f"{count} {kind}" for kind, count in done.tests.items() if count)
        took = out.faint(terminal.duration(done.duration_s)) if done.duration_s is not None else ""
        parts = (out.state_text(done.state), out.paint(done.name, bold=True), tests, done.reason or "", took)
        self._shown.say("  ".join(part for part in parts if part))
        return done


@dataclass(frozen=True, slots=True)
class _Keeping:
    """`runner.actions.call.Keep`: artifacts of all kinds are left in a folder."""

    machine: Machine
    shelf: LocalShelf
    shown: Shown

    async def __call__(
        self, name: str, zip_file: Callable[[Path], None], retention_days: int | None, kind: str = "artifact"
    ) -> None:
        del retention_days  # Nothing is deleted here.
        file = await self.machine.threads.run(self.shelf.keep, name, zip_file, kind)
        self.shown.say(f"kept {file}")


def _not_run(each: JobInstance) -> Done | None:
    """What is known of a job that is not run here; None: it is."""
    if each.skipped is not None:
        return Done(each.key, each.name, JobState.SKIPPED, each.skipped)
    missing = sorted(set(each.labels) - set(own_labels()))
    if each.neutral is not None or missing:
        reason = each.neutral or each.elsewhere or f"this machine is no {', '.join(missing)}"
        return Done(each.key, each.name, JobState.NEUTRAL, reason)
    return None


def _state(assignment: Assignment, ending: Ending) -> JobState:
    known = {
        AttemptState.PASSED: JobState.PASSED,
        AttemptState.NEUTRAL: JobState.NEUTRAL,
        AttemptState.CANCELLED: JobState.CANCELLED,
        AttemptState.LOST: JobState.CANCELLED,
    }
    return known.get(ending.state, JobState.ALLOWED if assignment.allowed_to_fail else JobState.FAILED)


def _done(assignment: Assignment, ending: Ending, tests: Mapping[str, int], duration_s: float, log_file: Path) -> Done:
    steps = tuple(
        {"number": step.number, "name": step.name, "state": step.state.value, "exit_code": step.exit_code}
        for step in ending.steps
    )
    return Done(
        key=assignment.plan.key,
        name=assignment.name,
        state=_state(assignment, ending),
        reason=ending.reason,
        outputs=ending.outputs or {},
        tests=tests,
        steps=steps,
        duration_s=round(duration_s, 3),
        log=str(log_file),
    )


def _copy(log: LogFile, size: int, target: Path) -> None:
    """All that the job printed, secrets hidden, as a file to read later."""
    offset = 0
    with target.open("wb") as file:
        while offset < size:
            data = log.read(offset, min(READ_BYTES, size - offset))
            if not data:
                break
            file.write(data)
            offset += len(data)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:80] or "job"
