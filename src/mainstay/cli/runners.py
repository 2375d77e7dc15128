"""Commands about runners: who takes jobs, and the token with which another one enrols."""

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option
from mainstay.cli.terminal import Painted, Table

COLOURS = {"online": "green", "draining": "yellow", "offline": "red"}


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
    if not page["items"]:
        terminal.messages().line("No runner has called yet. Make a token for one: mainstay runner-token")
        return
    out = terminal.output()
    table = Table(("RUNNER", "IS", "BUSY", "LABELS", "EXECUTOR", "VERSION", "LAST CONTACT"), flexible=3)
    for item in page["items"]:
        table.rows.append(
            (
                item["name"],
                Painted(item["state"], COLOURS.get(item["state"])),
                f"{item['running']} of {item['capacity']}",
                ", ".join(item["labels"]),
                item["executor"],
                item["version"],
                terminal.ago(item["last_contact_at"]),
            )
        )
    for line in table.lines(out):
        out.line(line)


@click.command("runner-token")
@click.option("--name", metavar="NAME", help="What the token is called in lists; for the host it goes to, say.")
@json_option
@client_command
def runner_token(server: Server, name: str | None, as_json: bool) -> None:
    """Make a token with which a runner enrols.

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
