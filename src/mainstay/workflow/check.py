"""The report of `mainstay check`: which jobs run, run with a replacement, or do not run, and why and where."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from mainstay.model.errors import BadInput
from mainstay.model.plan import Json, Matrix, PlannedJob, Problem, Service, Step
from mainstay.workflow import asked, quarantine, yaml
from mainstay.workflow.calls import with_calls
from mainstay.workflow.container_options import read_options
from mainstay.workflow.contexts import JobContexts
from mainstay.workflow.detect import detect
from mainstay.workflow.expressions import ExpressionError, injection_risks, parse_condition, references
from mainstay.workflow.files import Files
from mainstay.workflow.instances import JobInstance, instances
from mainstay.workflow.plan import read_all
from mainstay.workflow.problems import Problems
from mainstay.workflow.read import Workflow
from mainstay.workflow.step_check import NAMED, ORDER, Finding, Leg, Verdict, step_findings

RUNS_ANYWAY = frozenset({"always", "failure", "cancelled"})
"""Functions with which a job may run although what it needs did not."""
SUDO = re.compile(r"^\s*(?:[\w./-]+\s*(?:&&|\|\||;)\s*)*sudo\s", re.MULTILINE)

__all__ = ["Finding", "JobCheck", "Report", "Verdict", "WorkflowCheck", "check", "injections"]


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
    secrets: tuple[asked.Read, ...] = ()
    """Those that it reads and that have to be given."""
    variables: tuple[asked.Read, ...] = ()
    detected: tuple[tuple[str, str], ...] = ()
    """Where there is no file: name and script of each step that would be run."""

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
        found = tuple(_workflow(workflow, files) for workflow in workflows)
    else:
        plan = detect(files)
        jobs = tuple(JobCheck(job.key, Verdict.RUNS) for job in plan.jobs)
        steps = tuple((step.name or "", step.run or _use(step)) for job in plan.jobs for step in job.steps)
        steps = (*(_once_for(job.matrix) for job in plan.jobs if job.matrix is not None), *steps)
        found = (WorkflowCheck(plan.source, plan.workflow, ("push",), jobs, plan.problems, detected=steps),)
    wrong = quarantine.of_files(files).problems
    if wrong:
        found = (*found, WorkflowCheck(wrong[0].path, "quarantine", (), problems=wrong))
    return Report(found)


def _once_for(matrix: Matrix) -> tuple[str, str]:
    legs = matrix.include if isinstance(matrix.include, list) else []
    told = (" ".join(str(value) for value in leg.values() if value) for leg in legs if isinstance(leg, dict))
    return "Once for each of", "\n".join(told)


def _use(step: Step) -> str:
    with_ = "".join(f"\n  {name}: {value}" for name, value in step.inputs.items())
    return f"uses: {step.uses}{with_}"


def _workflow(workflow: Workflow, files: Files) -> WorkflowCheck:
    if workflow.broken:
        return WorkflowCheck(workflow.path, workflow.name, workflow.triggers.names, (), workflow.problems)
    called = with_calls(workflow, files)
    jobs = {job.key: _job(job, workflow.path, files) for job in called.jobs}
    shown = tuple(jobs[job.key] for job in _with_needs(called.jobs, jobs, workflow.path) if job.call is None)
    return WorkflowCheck(
        workflow.path,
        workflow.name,
        workflow.triggers.names,
        shown,
        (*called.problems, *injections(workflow)),
        asked.secrets(workflow),
        asked.variables(workflow),
    )


def _with_needs(planned: Sequence[PlannedJob], jobs: dict[str, JobCheck], path: str) -> Sequence[PlannedJob]:
    """Note in `jobs` which are skipped because what they need does not run; the planned jobs as they are given."""
    changed = True
    while changed:
        changed = False
        for job in planned:
            found = jobs[job.key]
            bad = [key for key in job.needs if key in jobs and jobs[key].verdict is Verdict.DOES_NOT_RUN]
            if found.verdict is Verdict.DOES_NOT_RUN or not bad or _runs_anyway(job.condition):
                continue
            names = ", ".join(bad[:NAMED]) + (f" and {len(bad) - NAMED} more" if len(bad) > NAMED else "")
            words = f"it needs {names}, which {'does' if len(bad) == 1 else 'do'} not run: so it is skipped"
            finding = Finding(Verdict.DOES_NOT_RUN, words, path, job.line)
            jobs[job.key] = replace(found, verdict=Verdict.DOES_NOT_RUN, findings=(*found.findings, finding))
            changed = True
    return planned


def _runs_anyway(condition: str | None) -> bool:
    """Whether a job's condition looks at more than that all it needs went well."""
    if condition is None:
        return False
    try:
        used = references(parse_condition(condition))
    except ExpressionError:
        return False
    return any(each.kind == "function" and each.path[0].lower() in RUNS_ANYWAY for each in used)


