"""The commands `mainstay repo ...`: which repositories are watched, and how."""

from pathlib import Path
from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import Server, client_command, json_option, repository_path
from mainstay.cli.terminal import Painted, Table

POLICIES = ("every", "first-parent", "latest")

branch_option = click.option(
    "--branch",
    "branches",
    multiple=True,
    metavar="PATTERN",
    help="Branches to watch, `release/*` say. May be repeated.",
)
commits_option = click.option(
    "--commits",
    type=click.Choice(POLICIES),
    help="Which commits of a push get builds: every one, those of the first-parent line, or the latest.",
)
poll_option = click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="How often to look at a remote that cannot tell us of pushes.",
)
supersede_option = click.option(
    "--supersede/--no-supersede",
    default=None,
    help="Whether a newer commit of a branch cancels the waiting builds of older ones. Off at first.",
)


bisect_option = click.option(
    "--bisect/--no-bisect",
    default=None,
    help="Whether skipped commits are tested by halving, with the failing tests only, when a branch goes red. On at"
    " first.",
)


@click.group()
def repo() -> None:
    """Watch repositories: add, list, show, set, remove, key, webhook.

    \b
    Example: watch the repository in this folder
      mainstay repo add demo .
    """


@repo.command()
@click.argument("name")
@click.argument("url", required=False)
@branch_option
@commits_option
@poll_option
@supersede_option
@click.option("--since", metavar="COMMIT", help="Build what came after this commit too, not only the branches' tips.")
@json_option
@client_command
def add(server: Server, name: str, url: str | None, since: str | None, as_json: bool, **how: Any) -> None:
    """Watch a repository.

    URL is a path, ssh or https. Without URL the repository lives on the server, and people push to it there.

    \b
    Examples:
      mainstay repo add demo https://example.org/demo.git --branch main --branch "release/*"
      mainstay repo add mine            (then: git push SERVER/git/mine.git main)
    """
    body = {"name": name, "url": _absolute(url), "since": since, **_asked(how)}
    answer = server.post("/repositories", {key: value for key, value in body.items() if value is not None})
    if as_json:
        terminal.print_json(answer)
        return
    out = terminal.output()
    if url is None:
        out.line(f"{name} lives here now. Push to it: git push {server.url}/git/{name}.git HEAD:main")
        out.line("git asks for a user name (any) and a password: your token, the file `token` of the data folder.")
    else:
        out.line(f"Watching {name}. Its builds: mainstay builds --repo {name}")
        path = str(body["url"])
        if path.startswith("/") and not Path(path).exists():
            look = f"How the server's look at it went: mainstay repo show {name}"
            terminal.messages().line(f"There is no {path} on this machine. {look}")


def _absolute(url: str | None) -> str | None:
    """A path is meant as seen from here, and the server stands elsewhere."""
    if url is None or "://" in url:
        return url
    path = Path(url).expanduser()
    # `host:path` is ssh, as git has it, unless there is such a file.
    if ":" in url.split("/", 1)[0] and not path.exists():
        return url
    return str(path.absolute())


def _asked(how: dict[str, Any]) -> dict[str, Any]:
    """Of the options that say how to watch, those that were given."""
    given = {name: value for name, value in how.items() if value not in (None, ())}
    if "branches" in given:
        given["branches"] = list(given["branches"])
    return given


@repo.command("list")
@json_option
@client_command
def list_repositories(server: Server, as_json: bool) -> None:
    """List the watched repositories.

    \b
    Example:
      mainstay repo list
    """
    page = server.get("/repositories")
    if as_json:
        terminal.print_json(page)
        return
    if not page["items"]:
        terminal.messages().line("No repository is watched yet. Watch one: mainstay repo add NAME URL")
        return
    table = Table(("NAME", "URL", "BRANCHES", "LAST LOOK", "PROBLEM"), flexible=1)
    for item in page["items"]:
        table.rows.append(
            (
                item["name"],
                item["url"] or "(lives here)",
                " ".join(item["branches"]),
                terminal.ago(item.get("seen_at")),
                Painted(terminal.one_line(item["error"]), "red") if item.get("error") else "",
            )
        )
    out = terminal.output()
    for line in table.lines(out):
        out.line(line)


