"""The command that needs no server: what of a repository's workflows runs here."""

from pathlib import Path

import click

from mainstay.cli import terminal
from mainstay.cli.connection import json_option


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@json_option
def check(folder: Path, as_json: bool) -> int:
    """Say what of a repository's workflows runs here, and what does not.

    Each job runs, runs with a replacement for an action, or does not run; with the reason, its place and what to
    change. Ends with 1 when something will not run.

    \b
    Example:
      mainstay check ~/src/demo
    """
    # Imported here: start-up time. Reading workflows takes more than all the rest.
    from mainstay.cli.report import report_lines  # noqa: PLC0415
    from mainstay.cli.worktree import WorkTree  # noqa: PLC0415
    from mainstay.workflow.check import check as look  # noqa: PLC0415

    report = look(WorkTree.of(folder))
    if as_json:
        terminal.print_json(report.as_json())
        return 0 if report.runs else 1
    out = terminal.output()
    for line in report_lines(report, out):
        out.line(line)
    return 0 if report.runs else 1