def _job(job: PlannedJob, path: str, files: Files) -> JobCheck:
    legs = _legs(job)
    findings = list(_job_findings(job, path, legs))
    here = [Leg(leg.name, leg.matrix) for leg in legs if leg.elsewhere is None] if legs else [Leg(job.key, None)]
    for step in job.steps if here else ():
        findings += step_findings(step, path, files, here)
    findings += _powers(job, path) if here else ()
    verdict = max((finding.verdict for finding in findings), key=ORDER.index, default=Verdict.RUNS)
    return JobCheck(job.key, verdict, tuple(dict.fromkeys(findings)), job.line)


def _job_findings(job: PlannedJob, path: str, legs: Sequence[JobInstance]) -> Iterator[Finding]:
    if job.unsupported is not None:
        yield Finding(Verdict.DOES_NOT_RUN, f"{job.unsupported}: copy it into this repository", path, job.line)
    away = {leg.name: leg.elsewhere for leg in legs if leg.elsewhere is not None}
    if away:
        verdict = Verdict.DOES_NOT_RUN if len(away) == len(legs) else Verdict.RUNS
        reasons = ", ".join(dict.fromkeys(away.values()))
        names = ", ".join(away) if len(away) <= NAMED else f"{len(away)} of {len(legs)} jobs"
        yield Finding(verdict, f"{names}: {reasons}, so it is left neutral until one comes", path, job.line)
    if job.container is not None or job.services:
        what = "its container needs" if job.container is not None else "its services need"
        message = f"{what} podman or docker: it waits until a runner with the label container is connected"
        yield Finding(Verdict.RUNS, message, path, job.line)
    for key, container in (("", job.container), *job.services.items()):
        yield from _container(key, container, path, job.line)


def _container(key: str, container: Service | None, path: str, line: int | None) -> Iterator[Finding]:
    """Options that no runner passes on unless its owner said so."""
    if container is None or "${{" in container.options:
        return
    what = f"the service {key}" if key else "the job's container"
    try:
        refused = read_options(container.options).refused
    except BadInput as error:
        refused = (error.message,)
    for words in refused:
        yield Finding(Verdict.DOES_NOT_RUN, f"options of {what}: {words}", path, line)


def _powers(job: PlannedJob, path: str) -> Iterator[Finding]:
    """Jobs that install packages of the system: whether they may is for the runner's machine to say."""
    step = next((step for step in job.steps if step.run is not None and SUDO.search(step.run)), None)
    if step is not None and job.container is None:
        message = (
            "it calls sudo, which jobs do not have: install what it needs on the runner's machine, or give the job a "
            "container"
        )
        yield Finding(Verdict.RUNS, message, path, step.line)


def _legs(job: PlannedJob) -> list[JobInstance]:
    """The jobs of the matrix, as far as they are known without running anything; none: they are not."""
    values: dict[str, Json] = {name: {} for name in ("github", "needs", "inputs", "vars", "secrets")}
    plain = PlannedJob(key=job.key, labels=job.labels, matrix=job.matrix)
    try:
        return [each for each in instances(plain, JobContexts(values)) if each.skipped is None]
    except BadInput:
        return []


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