@repo.command()
@click.argument("name")
@json_option
@client_command
def show(server: Server, name: str, as_json: bool) -> None:
    """Show how a repository is watched, and how the last look at it went.

    \b
    Example:
      mainstay repo show demo
    """
    found = server.get(repository_path(name))
    if as_json:
        terminal.print_json(found)
        return
    _print_repository(found)


def _print_repository(found: Any) -> None:
    out = terminal.output()
    out.line(out.paint(found["name"], bold=True))
    lines = [
        ("lives at", found["url"] or "this server"),
        ("branches", " ".join(found["branches"])),
        ("commits", found["commits"]),
        ("poll every", f"{found['poll_s']:g} s" if found["poll_s"] < 60 else terminal.duration(found["poll_s"])),
        ("supersede", "yes" if found.get("supersede") else "no"),
        ("public", "yes" if found.get("public") else "no"),
        ("bisect", "yes" if found.get("bisect") else "no"),
        ("last look", terminal.ago(found.get("seen_at"))),
    ]
    if found.get("paused_at"):
        lines.append(
            ("paused", f"{terminal.ago(found['paused_at'])}; resume it: mainstay repo set {found['name']} --resume")
        )
    for label, value in lines:
        out.line(f"  {out.faint(label.ljust(10))}  {value}")
    if found.get("error"):
        out.line(f"  {out.glyph('failed')} {found['error']}")
        at = terminal.moment(found.get("next_poll_at"))
        if at:
            out.line(f"  next try at {at.astimezone():%H:%M:%S}")


@repo.command("set")
@click.argument("name")
@click.option("--url", help="It moved to here.")
@branch_option
@commits_option
@poll_option
@supersede_option
@click.option(
    "--public/--private",
    default=None,
    help="Whether everybody may read it, without signing in. For its administrators.",
)
@click.option("--pause/--resume", "paused", default=None, help="Whether pushes and schedules start nothing for now.")
@bisect_option
@json_option
@client_command
def change(server: Server, name: str, url: str | None, as_json: bool, **how: Any) -> None:
    """Change how a repository is watched. What is not named stays.

    \b
    Example:
      mainstay repo set demo --branch main --commits latest
      mainstay repo set demo --pause
    """
    body = _asked(how)
    if url is not None:
        body["url"] = _absolute(url)
    if not body:
        raise click.UsageError("Name what to change; mainstay repo set --help lists it.")
    answer = server.patch(repository_path(name), body)
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(f"Changed {name}.")


@repo.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@client_command
def remove(server: Server, name: str, yes: bool) -> None:
    """Watch a repository no longer; its builds, logs and artifacts go with it.

    \b
    Example:
      mainstay repo remove demo --yes
    """
    if not yes:
        click.confirm(f"Remove repository {name} with all its builds, logs and artifacts?", abort=True, err=True)
    server.delete(repository_path(name))
    terminal.output().line(f"Removed repository {name}.")


@repo.command()
@click.argument("name")
@json_option
@client_command
def key(server: Server, name: str, as_json: bool) -> None:
    """Print the public half of a repository's own deploy key, which is made when it is first asked for.

    Give it to the forge, as a key that may read. The private half never leaves the server.

    \b
    Example:
      mainstay repo key demo
    """
    answer = server.post(f"{repository_path(name)}/key")
    if as_json:
        terminal.print_json(answer)
    else:
        terminal.output().line(answer["key"])


@repo.command()
@click.argument("name")
@json_option
@client_command
def webhook(server: Server, name: str, as_json: bool) -> None:
    """Print where a forge sends its pushes, with a new secret that signs them; an earlier one is worth nothing then.

    \b
    Example:
      mainstay repo webhook demo
    """
    answer = server.post(f"{repository_path(name)}/webhook")
    if as_json:
        terminal.print_json(answer)
        return
    out = terminal.output()
    out.line(f"address  {answer['address']}")
    out.line(f"secret   {answer['secret']}")
    terminal.messages().line("The secret is shown only now. Give both to the forge, as a webhook for pushes, in JSON.")
