"""Commands about runners: who takes jobs, and the token with which another one enrols."""

import functools
from collections.abc import Callable
from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option
from mainstay.cli.terminal import Table
from mainstay.cli.tokens import print_tokens


@click.command()
@json_option
@client_command
def runners(server: Server, as_json: bool) -> None:
    """List runners with labels, load and last contact.

    \b
    Example:
      mainstay runners
    """
    page = server.get("/runners")
    if as_json:
        terminal.print_json(page)
        return
    for each in server.get("/runners/failing")["items"]:
        terminal.messages().line(f"{each['name']} {why_it_fails(each)}")
    if not page["items"]:
        terminal.messages().line("No runner has called yet. Make a token for one: mainstay runner-token")
        return
    out = terminal.output()
    table = Table(
        ("RUNNER", "IS", "BUSY", "LABELS", "EXECUTOR", "VERSION", "LAST CONTACT"), flexible=3, names=frozenset({0})
    )
    for item in page["items"]:
        table.rows.append(
            (
                item["name"],
                out.state(item["state"]),
                f"{item['running']} of {item['capacity']}",
                ", ".join(item["labels"]),
                item["executor"],
                item["version"],
                terminal.ago(item["last_contact_at"]),
            )
        )
    for line in table.lines(out):
        out.line(line)


def why_it_fails(failing: dict[str, Any]) -> str:
    """Of a local runner that does not start: how often, why, and when it is tried again."""
    often = "did not start" if failing["times"] == 1 else f"does not start: it failed {failing['times']} times in a row"
    at, again = terminal.moment(failing["failed_at"]), terminal.moment(failing["next_at"])
    pause = terminal.duration((again - at).total_seconds()) if at and again and again > at else ""
    later = f"it is tried again {pause} after that" if pause else "it is tried again at once"
    return f"{often}, last {terminal.ago(failing['failed_at'])}: {failing['reason'].rstrip('.')}; {later}"


def by_itself(function: Callable[..., None]) -> Callable[..., None]:
    """Let a group be a command too: what it does is done only when none of its commands is named."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        if click.get_current_context().invoked_subcommand is None:
            function(*args, **kwargs)

    return command


@click.group("runner-token", invoke_without_command=True)
@click.option("--name", metavar="NAME", help="What the token is called in lists; for the host it goes to, say.")
@json_option
@by_itself
@client_command
def runner_token(server: Server, name: str | None, as_json: bool) -> None:
    """Make a token with which a runner enrols; list and revoke those there are.

    It is shown this once; the server keeps only its hash.

    \b
    Example: start a runner on another machine
      MAINSTAY_RUNNER_TOKEN=$(mainstay runner-token) mainstay runner --server https://ci.example.org
    """
    answer = server.post("/runner-tokens", {"name": name} if name else {})
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(answer["token"])


@runner_token.command("list")
@json_option
@client_command
def list_runner_tokens(server: Server, as_json: bool) -> None:
    """List the tokens of runners with last use.

    \b
    Example:
      mainstay runner-token list
    """
    page = server.get("/runner-tokens")
    if as_json:
        terminal.print_json(page)
    else:
        print_tokens(page["items"], "No runner has a token yet. Make one: mainstay runner-token")


@runner_token.command("revoke")
@click.argument("token_id", metavar="ID", type=click.IntRange(0))
@client_command
def revoke_runner_token(server: Server, token_id: int) -> None:
    """Make a runner's token worthless, now: its runners get no more work and can deliver nothing.

    \b
    Example:
      mainstay runner-token revoke 3
    """
    server.delete(f"/runner-tokens/{token_id}")
    terminal.output().line(f"Token {token_id} is worth nothing any more.")
