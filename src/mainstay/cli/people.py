"""The commands `mainstay people ...` and `mainstay audit`: who may do what, and who did what."""

from typing import Any
from urllib.parse import quote

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path
from mainstay.cli.terminal import Table
from mainstay.model.errors import BadInput

ROLES = ("reader", "developer", "maintainer", "admin")
role_option = click.option("--role", type=click.Choice([*ROLES, "none"]), help="The role in all repositories.")
repository_option = click.option("--repo", metavar="NAME", help="The role is for this repository only.")


@click.group()
def people() -> None:
    """Let people in: add, list, show, set, remove, link.

    \b
    Example: a colleague who may run again and cancel everywhere
      mainstay people add ada --role developer
    """


@people.command()
@click.argument("name")
@role_option
@repository_option
@click.option("--full-name", metavar="NAME", help="What others know the person by.")
@click.option("--email", metavar="ADDRESS", help="Where messages go.")
@json_option
@client_command
def add(
    server: Server,
    name: str,
    role: str | None,
    repo: str | None,
    full_name: str | None,
    email: str | None,
    as_json: bool,
) -> None:
    """Let somebody in.

    Prints a link, good once and for 7 days, with which the person sets a password.

    \b
    Examples:
      mainstay people add ada --role admin
      mainstay people add grace --role maintainer --repo demo
    """
    everywhere = role if role != "none" and repo is None else None
    body = {"name": name, "role": everywhere, "full_name": full_name or "", "email": email}
    answer = server.post("/people", body)
    if repo is not None and role not in (None, "none"):
        server.put(f"{repository_path(repo)}/people/{quote(answer['name'], safe='')}", {"role": role})
    if as_json:
        terminal.print_json(answer)
    else:
        out = terminal.output()
        out.line(f"Send {answer['name']} this link; it is good once and for 7 days:")
        out.line(answer["link"])


@people.command("list")
@json_option
@client_command
def list_people(server: Server, as_json: bool) -> None:
    """List everybody who can sign in.

    \b
    Example:
      mainstay people list
    """
    found = server.listed("/people", {})
    if as_json:
        terminal.print_json(found)
        return
    if not found["items"]:
        terminal.messages().line("Nobody yet but the server's operator. Let somebody in: mainstay people add NAME")
        return
    out = terminal.output()
    table = Table(("NAME", "ROLE", "IN SINGLE REPOSITORIES", "SIGNS IN WITH", "LAST SIGN-IN"), flexible=2)
    for item in found["items"]:
        single = ", ".join(f"{each['repository']}: {each['role']}" for each in item["roles"])
        table.rows.append((item["name"], _role(item), single, item["signs_in_with"], terminal.ago(item["seen_at"])))
    for line in table.lines(out):
        out.line(line)


def _role(item: dict[str, Any]) -> str:
    found = [word for word in (item["role"], item["group_role"]) if word]
    return max(found, key=ROLES.index) if found else "none"


@people.command()
@click.argument("name")
@json_option
@client_command
def show(server: Server, name: str, as_json: bool) -> None:
    """Show one person with all roles.

    \b
    Example:
      mainstay people show ada
    """
    item = server.get(_path(name))
    if as_json:
        terminal.print_json(item)
        return
    out = terminal.output()
    full = f" ({item['full_name']})" if item["full_name"] else ""
    out.line(f"{item['name']}{full} signs in with {item['signs_in_with']}")
    out.line(f"mail: {item['email'] or 'none, so nothing is sent'}")
    out.line(f"all repositories: {_role(item)}")
    for each in item["roles"]:
        out.line(f"{each['repository']}: {each['role']}" + (" (by groups)" if each["origin"] == "groups" else ""))


@people.command("set")
@click.argument("name")
@role_option
@repository_option
@click.option("--full-name", metavar="NAME", help="What others know the person by.")
@click.option("--email", metavar="ADDRESS", help="Where messages go; empty: nowhere.")
@json_option
@client_command
def set_person(
    server: Server,
    name: str,
    role: str | None,
    repo: str | None,
    full_name: str | None,
    email: str | None,
    as_json: bool,
) -> None:
    """Give somebody another role, or take it away with `none`.

    \b
    Examples:
      mainstay people set ada --role maintainer --repo demo
      mainstay people set ada --role none
    """
    change: dict[str, object] = {}
    if role is not None and repo is None:
        change["role"] = None if role == "none" else role
    if full_name is not None:
        change["full_name"] = full_name
    if email is not None:
        change["email"] = email or None
    if repo is not None:
        if role is None:
            raise BadInput("--repo says where a role is to be set, and none is given; add --role.")
        path = f"{repository_path(repo)}/people/{quote(name, safe='')}"
        if role == "none":
            server.delete(path)
        else:
            server.put(path, {"role": role})
    elif not change:
        raise BadInput("Nothing is to be changed; give --role, --full-name or --email.")
    answer = server.patch(_path(name), change) if change else server.get(_path(name))
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(f"{name} is changed.")


@people.command()
@click.argument("name")
@client_command
def remove(server: Server, name: str) -> None:
    """Let nobody be this person any more: sessions and tokens end at once.

    \b
    Example:
      mainstay people remove ada
    """
    server.delete(_path(name))
    terminal.output().line(f"{name} is removed; what was done under that name stays in the audit trail.")


@people.command()
@click.argument("name")
@json_option
@client_command
def link(server: Server, name: str, as_json: bool) -> None:
    """Make a link with which somebody sets a new password.

    \b
    Example: for who has forgotten it
      mainstay people link ada
    """
    answer = server.post(f"{_path(name)}/link")
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(answer["link"])


def _path(name: str) -> str:
    return f"/people/{quote(name, safe='')}"


@click.command()
@click.option("--actor", metavar="NAME", help="Only what this person has done.")
@click.option("--action", metavar="ACTION", help="Only this: `build.cancel`, or `build` for all about builds.")
@click.option("--repo", metavar="NAME", help="Only what concerns this repository.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@json_option
@client_command
def audit(server: Server, limit: int, as_json: bool, **asked: str | None) -> None:
    """List who changed what, when and from where; newest first.

    \b
    Examples:
      mainstay audit --actor ada
      mainstay audit --action secret --repo demo
    """
    found = server.listed("/audit", asked, limit)
    if as_json:
        terminal.print_json(found)
        return
    if not found["items"]:
        terminal.messages().line("Nothing was changed yet that fits.")
        return
    out = terminal.output()
    table = Table(("WHEN", "WHO", "WHAT", "ON", "HOW", "FROM"), flexible=4)
    for item in found["items"]:
        who = item["actor"] + (f" (token {item['token']})" if item["token"] else "")
        row = (terminal.ago(item["at"]), who, item["action"], item["subject"], item["detail"], item["address"] or "")
        table.rows.append(row)
    for line in table.lines(out):
        out.line(line)
