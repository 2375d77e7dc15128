"""The commands `mainstay token ...`: API tokens of one's own."""

from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option
from mainstay.cli.terminal import Table


@click.group()
def token() -> None:
    """Make API tokens: create, list, revoke.

    \b
    Example: for a script that starts a workflow each night
      mainstay token create nightly --scope write --repo demo
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="read: see; write: what a maintainer of a repository may; admin: all that you may.",
)
@click.option("--repo", "repositories", multiple=True, metavar="NAME", help="Only for this one. May be repeated.")
@click.option("--days", type=click.IntRange(0, 3650), default=90, show_default=True, help="How long; 0: for ever.")
@json_option
@client_command
def create(server: Server, name: str, scope: str, repositories: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make a token. It is shown this once; the server keeps only its hash.

    It never carries more than your own token does, which must have the scope admin.

    \b
    Examples:
      mainstay token create dashboard
      mainstay token create release-script --scope write --repo demo --days 30
    """
    body = {"name": name, "scope": scope, "repositories": list(repositories) or None, "days": days or None}
    answer = server.post("/tokens", body)
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(answer["token"])


@token.command("list")
@click.option("--all", "everybody", is_flag=True, help="Those of others too; for administrators.")
@json_option
@client_command
def list_tokens(server: Server, everybody: bool, as_json: bool) -> None:
    """List your tokens with scope, last use and end.

    \b
    Example:
      mainstay token list
    """
    page = server.get("/tokens", {"all": "true" if everybody else None})
    if as_json:
        terminal.print_json(page)
    else:
        print_tokens(page["items"], "No token yet. Make one: mainstay token create NAME")


@token.command()
@click.argument("token_id", metavar="ID", type=click.IntRange(0))
@client_command
def revoke(server: Server, token_id: int) -> None:
    """Make a token worthless, now.

    \b
    Example:
      mainstay token revoke 12
    """
    server.delete(f"/tokens/{token_id}")
    terminal.output().line(f"Token {token_id} is worth nothing any more.")


def print_tokens(items: list[dict[str, Any]], nothing: str) -> None:
    """A table of tokens."""
    if not items:
        terminal.messages().line(nothing)
        return
    out = terminal.output()
    table = Table(("ID", "NAME", "WHOSE", "SCOPE", "REPOSITORIES", "LAST USED", "ENDS"), flexible=4)
    for item in items:
        table.rows.append(
            (
                str(item["id"]),
                item["name"],
                item["person"] or "the server",
                item["scope"],
                "all" if item["repositories"] is None else ", ".join(item["repositories"]),
                terminal.ago(item["used_at"]) if item["used_at"] else "not yet",
                item["expires_at"][:10] if item["expires_at"] else "never",
            )
        )
    for line in table.lines(out):
        out.line(line)
