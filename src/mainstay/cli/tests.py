"""The command `mainstay tests`: a repository's tests as things with a history."""

from typing import Any
from urllib.parse import quote

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path
from mainstay.cli.terminal import Table

LISTS = ("all", "newest", "flaky", "failing", "slow", "unrun")
STATES = ("failed", "passed", "skipped", "flaky")
"""Items that are asked for at once."""


@click.command()
@click.argument("repository", metavar="R")
@click.argument("test", required=False)
@click.option(
    "--list",
    "sort",
    type=click.Choice(LISTS),
    default="all",
    show_default=True,
    help="Newest failures, flakiest, most failures, slowest, longest not run.",
)
@click.option("--state", type=click.Choice(STATES), help="Only tests that are so.")
@click.option("--search", help="Only tests with this part in their name.")
@click.option(
    "--branch", metavar="B", help="Only tests that this branch's last builds ran; --state: as they stand there."
)
@click.option("--quarantined", is_flag=True, help="The tests in quarantine, with reason and last day.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@json_option
@client_command
def tests(
    server: Server,
    repository: str,
    test: str | None,
    sort: str,
    state: str | None,
    search: str | None,
    branch: str | None,
    quarantined: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List a repository's tests with history, duration and flakiness.

    With TEST, its name as listed: the history of that test.

    \b
    Examples:
      mainstay tests demo --list flaky
      mainstay tests demo --branch main --state failed
      mainstay tests demo "tests/test_api.py::test_limits"
    """
    path = f"{repository_path(repository)}/tests"
    if quarantined and (test or state or search or branch or sort != "all"):
        raise click.UsageError("--quarantined lists the quarantine as it is; it goes with no other choice")
    if quarantined:
        found = server.get(f"{repository_path(repository)}/quarantine")
    elif test:
        found = server.get(f"{path}/{quote(test, safe='')}", {"limit": min(limit, 1000)})
    else:
        asked = {"list": sort, "state": state, "search": search, "branch": branch}
        found = server.listed(path, asked, limit)
    if as_json:
        terminal.print_json(found)
    elif quarantined:
        _print_quarantine(found["items"], repository)
    elif test:
        _print_one(found)
    else:
        _print_tests(found["items"], repository)


def _print_tests(items: list[Any], repository: str) -> None:
    if not items:
        terminal.messages().line(f"{repository} has no such test yet.")
        return
    out = terminal.output()
    table = Table(
        ("LAST", "TEST", "RUNS", "FAILED", "FLAKY", "TAKES", "RAN"),
        flexible=1,
        right=frozenset({2, 3, 4, 5}),
        names=frozenset({1}),
    )
    for item in items:
        table.rows.append(
            (
                out.state(item["state"]) if item["state"] else "",
                item["name"],
                str(item["runs"]),
                str(item["failures"]),
                f"{item['flakiness']:.1%}" if item["flakiness"] else "",
                _took(item["duration_s"]),
                terminal.ago(item["ran_at"]) if item["ran_at"] else "",
            )
        )
    for line in table.lines(out):
        out.line(line)


def _print_quarantine(items: list[Any], repository: str) -> None:
    if not items:
        terminal.messages().line(f"No test of {repository} is in quarantine (.mainstay/quarantine.yml).")
        return
    out = terminal.output()
    table = Table(("LAST", "TEST", "UNTIL", "OWNER", "REASON"), flexible=4)
    for item in items:
        states = {each["state"] for each in item["tests"]}
        state = next((word for word in ("failed", "error", "passed", "skipped") if word in states), "")
        until = f"{item['expires']}, expired" if item["expired"] else item["expires"]
        table.rows.append((out.state(state) if state else "", item["test"], until, item["owner"] or "", item["reason"]))
    for line in table.lines(out):
        out.line(line)


def _print_one(found: Any) -> None:
    out = terminal.output()
    state = f"{out.state_text(found['state'])}  " if found["state"] else ""
    out.line(f"{state}{terminal.one_line(found['name'])}")
    facts = [f"{found['runs']} runs, {found['failures']} failed in {found['window_days']} days"]
    if found["duration_s"] is not None:
        facts.append(f"takes {_took(found['duration_s'])}")
    if found["flaky_trees"]:
        facts.append(f"flaky on {found['flaky_trees']} of {found['trees']} trees ({found['flakiness']:.1%})")
    out.line(", ".join(facts))
    if found["first_bad_commit"]:
        out.line(f"fails since commit {found['first_bad_commit'][:8]}, {terminal.ago(found['failing_since'])}")
    if found["last_failure"] and (found["last_failure"]["details"] or {}).get("message"):
        out.line("")
        for line in found["last_failure"]["details"]["message"].splitlines()[:20]:
            out.line(f"  {line}")
    out.line("")
    _print_history(out, found["history"])


def _print_history(out: terminal.Terminal, history: list[Any]) -> None:
    table = Table(("OUTCOME", "BUILD", "COMMIT", "JOB", "RUNNER", "TOOK", "WHEN"), flexible=3, right=frozenset({5}))
    for item in history:
        table.rows.append(
            (
                out.state(item["outcome"]),
                f"#{item['number']}",
                item["commit"][:8],
                item["job"],
                item["runner"] or "",
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
