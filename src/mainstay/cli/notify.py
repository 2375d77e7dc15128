"""The commands `mainstay notify ...`: where reports of a repository go, and what became of each message."""

from typing import Any
from urllib.parse import quote

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path
from mainstay.cli.terminal import Painted, Table

KINDS = ("broken", "still-broken", "fixed", "flaky", "digest", "finished")


@click.group()
def notify() -> None:
    """Say where reports go: to channels of a repository, and to you.

    \b
    Example: a mail to the team when main of shop breaks and when it is mended
      mainstay notify add shop team mail team@example.org --branch main
    """


def channel_path(repository: str, name: str) -> str:
    """Path of a channel."""
    return f"{repository_path(repository)}/channels/{quote(name, safe='')}"


@notify.command("list")
@click.argument("repository")
@json_option
@client_command
def list_channels(server: Server, repository: str, as_json: bool) -> None:
    """List where reports of a repository go.

    \b
    Example:
      mainstay notify list shop
    """
    found = server.get(f"{repository_path(repository)}/channels")
    if as_json:
        terminal.print_json(found)
        return
    if not found["items"]:
        terminal.messages().line(
            f"{repository} has no channel. Add one: mainstay notify add {repository} NAME mail ADDRESS"
        )
        return
    table = Table(("NAME", "KIND", "ADDRESS", "BRANCHES", "REPORTS"), flexible=2)
    for item in found["items"]:
        kinds = ", ".join(item["kinds"])
        table.rows.append((item["name"], item["kind"], item["address"], " ".join(item["branches"]), kinds))
    out = terminal.output()
    for line in table.lines(out):
        out.line(line)


