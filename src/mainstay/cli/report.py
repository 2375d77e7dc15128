"""The report of `mainstay check` for people."""

from collections import Counter
from collections.abc import Iterator

from mainstay.cli.terminal import Terminal, counted
from mainstay.workflow.check import Finding, Report, Verdict, WorkflowCheck

GLYPHS = {"runs": "passed", "runs with replacement": "passed", "does not run": "failed"}
"""Verdicts by the state whose sign they bear."""
DETECTED = {
    "nox": "there is a noxfile.py",
    "tox": "there is a tox configuration",
    "pytest": "there is a pytest configuration, or tests that import pytest",
    "unittest": "there is a folder of tests, and none of them imports pytest",
}


def report_lines(report: Report, out: Terminal) -> Iterator[str]:
    """The report for people: per workflow its jobs, per job what is worth knowing, then the file's problems."""
    told: set[str] = set()
    for number, workflow in enumerate(report.workflows):
        if number:
            yield ""
        yield f"{out.paint(workflow.name, bold=True)}  {workflow.path}, on {', '.join(workflow.events) or 'nothing'}"
        yield from _detected(workflow, out)
        for job in workflow.jobs:
            yield f"  {out.glyph(GLYPHS[job.verdict])} {out.paint(job.key, bold=True)}: {job.verdict}"
            for finding in job.findings:
                yield f"      {_finding(finding, told, out)}"
        yield from _asked(workflow)
        for problem in workflow.problems:
            yield from (f"  {line}" for line in str(problem).splitlines())
    verdicts = Counter(job.verdict for workflow in report.workflows for job in workflow.jobs)
    if verdicts.total() > 1:
        yield ""
        yield f"{verdicts.total()} jobs: " + ", ".join(f"{verdicts[each]} {_plural(each)}" for each in Verdict)


def _plural(verdict: Verdict) -> str:
    """`runs` of one job, `run` of several."""
    return {Verdict.RUNS: "run", Verdict.REPLACED: "run with replacements"}.get(verdict, "do not run")


def _finding(finding: Finding, told: set[str], out: Terminal) -> str:
    """One line; what stands in for an action is said once, afterwards its name is enough."""
    place = out.faint(f"{finding.path}:{finding.line}: ") if finding.line else ""
    message = finding.message
    if finding.verdict is Verdict.REPLACED:
        action, _, by = message.partition(": ")
        if by in told:
            return place + action
        told.add(by)
    return place + message


def _detected(workflow: WorkflowCheck, out: Terminal) -> Iterator[str]:
    """What is run where there is no workflow file, and why."""
    if not workflow.detected:
        return
    why = DETECTED.get(workflow.path.removeprefix("detected: "))
    yield "  There is no workflow file in .mainstay/ or .github/workflows/" + (f", and {why}." if why else ".")
    yield "  So this is run:"
    for name, script in workflow.detected:
        yield f"    {name}"
        yield from (out.faint(f"      {line}") for line in script.splitlines())


def _asked(workflow: WorkflowCheck) -> Iterator[str]:
    """Secrets and variables that have to be given."""
    for found, one, many, option in (
        (workflow.secrets, "secret", "secrets", "--secret"),
        (workflow.variables, "variable", "variables", "--var"),
    ):
        if found:
            names = ", ".join(f"{each.name} (line {each.line})" for each in found)
            yield (
                f"  It reads {counted(len(found), one, many)}: {names}. "
                f"Give them to the repository here; mainstay run takes {option}."
            )
