"""One step of a job, from its `if` to its result, by GitHub's rules."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from mainstay.model.errors import BadInput, MainstayError
from mainstay.model.job import Annotation, StepResult
from mainstay.model.plan import Step
from mainstay.model.states import StepState
from mainstay.runner import actions, composite, shells
from mainstay.runner.actions.call import ActionFailed, Afterwards, Call, Keep, NotHere
from mainstay.runner.executors import JobPlace
from mainstay.runner.machine import Machine
from mainstay.runner.output import Output
from mainstay.runner.processes import Run, Starts, StepPrograms
from mainstay.runner.rendering import Rendering
from mainstay.runner.shelf import Shelf
from mainstay.runner.situation import Situation
from mainstay.runner.stepfiles import StepFiles
from mainstay.wire.runner import Assignment
from mainstay.workflow import command_files, commands
from mainstay.workflow.expressions import ExpressionError, Scope

MAX_NAME = 200
MAX_OUTPUTS = 1 << 20
"""Characters of all outputs of one step."""
DEADLY = frozenset(
    (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS)
) | {signal.SIGFPE, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGTERM, signal.SIGXCPU, signal.SIGSYS}
"""Signals that end programs."""
WORDS = {StepState.PASSED: "success", StepState.ALLOWED: "success", StepState.SKIPPED: "skipped"}
"""A step's state as the `steps` context has it; all others but cancelled ones are `failure`."""


class StepFailed(MainstayError):
    """A step cannot be run as it is written; the message says why."""

    code = "step-failed"


@dataclass(frozen=True, slots=True)
class Site:
    """Where the steps of one job run."""

    assignment: Assignment
    machine: Machine
    place: JobPlace
    output: Output
    processes: Starts
    situation: Situation
    rendering: Rendering
    files: Path
    """Folder of the files through which steps speak."""
    scripts: Path
    temp: Path
    """RUNNER_TEMP."""
    keep: Keep
    shelf: Shelf
    stopping: asyncio.Event
    after: Callable[[Afterwards], None]
    left_s: Callable[[], float | None]
    """How long a step that runs although the job is to stop may take; None: as long as it likes."""
    container: bool = False
    """The steps run in a container: folders may be there that the machine does not have."""
    beside: Starts | None = None
    """Where the machine's own git can be run, when the steps run in a container."""
    open_files: bool = False
    """The steps run as a user who is not the runner's, nor root."""


@dataclass(slots=True)
class _Ended:
    """How a step came out before `continue-on-error` is looked at."""

    state: StepState
    exit_code: int | None = None
    reason: str | None = None


