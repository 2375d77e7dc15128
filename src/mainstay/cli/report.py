"""The report of `mainstay check` for people."""

from collections.abc import Iterator

from mainstay.cli.terminal import Terminal
from mainstay.workflow.check import Report

GLYPHS = {"runs": "passed", "runs with replacement": "passed", "does not run": "failed"}
"""Verdicts by the state whose sign they bear."""


def report_lines(report: Report, out: Terminal) -> Iterator[str]:
    """The report for people: per workflow its jobs, per job what is worth knowing, then the file's problems."""
    for number, workflow in enumerate(report.workflows):
        if number:
            yield ""
        yield f"{out.paint(workflow.name, bold=True)}  {workflow.path}, on {', '.join(workflow.events) or 'nothing'}"
        for job in workflow.jobs:
            yield f"  {out.glyph(GLYPHS[job.verdict])} {job.key}: {job.verdict}"
            for finding in job.findings:
                place = f"{finding.path}:{finding.line}: " if finding.line else ""
                yield f"      {place}{finding.message}"
        for problem in workflow.problems:
            yield from (f"  {line}" for line in str(problem).splitlines())
