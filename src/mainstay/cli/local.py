"""The commands that need no server: what of a repository's workflows runs here, and running one here and now."""

from pathlib import Path
from typing import Any

import click

from mainstay.cli import settings, terminal
from mainstay.cli.connection import data_option, json_option
from mainstay.cli.serve import executor_option


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


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--workflow", metavar="FILE", help="This workflow file, whatever starts it; its path or its name.")
@click.option("--job", metavar="JOB", help="Only this job and those that it needs.")
@click.option("--event", type=click.Choice(["push", "pull_request"]), default="push", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say which jobs would run.")
@executor_option
@data_option
@json_option
def run(folder: Path, as_json: bool, **how: Any) -> int:
    """Run a workflow here and now, without a server.

    The folder as it is, uncommitted changes included, with the same parts that a runner has. Nothing is written into
    the folder. Ends with 0 when everything passed, else with 1.

    \b
    Examples:
      mainstay run
      mainstay run ~/src/demo --workflow tests.yml --job test
    """
    # Imported here: start-up time.
    from mainstay.cli import running  # noqa: PLC0415

    data = settings.data_folder(how.pop("data")) / "run"
    return running.run(folder, data, as_json=as_json, **how)
