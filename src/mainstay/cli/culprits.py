"""The command `mainstay culprits`: who broke a repository's branches."""

from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path
from mainstay.cli.terminal import Table


@click.command()
@click.argument("repository", metavar="R")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many at most.")
@json_option
@client_command
def culprits(server: Server, repository: str, limit: int, as_json: bool) -> None:
    """Tell who broke a repository's branches, newest first.

    A job that went red, the tests that failed, and the commit that did it as far as it is known.

    \b
    Example:
      mainstay culprits demo
    """
    found = server.get(f"{repository_path(repository)}/culprits", {"limit": limit})
    if as_json:
        terminal.print_json(found)
    elif found["items"]:
        _print(found["items"])
    else:
        terminal.messages().line(f"No branch of {repository} was seen to go from green to red.")


def _print(items: list[Any]) -> None:
    out = terminal.output()
    table = Table(("WHEN", "BRANCH", "JOB", "SEARCH", "WHO", "TESTS"), flexible=4)
    for item in items:
        who = f"{item['culprit'][:8]} {item['author'] or ''} {item['subject'] or ''}" if item["culprit"] else ""
        tests = item["tests"]
        shown = "" if not tests else tests[0] if len(tests) == 1 else f"{len(tests)} tests"
        words = (terminal.ago(item["opened_at"]), item["branch"], item["job"], item["state"])
        table.rows.append((*words, who.strip() or item["reason"] or "", shown))
    for line in table.lines(out):
        out.line(line)