@notify.command()
@click.argument("repository")
@click.argument("name")
@click.argument("kind", type=click.Choice(["mail", "chat", "webhook"]))
@click.argument("address")
@click.option("--branch", "branches", multiple=True, metavar="PATTERN", help="Only of these branches. May be repeated.")
@click.option("--on", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these reports. May be repeated.")
@click.option(
    "--language", type=click.Choice(["en", "zh-CN"]), default="en", show_default=True, help="Of the messages."
)
@json_option
@client_command
def add(
    server: Server,
    repository: str,
    name: str,
    kind: str,
    address: str,
    branches: tuple[str, ...],
    kinds: tuple[str, ...],
    language: str,
    as_json: bool,
) -> None:
    """Send reports of a repository somewhere.

    ADDRESS is mail addresses with commas between; the address of a chat as apprise has it (dingtalk://, feishu://,
    wecombot://, slack://, workflows:// for Teams, tgram:// ...); or the URL of a webhook, whose secret is shown once.

    \b
    Examples:
      mainstay notify add shop team mail team@example.org --branch main
      mainstay notify add shop chat chat dingtalk://TOKEN --language zh-CN
      mainstay notify add shop board webhook https://board.example.org/hooks --on finished
    """
    body: dict[str, Any] = {"name": name, "kind": kind, "address": address, "kinds": list(kinds), "language": language}
    if branches:
        body["branches"] = list(branches)
    added = server.post(f"{repository_path(repository)}/channels", body)
    if as_json:
        terminal.print_json(added)
        return
    out = terminal.output()
    out.line(f"Reports of {repository} go to {added['address']}. Try it: mainstay notify test {repository} {name}")
    if added["secret"]:
        out.line(f"Its webhooks are signed with this secret, which is shown only now: {added['secret']}")


@notify.command()
@click.argument("repository")
@click.argument("name")
@client_command
def remove(server: Server, repository: str, name: str) -> None:
    """Remove a channel; what waits for it is not sent.

    \b
    Example:
      mainstay notify remove shop team
    """
    server.delete(channel_path(repository, name))
    terminal.output().line(f"Removed channel {name} of {repository}.")


@notify.command()
@click.argument("repository", required=False)
@click.argument("name", required=False)
@click.option("--to", metavar="ADDRESS", help="Instead of a channel: a mail to this address, now.")
@client_command
def test(server: Server, repository: str | None, name: str | None, to: str | None) -> int:
    """Send a message that tells nothing but that it arrives.

    \b
    Examples:
      mainstay notify test --to ada@example.org
      mainstay notify test shop team
    """
    out = terminal.output()
    if to is not None:
        how = server.post("/outbox/mail-test", {"to": to})
        out.line(f"The mail server took a mail to {to}." if how["sent"] else f"No mail went to {to}: {how['error']}.")
        return 0 if how["sent"] else 1
    if repository is None or name is None:
        raise click.UsageError("Name a repository and its channel, or an address with --to.")
    asked = server.post(f"{channel_path(repository, name)}/test")
    out.line(f"On its way: message {', '.join(map(str, asked['messages']))}. See mainstay notify sent {repository}")
    return 0


@notify.command()
@click.argument("repository")
@click.option("--state", type=click.Choice(["waiting", "sent", "failed", "dropped"]), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many.")
@json_option
@client_command
def sent(server: Server, repository: str, state: str | None, limit: int, as_json: bool) -> None:
    """List what was sent and what is to be sent, newest first.

    \b
    Example:
      mainstay notify sent shop --state failed
    """
    found = server.get(f"{repository_path(repository)}/messages", {"state": state, "limit": limit})
    if as_json:
        terminal.print_json(found)
        return
    if not found["items"]:
        terminal.messages().line(
            "No message is like that."
            if state
            else f"Nothing was sent yet: a message is made when a branch of {repository} breaks or is mended."
        )
        return
    out = terminal.output()
    table = Table(("ID", "IS", "TO", "TRIES", "WHEN", "WHAT", "PROBLEM"), flexible=6, right=frozenset({0, 3}))
    for item in found["items"]:
        when = terminal.ago(item["ended_at"] or item["created_at"])
        problem = Painted(terminal.one_line(item["error"]), "red") if item["error"] else ""
        told = (terminal.one_line(item["heading"]), problem)
        table.rows.append(
            (str(item["id"]), out.state(item["state"]), item["recipient"], str(item["tries"]), when, *told)
        )
    for line in table.lines(out):
        out.line(line)


@notify.command()
@click.argument("repository")
@click.argument("message", type=int)
@client_command
def resend(server: Server, repository: str, message: int) -> None:
    """Send a message now, again if it was sent before.

    \b
    Example:
      mainstay notify resend shop 41
    """
    server.post(f"{repository_path(repository)}/messages/{message}/send")
    terminal.output().line(f"Message {message} is on its way.")


@notify.command()
@click.argument("repository")
@click.argument("message", type=int)
@client_command
def drop(server: Server, repository: str, message: int) -> None:
    """Take a message away that waits.

    \b
    Example:
      mainstay notify drop shop 41
    """
    server.post(f"{repository_path(repository)}/messages/{message}/drop")
    terminal.output().line(f"Message {message} is not sent.")


@notify.command()
@click.argument("repository", required=False)
@click.option("--branch", "branches", multiple=True, metavar="PATTERN", help="Only of these branches. May be repeated.")
@click.option(
    "--on", "kinds", multiple=True, type=click.Choice(KINDS[:-1]), help="Only these reports. May be repeated."
)
@click.option(
    "--language", type=click.Choice(["en", "zh-CN"]), default="en", show_default=True, help="Of the messages."
)
@json_option
@client_command
def me(
    server: Server,
    repository: str | None,
    branches: tuple[str, ...],
    kinds: tuple[str, ...],
    language: str,
    as_json: bool,
) -> None:
    """Have yourself told of a repository, or of all that you may see. It needs a token of your own.

    \b
    Examples:
      mainstay notify me shop --branch main
      mainstay notify me --on broken --on fixed
    """
    body: dict[str, Any] = {"repository": repository, "kinds": list(kinds), "language": language}
    if branches:
        body["branches"] = list(branches)
    made = server.post("/subscriptions", body)
    if as_json:
        terminal.print_json(made)
    else:
        terminal.output().line(f"You are told of {repository or 'all repositories'}. See mainstay notify mine")


@notify.command()
@json_option
@client_command
def mine(server: Server, as_json: bool) -> None:
    """List what you are told of yourself.

    \b
    Example:
      mainstay notify mine
    """
    found = server.get("/subscriptions")
    if as_json:
        terminal.print_json(found)
        return
    if not found["items"]:
        terminal.messages().line(
            "You have asked for nothing yet. Be told of a repository: mainstay notify me REPOSITORY"
        )
        return
    table = Table(("ID", "REPOSITORY", "BRANCHES", "REPORTS"), flexible=3)
    for item in found["items"]:
        kinds = ", ".join(item["kinds"])
        table.rows.append((str(item["id"]), item["repository"] or "(all)", " ".join(item["branches"]), kinds))
    out = terminal.output()
    for line in table.lines(out):
        out.line(line)


@notify.command()
@click.argument("subscription", type=int)
@client_command
def forget(server: Server, subscription: int) -> None:
    """Be told no more of something; its number is shown by `mainstay notify mine`.

    \b
    Example:
      mainstay notify forget 3
    """
    server.delete(f"/subscriptions/{subscription}")
    terminal.output().line(f"Subscription {subscription} is taken back.")
