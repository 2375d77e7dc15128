"""The report of `mainstay check`: which jobs run, run with a replacement, or do not run, and why and where."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from mainstay.model.errors import BadInput
from mainstay.model.plan import Json, PlannedJob, Problem, Step
from mainstay.workflow import yaml
from mainstay.workflow.actions import advice, replacement
from mainstay.workflow.calls import with_calls
from mainstay.workflow.composite import FILES, read_action
from mainstay.workflow.contexts import JobContexts
from mainstay.workflow.detect import detect
from mainstay.workflow.expressions import injection_risks
from mainstay.workflow.files import Files
from mainstay.workflow.instances import instances
from mainstay.workflow.plan import read_all
from mainstay.workflow.problems import Problems
from mainstay.workflow.read import Workflow

MAX_ACTION_LEVELS = 10
"""Local actions that use local actions."""


class Verdict(StrEnum):
    """What becomes of a job or step here, from good to bad."""

    RUNS = "runs"
    REPLACED = "runs with replacement"
    DOES_NOT_RUN = "does not run"


ORDER = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing of a job."""

    verdict: Verdict
    message: str
    path: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class JobCheck:
    """One job of a workflow."""

    key: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    line: int | None = None


@dataclass(frozen=True, slots=True)
class WorkflowCheck:
    """One workflow file, or what was detected."""

    path: str
    name: str
    events: tuple[str, ...]
    jobs: tuple[JobCheck, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Errors stop the workflow; warnings, possible injections among them, do not."""

    @property
    def runs(self) -> bool:
        return not any(problem.severity == "error" for problem in self.problems) and all(
            job.verdict is not Verdict.DOES_NOT_RUN for job in self.jobs
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What of a repository's workflows runs here."""

    workflows: tuple[WorkflowCheck, ...] = field(default_factory=tuple)

    @property
    def runs(self) -> bool:
        """Whether everything will run: the exit code."""
        return all(workflow.runs for workflow in self.workflows)

    def as_json(self) -> Json:
        """The document of `--json`."""
        return {
            "runs": self.runs,
            "workflows": [{"runs": workflow.runs, **asdict(workflow)} for workflow in self.workflows],
        }

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """The table: workflow, job, verdict, and why with its place; one row per finding."""
        for workflow in self.workflows:
            for job in workflow.jobs:
                first = True
                for finding in job.findings or (Finding(job.verdict, "", workflow.path, job.line),):
                    place = f"{finding.path}:{finding.line}: " if finding.message and finding.line else ""
                    shown = (workflow.path, job.key, job.verdict.value) if first else ("", "", "")
                    yield (*shown, place + finding.message)
                    first = False


def check(files: Files) -> Report:
    """Look at every workflow file of a repository; without any, at what would be detected."""
    workflows = read_all(files)
    if workflows:
        return Report(tuple(_workflow(workflow, files) for workflow in workflows))
    plan = detect(files)
    jobs = tuple(JobCheck(job.key, Verdict.RUNS) for job in plan.jobs)
    return Report((WorkflowCheck(plan.source, plan.workflow, ("push",), jobs, plan.problems),))


def _workflow(workflow: Workflow, files: Files) -> WorkflowCheck:
    if workflow.broken:
        return WorkflowCheck(workflow.path, workflow.name, workflow.triggers.names, (), workflow.problems)
    called = with_calls(workflow, files)
    return WorkflowCheck(
        workflow.path,
        workflow.name,
        workflow.triggers.names,
        tuple(_job(job, workflow.path, files) for job in called.jobs if job.call is None),
        (*called.problems, *injections(workflow)),
    )


def _job(job: PlannedJob, path: str, files: Files) -> JobCheck:
    findings = list(_job_findings(job, path))
    for step in job.steps:
        findings += _step(step, path, files, ())
    verdict = max((finding.verdict for finding in findings), key=ORDER.index, default=Verdict.RUNS)
    return JobCheck(job.key, verdict, tuple(findings), job.line)


def _job_findings(job: PlannedJob, path: str) -> Iterator[Finding]:
    if job.unsupported is not None:
        yield Finding(Verdict.DOES_NOT_RUN, f"{job.unsupported}: copy it into this repository", path, job.line)
    legs = _legs(job)
    away = {name: reason for name, reason in legs if reason is not None}
    if away:
        verdict = Verdict.DOES_NOT_RUN if len(away) == len(legs) else Verdict.RUNS
        reasons = ", ".join(dict.fromkeys(away.values()))
        names = ", ".join(away) if len(away) <= 4 else f"{len(away)} of {len(legs)} jobs"
        yield Finding(verdict, f"{names}: {reasons}, so it is left neutral until one comes", path, job.line)
    if job.container is not None or job.services:
        what = "its container needs" if job.container is not None else "its services need"
        message = f"{what} podman or docker: it waits until a runner with the label container is connected"
        yield Finding(Verdict.RUNS, message, path, job.line)


def _legs(job: PlannedJob) -> list[tuple[str, str | None]]:
    """Name and reason for being elsewhere of each job of the matrix, as far as it is known without running anything."""
    values: dict[str, Json] = {name: {} for name in ("github", "needs", "inputs", "vars", "secrets")}
    plain = PlannedJob(key=job.key, labels=job.labels, matrix=job.matrix)
    try:
        return [(each.name, each.elsewhere) for each in instances(plain, JobContexts(values))]
    except BadInput:
        return []


def _step(step: Step, path: str, files: Files, inside: tuple[str, ...]) -> Iterator[Finding]:
    uses = step.uses
    if uses is None or "${{" in uses:
        return
    if uses.startswith("./"):
        yield from _local(uses, step.line, path, files, inside)
    elif uses.startswith("docker://"):
        message = f"{uses[:100]}: container actions are not run; write it as a run step, or give the job this container"
        yield Finding(Verdict.DOES_NOT_RUN, message, path, step.line)
    elif (known := replacement(uses)) is not None:
        yield Finding(Verdict.REPLACED, f"{uses}: {known.by}", path, step.line)
    else:
        yield Finding(Verdict.DOES_NOT_RUN, f"{uses}: this action is not run here; {advice(uses)}", path, step.line)


def _local(uses: str, line: int | None, path: str, files: Files, inside: tuple[str, ...]) -> Iterator[Finding]:
    """A local action: composite ones run, with all that they use."""
    folder = str(PurePosixPath(uses))
    if folder in inside or len(inside) >= MAX_ACTION_LEVELS:
        yield Finding(Verdict.DOES_NOT_RUN, f"{uses}: local actions use each other in a circle", path, line)
        return
    for name in FILES:
        place = name if folder == "." else f"{folder}/{name}"
        data = files.read(place)
        if data is None:
            continue
        action = read_action(place, data)
        for problem in action.problems:
            if problem.severity == "error":
                yield Finding(Verdict.DOES_NOT_RUN, f"{uses}: {problem.message}", place, problem.line)
        for step in action.steps:
            yield from _step(step, place, files, (*inside, folder))
        return
    yield Finding(Verdict.DOES_NOT_RUN, f"{uses}: there is no {folder}/action.yml in the repository", path, line)


def injections(workflow: Workflow) -> tuple[Problem, ...]:
    """Places where text that strangers can write is pasted into a script, each as a warning."""
    document = yaml.parse(yaml.read_text(workflow.data))
    problems = Problems(workflow.path, document.lines)
    for script in _scripts(document.root):
        for risk in injection_risks(script.text):
            problems.warning(script, risk.message, risk.offset)
    return problems.all()


def _scripts(root: yaml.Node) -> Iterator[yaml.Scalar]:
    jobs = root.entries.get("jobs") if isinstance(root, yaml.Mapping) else None
    for job in jobs.entries.values() if isinstance(jobs, yaml.Mapping) else ():
        if not isinstance(job, yaml.Mapping):
            continue
        steps = job.entries.get("steps")
        for holder in (job, *(steps.items if isinstance(steps, yaml.Sequence) else ())):
            run = holder.entries.get("run") if isinstance(holder, yaml.Mapping) else None
            if isinstance(run, yaml.Scalar):
                yield run
