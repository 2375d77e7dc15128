"""Runs one assignment from its work tree to its end. Knows nothing of servers and delivery: see `attempt` for those."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mainstay.model.errors import MainstayError
from mainstay.model.job import Annotation, StepResult
from mainstay.model.plan import WHOLE, PlannedJob
from mainstay.model.states import AttemptState, StepState
from mainstay.runner import contexts, environment
from mainstay.runner.actions.call import Afterwards, Keep
from mainstay.runner.containers.engine import ContainerRefused
from mainstay.runner.containers.job import move
from mainstay.runner.containers.stand import Stand
from mainstay.runner.folders import COLLECT, Folders
from mainstay.runner.hashing import hash_files
from mainstay.runner.keeper import Keeper
from mainstay.runner.limits import Group, JobLimits
from mainstay.runner.machine import Machine
from mainstay.runner.output import Output
from mainstay.runner.processes import Processes
from mainstay.runner.rendering import Rendering, render_names
from mainstay.runner.reports import collect
from mainstay.runner.shelf import Shelf
from mainstay.runner.situation import Situation, Stop
from mainstay.runner.steps import Site, StepRun
from mainstay.runner.trees import Tree
from mainstay.wire.runner import Assignment, TestReport
from mainstay.workflow.expressions import SUCCESS, ExpressionError, Scope, parse_template, render

AFTER_STOP_S = 300.0
"""How long the steps that run although the job is to stop (`if: always()`) may take together, as on GitHub."""
MAX_OUTPUTS = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended."""

    state: AttemptState
    reason: str | None = None
    exit_code: int | None = None
    started_at: datetime | None = None
    commit: str | None = None
    steps: tuple[StepResult, ...] = ()
    outputs: dict[str, str] | None = None
    annotations: tuple[Annotation, ...] = ()
    summary: str | None = None


@dataclass(slots=True)
class _Place:
    """What the job was given, to be given back."""

    folders: Folders
    tree: Tree
    keeper: Keeper
    group: Group


