"""Starting a workflow by hand, at a branch or tag, with inputs."""

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path


@click.command()
@click.argument("repository")
@click.argument("workflow")
@click.option("--ref", metavar="REF", help="At this branch or tag; else the default branch.")
@click.option("--input", "inputs", metavar="KEY=VALUE", multiple=True, help="An input it declares. May be repeated.")
@json_option
@client_command
def start(
    server: Server, repository: str, workflow: str, ref: str | None, inputs: tuple[str, ...], as_json: bool
) -> None:
    """Start a workflow by hand.

    WORKFLOW is its file's path or its name; it must have `on: workflow_dispatch`. Each input is checked against the
    type that the workflow declares for it.

    \b
    Example:
      mainstay start demo .github/workflows/deploy.yml --ref main --input level=high
    """
    given: dict[str, object] = {}
    for each in inputs:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--input {each!r} is not KEY=VALUE.")
        given[key] = value
    body = {"workflow": workflow, "ref": ref, "inputs": given}
    answer = server.post(f"{repository_path(repository)}/starts", body)
    if as_json:
        terminal.print_json(answer)
        return
    for build in answer["builds"]:
        terminal.output().line(f"Started build {build}. The verdict: mainstay wait {build}")
