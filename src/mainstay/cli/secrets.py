"""The commands `mainstay secret ...` and `mainstay variable ...`: what jobs are given beside their source."""

import sys
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path
from mainstay.cli.terminal import Table
from mainstay.model.errors import BadInput

MAX_INPUT = 1 << 20
"""Bytes that are read of a value; the server has its own, lower limit."""

environment_option = click.option(
    "--environment", metavar="NAME", help="Only for jobs of this environment (the key `environment` of a job)."
)
all_option = click.option("--all", "for_all", is_flag=True, help="For all repositories; then no repository is named.")


def _names(for_all: bool, names: Sequence[str], wanted: str) -> tuple[str | None, str]:
    """Repository and name, as the arguments have them. Raises UsageError."""
    if len(names) != (1 if for_all else 2):
        raise click.UsageError(f"Name {wanted}." if for_all else f"Name a repository (or --all) and {wanted}.")
    return (None, names[0]) if for_all else (names[0], names[1])


def _path(kind: str, repository: str | None, name: str | None = None) -> str:
    below = "" if name is None else f"/{quote(name, safe='')}"
    return f"{'' if repository is None else repository_path(repository)}/{kind}{below}"


def _place(repository: str | None, environment: str | None) -> str:
    if repository is None:
        return "for all repositories"
    return f"in {repository}" + (f" for the environment {environment}" if environment else "")


@click.group()
def secret() -> None:
    """Secrets that jobs are given: set, list, remove.

    \b
    Example: give the jobs of demo a token, which a workflow has as ${{ secrets.PYPI_TOKEN }}
      mainstay secret set demo PYPI_TOKEN
    """


@secret.command("set")
@click.argument("names", nargs=-1, metavar="[REPOSITORY] NAME")
@environment_option
@all_option
@json_option
@client_command
def set_secret(server: Server, names: tuple[str, ...], environment: str | None, for_all: bool, as_json: bool) -> None:
    """Set a secret. Its value is asked for, or read from standard input; it is never shown again.

    A value of one line is taken without the line end that `echo` adds; one of several lines is taken as it is.

    \b
    Examples:
      mainstay secret set demo PYPI_TOKEN
      mainstay secret set demo SSH_KEY --environment production < id_ed25519
      printenv NPM_TOKEN | mainstay secret set --all NPM_TOKEN
    """
    repository, name = _names(for_all, names, "the secret")
    body = {"value": read_value(name), "environment": environment}
    answer = server.put(_path("secrets", repository, name), body)
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(f"Set the secret {answer['name']} {_place(repository, environment)}.")


def read_value(name: str) -> str:
    """From standard input, asked for where that is a terminal. Raises BadInput for what is no text."""
    if sys.stdin.isatty():
        value: str = click.prompt(f"Value of {name}", hide_input=True, err=True)
        return value
    raw = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(raw) > MAX_INPUT:
        raise BadInput(f"the value of {name} is larger than 1 MiB.")
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        raise BadInput(f"the value of {name} is no text; encode it: base64 FILE | mainstay ... set ...") from None
    bare = value.removesuffix("\n").removesuffix("\r")
    return bare if "\n" not in bare else value


@secret.command("list")
@click.argument("repository", required=False)
@json_option
@client_command
def list_secrets(server: Server, repository: str | None, as_json: bool) -> None:
    """List secrets by name: those of a repository with its environments, else those of all repositories.

    \b
    Example:
      mainstay secret list demo
    """
    _list(server, "secrets", repository, as_json, ("CHANGED", "LAST USED"), _times_of)


def _times_of(item: dict[str, Any]) -> tuple[str, ...]:
    return f"{terminal.ago(item['updated_at'])} by {item['updated_by']}", terminal.ago(item["used_at"])


def _list(
    server: Server,
    kind: str,
    repository: str | None,
    as_json: bool,
    columns: tuple[str, ...],
    cells: Callable[[dict[str, Any]], tuple[str, ...]],
) -> None:
    page = server.get(_path(kind, repository))
    if as_json:
        terminal.print_json(page)
        return
    if not page["items"]:
        what = kind.removesuffix("s")
        where = repository or "--all"
        terminal.messages().line(f"No {what} is set there. Set one: mainstay {what} set {where} NAME")
        return
    table = Table(("NAME", "FOR", *columns), flexible=1)
    for item in page["items"]:
        place = item["repository"] or "all repositories"
        where = f"{place}, environment {item['environment']}" if item["environment"] else place
        table.rows.append((item["name"], where, *cells(item)))
    out = terminal.output()
    for line in table.lines(out):
        out.line(line)


@secret.command("remove")
@click.argument("names", nargs=-1, metavar="[REPOSITORY] NAME")
@environment_option
@all_option
@client_command
def remove_secret(server: Server, names: tuple[str, ...], environment: str | None, for_all: bool) -> None:
    """Remove a secret; jobs that mention it have an empty text from then on.

    \b
    Example:
      mainstay secret remove demo PYPI_TOKEN
    """
    _remove(server, "secret", names, environment, for_all)


def _remove(server: Server, what: str, names: tuple[str, ...], environment: str | None, for_all: bool) -> None:
    repository, name = _names(for_all, names, f"the {what}")
    server.delete(_path(f"{what}s", repository, name), {"environment": environment})
    terminal.output().line(f"Removed the {what} {name} {_place(repository, environment)}.")


@click.group()
def variable() -> None:
    """Variables that jobs are given: set, list, remove.

    \b
    Example: a value that workflows have as ${{ vars.REGION }}
      mainstay variable set demo REGION eu-1
    """


@variable.command("set")
@click.argument("names", nargs=-1, metavar="[REPOSITORY] NAME [VALUE]")
@environment_option
@all_option
@json_option
@client_command
def set_variable(server: Server, names: tuple[str, ...], environment: str | None, for_all: bool, as_json: bool) -> None:
    """Set a variable. Without VALUE it is read from standard input.

    \b
    Examples:
      mainstay variable set demo REGION eu-1
      mainstay variable set demo REGION us-2 --environment production
    """
    count = 1 if for_all else 2
    given = names[count] if len(names) == count + 1 else None
    repository, name = _names(for_all, names if given is None else names[:-1], "the variable")
    value = read_value(name) if given is None else given
    answer = server.put(_path("variables", repository, name), {"value": value, "environment": environment})
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(f"Set the variable {answer['name']} {_place(repository, environment)}.")


@variable.command("list")
@click.argument("repository", required=False)
@json_option
@client_command
def list_variables(server: Server, repository: str | None, as_json: bool) -> None:
    """List variables with their values: those of a repository with its environments, else those of all repositories.

    \b
    Example:
      mainstay variable list demo
    """
    _list(server, "variables", repository, as_json, ("VALUE", "CHANGED"), _value_of)


def _value_of(item: dict[str, Any]) -> tuple[str, ...]:
    return terminal.one_line(item["value"]), f"{terminal.ago(item['updated_at'])} by {item['updated_by']}"


@variable.command("remove")
@click.argument("names", nargs=-1, metavar="[REPOSITORY] NAME")
@environment_option
@all_option
@client_command
def remove_variable(server: Server, names: tuple[str, ...], environment: str | None, for_all: bool) -> None:
    """Remove a variable; jobs that mention it have an empty text from then on.

    \b
    Example:
      mainstay variable remove demo REGION
    """
    _remove(server, "variable", names, environment, for_all)
