"""The commands that need no server: what of a repository's workflows runs here, and running one here and now."""

from pathlib import Path
from typing import Any

import click

from mainstay.cli import settings, terminal
from mainstay.cli.connection import data_option, json_option
from mainstay.cli.serve import container_options, executor_option


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


def _pair(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE`, as often as it is given."""
    found = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{each!r} must be {parameter.metavar}", ctx, parameter)
        found[key.strip()] = value
    return found


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--workflow", metavar="FILE", help="This workflow file, whatever starts it; its path or its name.")
@click.option("--job", metavar="JOB", help="Only this job and those that it needs.")
@click.option("--no-needs", is_flag=True, help="With --job: without those that it needs.")
@click.option(
    "--matrix",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_pair,
    help="Only the legs of a matrix with this value; may be given more than once.",
)
@click.option(
    "--event",
    type=click.Choice(["push", "pull_request", "workflow_dispatch", "schedule"]),
    help="What starts it. Without it: the first of these that starts anything.",
)
@click.option(
    "--event-file", metavar="FILE", type=click.Path(path_type=Path), help="JSON that github.event has beside its own."
)
@click.option(
    "--input",
    "inputs",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_pair,
    help="An input of a workflow that is started by hand, or called.",
)
@click.option(
    "--var", "variables", metavar="NAME=VALUE", multiple=True, callback=_pair, help="A variable (the context vars)."
)
@click.option(
    "--secret",
    "secrets",
    metavar="NAME[=VALUE]",
    multiple=True,
    help="A secret; without =VALUE that of the environment.",
)
@click.option(
    "--secrets-file", metavar="FILE", type=click.Path(path_type=Path), help="Secrets, a line NAME=VALUE each."
)
@click.option(
    "--parallel", metavar="N", type=click.IntRange(1, 512), help="How many jobs at once. Without it: one per core."
)
@click.option("--dry-run", is_flag=True, help="Only say what would run: jobs, legs, steps, and what is replaced.")
@executor_option
@container_options
@data_option
@json_option
def run(folder: Path, as_json: bool, **how: Any) -> int:
    """Run a workflow here and now, without a server.

    The folder as it is, uncommitted changes included, with the same parts that a runner has. Nothing is written into
    the folder. A job that runs alone is shown as it prints; of several at once, on a terminal, only what failed is
    spread out. Ends with 0 when everything passed, with 1 when something failed, with 2 when a file or option is wrong.

    \b
    Examples:
      mainstay run
      mainstay run ~/src/demo --workflow tests.yml --job test --matrix python-version=3.12
      mainstay run --workflow release.yml --input version=1.2 --secret PYPI_TOKEN --dry-run
    """
    # Imported here: start-up time.
    from mainstay.cli import choosing, facts, running  # noqa: PLC0415

    data = settings.data_folder(how.pop("data")) / "run"
    asked = choosing.Asked(
        workflow=how.pop("workflow"),
        job=how.pop("job"),
        event=how.pop("event"),
        matrix=how.pop("matrix"),
        inputs=how.pop("inputs"),
        payload=choosing.read_payload(how.pop("event_file")),
        needs=not how.pop("no_needs"),
    )
    given = settings.secrets(how.pop("secrets"), how.pop("secrets_file"))
    told = facts.Facts(variables=how.pop("variables"), secrets=given)
    means = {name: how.pop(name) for name in ("executor", "engine", "image", "open_containers")}
    means = {name: value for name, value in means.items() if value}
    return running.run(folder, data, asked, told, means=means, as_json=as_json, **how)
