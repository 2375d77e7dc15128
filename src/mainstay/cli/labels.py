"""The command `mainstay labels`: which labels of runners the names in `runs-on` stand for."""

from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option
from mainstay.cli.runners import by_itself
from mainstay.cli.terminal import Table
from mainstay.model.errors import NotFound

PATH = "/labels"


@click.group(invoke_without_command=True)
@json_option
@by_itself
@client_command
def labels(server: Server, as_json: bool) -> None:
    """Show what `runs-on` means here: set, remove, reset.

    A job's `runs-on` names what it wants; the first rule whose pattern fits gives the labels that a runner must offer.
    A name that no rule fits stands for the label of the same name.

    \b
    Examples:
      mainstay labels
      mainstay labels set big-box linux,gpu
    """
    page = server.get(PATH)
    if as_json:
        terminal.print_json(page)
    else:
        _show(page)


def _show(page: dict[str, Any]) -> None:
    table = Table(("RUNS-ON", "A RUNNER MUST OFFER", "WITHOUT SUCH A RUNNER"), flexible=2)
    for rule in page["rules"]:
        without = f"neutral: {rule['neutral']}" if rule["neutral"] else "the job waits" if rule["labels"] else ""
        table.rows.append((rule["pattern"], ", ".join(rule["labels"]) or "nothing", without))
    table.rows.append(("any other name", "that label", "the job waits"))
    out = terminal.output()
    for line in table.lines(out):
        out.line(line)


@labels.command("set")
@click.argument("pattern")
@click.argument("offered", metavar="[LABEL[,LABEL]]", default="")
@click.option("--neutral", metavar="WORDS", help="Without such a runner the job is neutral, for this reason.")
@click.option("--last", is_flag=True, help="Put a new rule last. Without it: first, where it wins over all others.")
@json_option
@client_command
def set_labels(server: Server, pattern: str, offered: str, neutral: str | None, last: bool, as_json: bool) -> None:
    """Say which labels a name in `runs-on` stands for. Without labels any runner will do.

    A pattern that has a rule keeps its place. It counts for jobs that become ready from now on.

    \b
    Examples:
      mainstay labels set big-box linux,gpu
      mainstay labels set 'ubuntu-*' linux
      mainstay labels set 'windows-*' windows --neutral 'Windows is tested by another team'
    """
    pattern = pattern.strip().lower()
    wanted = [label for label in (each.strip() for each in offered.split(",")) if label]
    rule = {"pattern": pattern, "labels": wanted, "neutral": neutral}
    rules = server.get(PATH)["rules"]
    place = next((index for index, each in enumerate(rules) if each["pattern"] == pattern), None)
    if place is not None:
        rules[place] = rule
    else:
        rules.insert(len(rules) if last else 0, rule)
    _put(server, rules, as_json)


@labels.command("remove")
@click.argument("pattern")
@json_option
@client_command
def remove_labels(server: Server, pattern: str, as_json: bool) -> None:
    """Take a rule out of the table.

    \b
    Example:
      mainstay labels remove big-box
    """
    pattern = pattern.strip().lower()
    rules = server.get(PATH)["rules"]
    left = [each for each in rules if each["pattern"] != pattern]
    if len(left) == len(rules):
        raise NotFound(f"no rule has the pattern {pattern!r}; `mainstay labels` shows those there are")
    _put(server, left, as_json)


@labels.command("reset")
@json_option
@client_command
def reset_labels(server: Server, as_json: bool) -> None:
    """Let the built-in table count again.

    \b
    Example:
      mainstay labels reset
    """
    _put(server, None, as_json)


def _put(server: Server, rules: list[dict[str, Any]] | None, as_json: bool) -> None:
    page = server.put(PATH, {"rules": rules})
    if as_json:
        terminal.print_json(page)
    else:
        _show(page)