class Job:
    """One job. `run` once, then `tidy`."""

    def __init__(
        self,
        assignment: Assignment,
        machine: Machine,
        output: Output,
        changed: Callable[["Job"], None],
        keep: Keep,
        shelf: Shelf,
    ) -> None:
        """`changed` is called when the steps have changed. `keep` takes artifacts, `shelf` gives those of others."""
        self.assignment = assignment
        self.started_at: datetime | None = None
        self.commit: str | None = None
        self.steps: list[StepResult] = []
        self._machine = machine
        self._output = output
        self._changed = changed
        self._keep = keep
        self._shelf = shelf
        self._place: _Place | None = None
        self._situation: Situation | None = None
        self._stopping = asyncio.Event()
        self._stop: Stop | None = None
        self._stopped_at = 0.0
        self._handed_back = False
        self._stand: Stand | None = None
        """Its containers, to be ended."""
        self._afterwards: list[Afterwards] = []
        self.reported: tuple[TestReport, ...] = ()
        """What its report files say of its tests (`reports.junit`)."""

    @property
    def tests(self) -> Path | None:
        """The folder where its tests reported."""
        return self._place.folders.tests if self._place else None

    def stop(self, state: AttemptState, reason: str) -> None:
        """End it early: the running step gets SIGTERM, then SIGKILL; steps that run always still do."""
        if self._stop is None:
            self._stop = Stop(state, reason)
            self._stopped_at = asyncio.get_running_loop().time()
            self._stopping.set()

    async def hand_back(self, reason: str) -> None:
        """Kill it now; another runner will take it."""
        self._handed_back = True
        self._stop = Stop(AttemptState.LOST, reason)
        self._stopping.set()
        if self._stand is not None:
            await self._stand.kill()
        if self._place is not None:
            await self._place.keeper.end()

    async def run(self) -> Ending:
        """Run it to its end. Never raises but for mistakes of ours; every process it started has ended then."""
        limit_s = self.assignment.time_limit_s
        words = f"over the job's time limit of {limit_s / 60:g} min"
        timer = asyncio.get_running_loop().call_later(limit_s, self.stop, AttemptState.TIMED_OUT, words)
        broken: str | None = None
        self.started_at = datetime.now(UTC)
        try:
            broken = await self._run()
        except OSError as error:
            broken = _disk_words(error)
        except MainstayError as error:
            broken = error.message
        finally:
            timer.cancel()
            leftovers = await self._place.keeper.end() if self._place else 0
        excess = await self._leave() or (self._place.group.excess() if self._place else None)
        with suppress(OSError):
            await self._output.close()
        return self._ending(broken or self._output.problem, leftovers, excess)

    async def tidy(self) -> None:
        """Give back the work tree and throw the folders away. Off the critical path; never raises."""
        place, self._place = self._place, None
        if place is None:
            return
        await self._machine.trees.release(place.tree)
        try:
            await self._machine.threads.run(self._machine.trash.throw, place.folders.root)
            self._machine.trash.soon()
            if not await self._machine.threads.run(place.group.remove):
                log.warning("attempt %d: its control group could not be removed yet", self.assignment.attempt)
        except OSError as error:
            log.warning("attempt %d: its folder stays: %s", self.assignment.attempt, error)

    async def _run(self) -> str | None:
        """The words that say why it is broken, or None."""
        if self.assignment.refused is not None:
            return self.assignment.refused
        if self._output.reading.refused is not None:
            return f"a secret cannot be hidden in the log, so the job was not begun: {self._output.reading.refused}"
        place = self._place = await self._open()
        if place is None:
            return None  # it was stopped meanwhile
        if self._handed_back:
            return None
        self.commit = place.tree.commit
        site = self._site(place)
        try:
            site.situation.env.update(await _job_env(self.assignment.plan, site.situation.scope()))
        except ExpressionError as error:
            self._fail(site.situation, f"env: {error}")
            return None
        if self._machine.engines.concerns(self.assignment.plan):
            moved = await self._move(site, place.folders)
            if moved is None:
                return None
            site = moved
        await self._run_steps(site)
        return None

    async def _move(self, site: Site, folders: Folders) -> Site | None:
        """The site in the job's containers; None: stopped, or they cannot be had. Raises EngineFailed, OSError."""
        self._begin_step(0, "Set up containers", await self._output.settle())
        opened = asyncio.ensure_future(move(site, folders, self._keep_stand))
        stopped = asyncio.ensure_future(self._stopping.wait())
        state, reason = StepState.FAILED, None
        try:
            await asyncio.wait((opened, stopped), return_when=asyncio.FIRST_COMPLETED)
            if opened.done():
                moved = opened.result()
                state = StepState.PASSED
                return moved
            state = StepState.CANCELLED
            return None
        except (ContainerRefused, ExpressionError) as error:
            reason = site.output.reading.masked(str(error))
            await self._output.say(f"Error: {reason}")
            site.situation.failed = True
            site.situation.remark(Annotation("error", reason))
            return None
        finally:
            stopped.cancel()
            opened.cancel()
            await asyncio.gather(opened, return_exceptions=True)
            await self._output.settle()
            self._end_step(state, reason)

    def _keep_stand(self, stand: Stand) -> None:
        self._stand = stand

    async def _leave(self) -> str | None:
        """End the job's containers. Why it was too greedy, in words; never raises."""
        if self._stand is None:
            return None
        with suppress(OSError):
            self._begin_step(len(self.assignment.plan.steps) + 1, "Stop containers", await self._output.settle())
        excess = await self._stand.close()
        with suppress(OSError):
            await self._output.settle()
            self._end_step(StepState.PASSED, None)
        return excess

    def _begin_step(self, number: int, name: str, offset: int) -> None:
        """One of the runner's own steps."""
        now = datetime.now(UTC)
        self.steps.append(StepResult(number, name, StepState.RUNNING, started_at=now, log_offset=offset))
        self._changed(self)

    def _end_step(self, state: StepState, reason: str | None) -> None:
        self.steps[-1] = replace(self.steps[-1], state=state, reason=reason, finished_at=datetime.now(UTC))
        self._changed(self)

    async def _open(self) -> _Place | None:
        """Work tree, folders, keeper: made at the same time. None: stopped before that was done."""
        machine = self._machine
        # The tree first: its git is running while the folders are made.
        tree = asyncio.ensure_future(machine.trees.acquire(self.assignment.source, machine.fetch))
        rest = asyncio.ensure_future(self._furnish())
        stopped = asyncio.ensure_future(self._stopping.wait())
        both = asyncio.gather(tree, rest)
        try:
            await asyncio.wait((both, stopped), return_when=asyncio.FIRST_COMPLETED)
            if both.done():
                got, (folders, group, keeper) = both.result()
                return _Place(folders, got, keeper, group)
            return None
        finally:
            stopped.cancel()
            if not both.done() or both.cancelled() or both.exception() is not None:
                await self._undo(tree, rest)
                await asyncio.gather(both, return_exceptions=True)  # its end is known from the two

    async def _furnish(self) -> tuple[Folders, Group, Keeper]:
        """Everything but the tree, or nothing."""
        machine, attempt = self._machine, self.assignment.attempt
        limits = self.assignment.plan.limits
        folders = Folders.make(machine.jobs, attempt)
        group: Group | None = None
        try:
            group = machine.groups.open(f"job-{attempt}", JobLimits(limits.memory_bytes, limits.processes))
            return folders, group, await machine.zygote.keeper(f"{machine.owner}:{attempt}", group)
        except BaseException:
            self._clear(folders, group)
            raise

    async def _undo(self, tree: "asyncio.Future[Tree]", rest: "asyncio.Future[tuple[Folders, Group, Keeper]]") -> None:
        """Give back what could be had of a job that does not begin."""
        for each in (tree, rest):
            each.cancel()
        await asyncio.gather(tree, rest, return_exceptions=True)
        if not rest.cancelled() and rest.exception() is None:
            folders, group, keeper = rest.result()
            await keeper.end()
            self._clear(folders, group)
        if not tree.cancelled() and tree.exception() is None:
            await self._machine.trees.release(tree.result())

    def _clear(self, folders: Folders, group: Group | None) -> None:
        if group is not None:
            group.remove()
        with suppress(OSError):
            self._machine.trash.throw(folders.root)
            self._machine.trash.soon()

    def _site(self, place: _Place) -> Site:
        machine, assignment, folders = self._machine, self.assignment, place.folders
        where = folders.place(place.tree, machine, assignment)
        github = contexts.github(assignment, where.work, folders.event, machine.server)
        folders.event.write_bytes(msgspec.json.encode(github["event"]))
        if assignment.plan.only_tests:
            (folders.tests / "only.json").write_bytes(msgspec.json.encode(assignment.plan.only_tests))
        runner = contexts.runner(machine.name, folders.runner_temp, folders.tool_cache)
        env = environment.of_job(machine.environment, assignment, where, machine.caches, machine.tools, folders.tests)
        situation = Situation(
            contexts=contexts.of_job(assignment, github, runner),
            machine={**env, "PYTHONPATH": str(COLLECT)},
            fixed=environment.of_contexts(github, runner),
            hash_files=lambda patterns: hash_files(where.work, patterns),
            stopped=lambda: self._stop,
        )
        self._situation = situation
        for notice in assignment.notices:
            situation.remark(Annotation("notice", notice, title="Secrets"))
        limits = assignment.plan.limits
        rlimits = machine.groups.rlimits(JobLimits(limits.memory_bytes, limits.processes))
        processes = Processes(place.keeper, machine, where, rlimits, self._output.write_fd, self._stopping)
        return Site(
            assignment=assignment,
            machine=machine,
            place=where,
            output=self._output,
            processes=processes,
            situation=situation,
            rendering=Rendering(machine.threads),
            files=folders.files,
            scripts=folders.scripts,
            temp=folders.runner_temp,
            keep=self._keep,
            shelf=self._shelf,
            stopping=self._stopping,
            after=self._afterwards.append,
            left_s=self._left_s,
        )

    async def _run_steps(self, site: Site) -> None:
        if divides_tests(self.assignment):
            # Without them it would divide otherwise than the other shards do: it is better broken and tried again.
            await self._shelf.durations(self._tests_folder() / "durations.json")
        for number, step in enumerate(self.assignment.plan.steps, 1):
            run = StepRun(site, step, number, str(number))
            name = site.output.reading.masked(await run.name())
            result = await run.decide()
            if result is None:
                offset = await site.output.settle()  # told at once, so that pages know whose output it is
                began = StepResult(number, name, StepState.RUNNING, started_at=datetime.now(UTC), log_offset=offset)
                self.steps.append(began)
                self._changed(self)
                try:
                    result = await run.run()
                except BaseException:
                    self.steps[-1] = replace(began, state=StepState.FAILED, finished_at=datetime.now(UTC))
                    raise
                self.steps.pop()
            self.steps.append(replace(result, name=site.output.reading.masked(name)))  # it may have hidden more
            self._changed(self)
        for afterwards in reversed(self._afterwards):
            await afterwards(site.situation.status is SUCCESS)
        site.output.heard = lambda _: None
        self.reported = await collect(site)

    def _tests_folder(self) -> Path:
        if self.tests is None:
            raise RuntimeError("the job has no folders yet")
        return self.tests

    def _left_s(self) -> float | None:
        if self._stop is None:
            return None
        return max(0.0, self._stopped_at + AFTER_STOP_S - asyncio.get_running_loop().time())

    def _fail(self, situation: Situation, reason: str) -> None:
        situation.failed = True
        situation.remark(Annotation("error", reason))
        hidden = self._output.reading.masked(reason)
        self.steps.append(StepResult(1, "Prepare the job", StepState.FAILED, reason=hidden))

    def _ending(self, broken: str | None, leftovers: int, excess: str | None) -> Ending:
        situation = self._situation
        if situation is not None:
            if leftovers:
                words = f"{leftovers} process{'es' if leftovers > 1 else ''} that the job had left running were ended"
                situation.remark(Annotation("notice", words, title="Leftovers"))
            if excess:
                situation.remark(Annotation("error", excess, title="Limit"))
        state, reason = self._state(broken, excess)
        failed = next((step for step in self.steps if step.state in (StepState.FAILED, StepState.TIMED_OUT)), None)
        ran = [step.exit_code for step in self.steps if step.exit_code is not None]
        masked = self._output.reading.masked
        return Ending(
            state=state,
            reason=masked(reason) if reason else None,
            exit_code=failed.exit_code if failed else (ran[-1] if ran else None),
            started_at=self.started_at,
            commit=self.commit,
            steps=tuple(self.steps),
            outputs=self._outputs() if state in (AttemptState.PASSED, AttemptState.FAILED) else None,
            annotations=tuple(_hidden(each, masked) for each in situation.annotations) if situation else (),
            summary=situation.summary if situation else None,
        )

    def _state(self, broken: str | None, excess: str | None) -> tuple[AttemptState, str | None]:
        if self._handed_back and self._stop is not None:
            return self._stop.state, self._stop.reason
        if broken is not None and (excess is None or self._output.problem):
            return AttemptState.BROKEN, broken
        if self._stop is not None:
            return self._stop.state, self._stop.reason
        if broken is not None or (self._situation is not None and self._situation.failed):
            bad = (step for step in self.steps if step.state in (StepState.FAILED, StepState.TIMED_OUT))
            failed = next(bad, None) or next((step for step in self.steps if step.reason), None)
            reason = excess or (failed.reason if failed else None)
            not_here = self._situation.not_here if self._situation is not None else []
            # The first failure decides: what follows from it, or came before it, is not the machine's lack.
            return (AttemptState.NEUTRAL if reason in not_here else AttemptState.FAILED), reason
        return AttemptState.PASSED, None

    def _outputs(self) -> dict[str, str]:
        """The job's outputs; one that holds a secret is left out, as on GitHub."""
        situation, outputs = self._situation, dict[str, str]()
        if situation is None:
            return outputs
        for name, text in self.assignment.plan.outputs.items():
            try:
                value = render(parse_template(text), situation.scope())
            except ExpressionError as error:
                situation.remark(Annotation("error", f"outputs.{name}: {error}"))
                continue
            if self._output.reading.holds_secret(value):
                situation.remark(Annotation("warning", f"the output {name} is left out, because it may hold a secret"))
            elif value:
                outputs[name] = value
        if sum(len(name) + len(value) for name, value in outputs.items()) > MAX_OUTPUTS:
            situation.remark(
                Annotation("error", f"the job's outputs have more than {MAX_OUTPUTS} characters: none is kept")
            )
            return {}
        return outputs


DIVIDES = (b"MAINSTAY_SHARD", b"mainstay-shard", b"mainstay split")


def divides_tests(assignment: Assignment) -> bool:
    """Whether the job is one of several that divide a suite: its matrix or its text says so."""
    if "shard" in assignment.matrix:
        return True
    text = msgspec.json.encode(assignment.plan)
    return any(word in text for word in DIVIDES)


async def _job_env(plan: PlannedJob, scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, text in plan.env.items():
        found |= render_names(text, scope) if name == WHOLE else {name: render(parse_template(text), scope)}
    return found


def _hidden(annotation: Annotation, masked: Callable[[str], str]) -> Annotation:
    """The annotation without secrets, wherever in it they stand."""
    title, path = (text if text is None else masked(text) for text in (annotation.title, annotation.path))
    return replace(annotation, message=masked(annotation.message), title=title, path=path)


def _disk_words(error: OSError) -> str:
    """A full disk and its kin, in words that say where."""
    what = (error.strerror or str(error)).lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what} on the runner, at {error.filename or 'its data folder'}"
    return f"{what}: {os.fspath(error.filename)}" if error.filename else what
