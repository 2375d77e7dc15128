"""The command `mainstay tests`: a repository's tests as things with a history."""

from typing import Any
from urllib.parse import quote

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path
from mainstay.cli.terminal import Table


@click.command()
@click.argument("repository", metavar="R")
@click.argument("test", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@json_option
@client_command
def tests(server: Server, repository: str, test: str | None, limit: int, as_json: bool) -> None:
    """List a repository's tests with history, duration and flakiness.

    With TEST, its name as listed: the history of that test.

    \b
    Examples:
      mainstay tests demo
      mainstay tests demo "tests/test_api.py::test_limits"
    """
    path = f"{repository_path(repository)}/tests"
    found = server.get(f"{path}/{quote(test, safe='')}" if test else path, {"limit": limit})
    if as_json:
        terminal.print_json(found)
    elif test:
        _print_history(found)
    else:
        _print_tests(found["items"], repository)


def _print_tests(items: list[Any], repository: str) -> None:
    if not items:
        terminal.messages().line(f"No test of {repository} was counted yet.")
        return
    out = terminal.output()
    table = Table(("LAST", "TEST", "RUNS", "FAILED", "FLAKY", "TAKES"), flexible=1, right=frozenset({2, 3, 4, 5}))
    for item in items:
        table.rows.append(
            (
                out.state(item["state"]) if item["state"] else "",
                item["name"],
                str(item["runs"]),
                str(item["failures"]),
                f"{item['flakiness']:.0%}" if item["flakiness"] else "",
                _took(item["duration_s"]),
            )
        )
    for line in table.lines(out):
        out.line(line)


def _print_history(found: Any) -> None:
    out = terminal.output()
    table = Table(("OUTCOME", "BUILD", "COMMIT", "JOB", "TOOK", "WHEN"), flexible=3, right=frozenset({4}))
    for item in found["history"]:
        table.rows.append(
            (
                out.state(item["outcome"]),
                f"#{item['number']}",
                item["commit"][:8],
                item["job"],
                _took(item["duration_s"]),
                terminal.ago(item["at"]),
            )
        )
    for line in table.lines(out):
        out.line(line)


def _took(seconds: float | None) -> str:
    """A test's duration; most take less than what `terminal.duration` tells apart."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else terminal.duration(seconds)