@dataclass(slots=True)
class StepRun:
    """One step being run."""

    site: Site
    step: Step
    number: int
    label: str
    """Tells its files from those of all other steps: `3`, within a composite action `3-1`."""
    outputs: dict[str, str] = field(default_factory=dict)
    _env: dict[str, str] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    async def decide(self) -> StepResult | None:
        """None when the step is to be run; else its result: skipped, or its `if` or `env` cannot be evaluated."""
        situation = self.site.situation
        situation.turn_to(self.step.together)
        scope = situation.scope(status=situation.status)
        try:
            try:
                self._env = await self.site.rendering.mapping(self.step.env, scope)
            except ExpressionError as error:
                if await self.site.rendering.condition(self.step.condition, scope):
                    raise StepFailed(f"env: {error}") from error
                return self._skipped()
            if await self.site.rendering.condition(self.step.condition, situation.scope(self._env, situation.status)):
                return None
        except ExpressionError as error:
            return self._finished(_Ended(StepState.FAILED, reason=f"if: {error}"), None, None)
        except StepFailed as error:
            return self._finished(_Ended(StepState.FAILED, reason=error.message), None, None)
        return self._skipped()

    async def name(self) -> str:
        """What is shown: its name, else what it runs."""
        try:
            if self.step.name:
                text = await self.site.rendering.text(self.step.name, self._scope())
                # Hidden before it is cut: a part of a secret would not be recognised.
                return self.site.output.reading.masked(text).strip()[:MAX_NAME] or f"Step {self.number}"
        except ExpressionError:
            return (self.step.name or "")[:MAX_NAME]
        what = self.step.uses or next(iter((self.step.run or "").strip().splitlines()), "")
        return f"Run {what}"[:MAX_NAME]

    async def run(self) -> StepResult:
        """Run it. Raises KeeperLost and OSError: those are not the step's fault."""
        output = self.site.output
        offset = await output.settle()
        output.reading.begin_step()
        output.heard = self._hear
        started = datetime.now(UTC)
        try:
            limit_s = await self._limit()
            ended = await (self._action(limit_s) if self.step.uses is not None else self._script(limit_s))
        except (StepFailed, ActionFailed, BadInput, ExpressionError) as error:
            await output.say(f"Error: {error}")
            if isinstance(error, NotHere):
                self.site.situation.not_here.append(output.reading.masked(str(error)))
            ended = _Ended(StepState.FAILED, reason=str(error))
        await output.settle()
        result = self._finished(ended, started, offset)
        if result.state in (StepState.FAILED, StepState.TIMED_OUT) and await self._goes_on():
            result = replace(result, state=StepState.ALLOWED)
        self._conclude(ended.state, result.state)
        return result

    # What is run.

    async def _script(self, limit_s: float | None) -> _Ended:
        site, situation = self.site, self.site.situation
        plan = site.assignment.plan
        text = await self.site.rendering.text(self.step.run or "", self._scope())
        files = StepFiles(site.files, self.label, 0o666 if site.open_files else 0o644)
        env = situation.environment(
            self._env, {**files.variables, "GITHUB_ACTION": self.step.id or f"__run_{self.label}"}
        )
        find = partial(site.processes.find, path=env["PATH"])
        script = shells.write(text, self.step.shell or plan.shell, site.scripts, self.label, find)
        folder = self.step.working_directory or plan.working_directory or ""
        cwd = site.place.work / await self.site.rendering.text(folder, self._scope())
        if not site.container and not cwd.is_dir():
            raise StepFailed(f"the working directory {folder} does not exist")
        heed_stop = situation.stop is None
        run = await site.processes.run(script.argv, env, cwd, limit_s=self._bounded(limit_s), heed_stop=heed_stop)
        await site.output.settle()
        return self._take_files(files, self._ended(run, limit_s))

    async def _action(self, limit_s: float | None) -> _Ended:
        site, uses = self.site, self.step.uses or ""
        if uses.startswith("./"):
            return await self._composite(uses)
        action = actions.find(uses)
        if action is None:
            raise StepFailed(actions.refusal(uses))
        inputs = await self.site.rendering.mapping(self.step.inputs, self._scope())
        call = Call(
            name=uses,
            inputs={name.lower(): value for name, value in inputs.items()},
            env=self._env,
            assignment=site.assignment,
            machine=site.machine,
            place=site.place,
            situation=site.situation,
            temp=site.temp,
            scratch=site.scripts,
            programs=StepPrograms(
                site.processes,
                lambda: site.situation.environment(self._env, {}),
                site.place.work,
                self._bounded(limit_s),
                site.beside,
            ),
            say=site.output.say,
            hide=site.output.reading.hide,
            keep=site.keep,
            shelf=site.shelf,
            stopping=site.stopping,
            after=site.after,
            outputs=self.outputs,
        )
        stopped_before = site.situation.stop is not None
        try:
            async with asyncio.timeout(self._bounded(limit_s)):
                await action(call)
        except TimeoutError:
            return _Ended(StepState.TIMED_OUT, reason=_over(limit_s))
        except ActionFailed:
            if stopped_before or site.situation.stop is None:
                raise  # it failed by itself
        finally:
            await call.tell()
        stop = site.situation.stop
        return _Ended(StepState.PASSED) if stop is None else _Ended(StepState.CANCELLED, reason=stop.reason)

    async def _composite(self, uses: str) -> _Ended:
        """A local action: its steps are run as if they stood here."""
        given = await self.site.rendering.mapping(self.step.inputs, self._scope())
        use = composite.open_action(uses, given, self._env, self.site.place.work, self.site.situation, self.label)
        inner = replace(self.site, situation=use.situation)
        await use.set_inputs(self.site.rendering)
        ended = _Ended(StepState.PASSED)
        for number, step in enumerate(use.action.steps, 1):
            run = StepRun(inner, step, number, f"{self.label}-{number}")
            result = await run.decide() or await run.run()
            if result.state in (StepState.FAILED, StepState.TIMED_OUT) and ended.state is StepState.PASSED:
                ended = _Ended(StepState.FAILED, result.exit_code, result.reason)
        self._set(await self.site.rendering.mapping(use.action.outputs, use.situation.scope()))
        stop = self.site.situation.stop
        return ended if stop is None else _Ended(StepState.CANCELLED, ended.exit_code, stop.reason)

    def _ended(self, run: Run, limit_s: float | None) -> _Ended:
        stop = self.site.situation.stop
        if run.cause == "time":
            reason = _over(limit_s) if stop is None else "it took too long although the job was to stop"
            return _Ended(StepState.TIMED_OUT, run.code, reason)
        if run.cause == "stopped" and stop is not None:
            return _Ended(StepState.CANCELLED, run.code, stop.reason)
        if run.code == 0:
            return _Ended(StepState.PASSED, 0)
        return _Ended(StepState.FAILED, run.code, run.exit.problem or _signal_words(run))

    def _bounded(self, limit_s: float | None) -> float | None:
        left_s = self.site.left_s()
        if limit_s is None or left_s is None:
            return limit_s if left_s is None else left_s
        return min(limit_s, left_s)

    # What it said.

    def _take_files(self, files: StepFiles, ended: _Ended) -> _Ended:
        """Read what the step wrote; GitHub fails a step whose files cannot be read."""
        situation = self.site.situation
        try:
            self._set(command_files.read_pairs(files.read("output"), "GITHUB_OUTPUT"))
            written = command_files.read_environment(files.read("env"))
            situation.env.update(written.values)
            for refusal in written.refused:
                situation.remark(Annotation("error", refusal))
            for folder in command_files.read_paths(files.read("path")):
                situation.add_path(folder)
            summary = command_files.read_summary(files.read("step_summary"))
            if summary:
                situation.summaries.append(self.site.output.reading.masked(summary))
        except command_files.CommandFileError as error:
            situation.remark(Annotation("error", error.message))
            if ended.state is StepState.PASSED:
                return _Ended(StepState.FAILED, ended.exit_code, error.message)
        return ended

    def _hear(self, command: commands.Command) -> None:
        situation = self.site.situation
        match command:
            case commands.Annotate(annotation):
                situation.remark(replace(annotation, message=self.site.output.reading.masked(annotation.message)))
            case commands.SetOutput(name, value):
                self._set({name: value})
                self._once("set-output", "warning", commands.DEPRECATED["set-output"])
            case commands.SaveState():
                self._once("save-state", "warning", commands.DEPRECATED["save-state"])
            case commands.Refused(name, message):
                self._once(name, "error", message)
            case _:
                pass

    def _set(self, outputs: Mapping[str, str]) -> None:
        self.outputs.update(outputs)
        if sum(len(name) + len(value) for name, value in self.outputs.items()) > MAX_OUTPUTS:
            for name in outputs:
                del self.outputs[name]
            self._once(
                "outputs", "error", f"the step's outputs have more than {MAX_OUTPUTS} characters; the last are left out"
            )

    def _once(self, about: str, level: str, message: str) -> None:
        if about not in self._told:
            self._told.add(about)
            self.site.situation.remark(Annotation(level, message, title=about))

    # What comes of it.

    def _skipped(self) -> StepResult:
        return self._finished(_Ended(StepState.SKIPPED), None, None)

    def _finished(self, ended: _Ended, started: datetime | None, offset: int | None) -> StepResult:
        now = datetime.now(UTC)
        if started is None:
            self._conclude(ended.state, ended.state)
        return StepResult(
            number=self.number,
            name="",
            state=ended.state,
            exit_code=ended.exit_code,
            started_at=started or (None if ended.state is StepState.SKIPPED else now),
            finished_at=None if ended.state is StepState.SKIPPED else now,
            log_offset=offset,
            reason=self.site.output.reading.masked(ended.reason) if ended.reason else None,
        )

    def _conclude(self, outcome: StepState, conclusion: StepState) -> None:
        situation = self.site.situation
        if self.step.id:
            situation.steps[self.step.id] = {
                "outputs": self.outputs,
                "outcome": _word(outcome),
                "conclusion": _word(conclusion),
            }
        if conclusion in (StepState.FAILED, StepState.TIMED_OUT):
            situation.failed = True

    async def _goes_on(self) -> bool:
        try:
            return self.site.rendering.flag(self.step.continue_on_error, self._scope())
        except ExpressionError as error:
            self.site.situation.remark(Annotation("error", f"continue-on-error: {error}"))
            return False

    async def _limit(self) -> float | None:
        if self.step.timeout_s is None:
            return None
        text = await self.site.rendering.text(self.step.timeout_s, self._scope())
        try:
            return max(0.0, float(text)) if text.strip() else None
        except ValueError:
            raise StepFailed(f"timeout-minutes: {text!r} is not a number") from None

    def _scope(self) -> Scope:
        return self.site.situation.scope(self._env)


def _word(state: StepState) -> str:
    return WORDS.get(state, "cancelled" if state is StepState.CANCELLED else "failure")


def _over(limit_s: float | None) -> str:
    if limit_s is None:
        return "it took too long"
    return f"over its time limit of {limit_s / 60:g} min" if limit_s >= 60 else f"over its time limit of {limit_s:g} s"


def _signal_words(run: Run) -> str | None:
    """Sandboxes, containers and shells tell a signal as 128 and its number; no program has such a code by chance."""
    number = run.exit.signal if run.exit.signal is not None else run.code - 128
    if run.exit.signal is None and number not in DEADLY:
        return None
    try:
        return f"killed by signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"killed by signal {number}"
