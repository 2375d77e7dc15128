"""The commands that stay up: `mainstay up`, `mainstay server` and `mainstay runner`.

What they are made of is imported when they run: start-up time, and `--help` needs none of it.
"""

from collections.abc import Callable
from typing import Any

import click

from mainstay.cli import settings
from mainstay.cli.connection import data_option

host_option = click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port; 0 takes a free one."
)
database_option = click.option(
    "--database",
    metavar="URL",
    help=f"The database: sqlite:///PATH or postgresql://USER@HOST/NAME ({settings.DATABASE.name}).",
)
blobs_option = click.option(
    "--blobs", metavar="URL", help=f"Where logs and artifacts are kept: a folder or s3://... ({settings.BLOBS.name})."
)
public_url_option = click.option(
    "--public-url",
    metavar="URL",
    help=f"The address under which others reach this server, behind a proxy say ({settings.PUBLIC_URL.name}).",
)
smtp_option = click.option(
    "--smtp", metavar="URL", help=f"The mail server: smtp://USER@HOST:587 ({settings.SMTP.name})."
)
mail_from_option = click.option(
    "--mail-from", metavar="ADDRESS", help=f"The address that mail comes from ({settings.MAIL_FROM.name})."
)
verbose_option = click.option("--verbose", "-v", is_flag=True, help="Tell more on standard error.")
labels_option = click.option(
    "--labels", metavar="A,B", help="What the runners offer to jobs, besides their own labels."
)
executor_option = click.option(
    "--executor",
    type=click.Choice(["process", "bubblewrap", "container"]),
    help="How jobs are kept apart from the machine. Without it: bubblewrap where it works.",
)


def container_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is said of jobs in containers, the same wherever jobs are run."""
    for option in (
        click.option(
            "--open-containers", is_flag=True, help="Let jobs have privileged containers and any folder in them."
        ),
        click.option(
            "--image", metavar="IMAGE", help="With --executor container: for jobs that name none. Without it: Python's."
        ),
        click.option(
            "--engine",
            type=click.Choice(["podman", "docker", "none"]),
            help="What makes containers. Without it: the first of podman and docker that works.",
        ),
    ):
        command = option(command)
    return command


class _Bounds(click.ParamType[tuple[int, int]]):
    """`4` or `1:8`: how many local runners, or at least and at most how many."""

    name = "MIN[:MAX]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value[0], value[1]
        least, mark, most = str(value).partition(":")
        if not least.isdecimal() or (mark and not most.isdecimal()):
            self.fail(f"{value!r} is no number of runners; write 4, or 1:8 for one to eight.", param, ctx)
        bounds = int(least), int(most or least)
        if bounds[0] > bounds[1] or bounds[1] > 1000:
            self.fail(
                f"{value!r} is no number of runners: at least must not be above at most, at most 1000.", param, ctx
            )
        return bounds


@click.command()
@data_option
@host_option
@port_option
@click.option(
    "--runners", type=_Bounds(), default="1:4", show_default=True, help="How many local runners: at least and at most."
)
@click.option("--idle", "idle_s", type=click.FloatRange(min=0), default=60.0, hidden=True)  # for tests: seconds
@labels_option
@executor_option
@container_options
@database_option
@blobs_option
@public_url_option
@smtp_option
@mail_from_option
@click.option("--sample", is_flag=True, help="Add a small sample project when no repository is watched yet.")
@click.option("--once", is_flag=True, help="End after the sample's verdicts: 0 if they are the expected ones, else 1.")
@verbose_option
def up(runners: tuple[int, int], sample: bool, once: bool, verbose: bool, **where: Any) -> int:
    """Start the server and its local runners in one.

    Prints `Mainstay is up at URL` once it answers, and stays up until Ctrl-C. The data folder then holds the files
    `url` and `token`, with which all other commands find it.

    \b
    Examples:
      mainstay up
      mainstay up --host 0.0.0.0 --port 80 --runners 2:8 --public-url https://ci.example.org
    """
    from mainstay.cli import staying  # noqa: PLC0415  (start-up time)

    staying.log_to_stderr(verbose=verbose)
    return staying.up(staying.place(where, runners), sample=sample or once, once=once)


@click.command()
@data_option
@host_option
@port_option
@database_option
@blobs_option
@public_url_option
@smtp_option
@mail_from_option
@verbose_option
def server(verbose: bool, **where: Any) -> int:
    """Start a server by itself.

    Runners call it from anywhere; several servers can share one PostgreSQL and one bucket, behind a load balancer.

    \b
    Example:
      mainstay server --host 0.0.0.0 --database postgresql://mainstay@db/mainstay --blobs s3://ci-logs
    """
    from mainstay.cli import staying  # noqa: PLC0415  (start-up time)

    staying.log_to_stderr(verbose=verbose)
    return staying.server(staying.place(where))


@click.command()
@click.option("--server", "server_url", metavar="URL", help=f"The server to work for ({settings.URL.name}).")
@click.option("--token", metavar="T", help=f"From `mainstay runner-token` ({settings.RUNNER_TOKEN.name}).")
@click.option("--token-file", metavar="FILE", help="Read the token from this file.")
@click.option("--name", help="What it is called. Without it: the name of this machine.")
@labels_option
@click.option("--capacity", type=click.IntRange(1, 512), default=1, show_default=True, help="How many jobs at once.")
@executor_option
@container_options
@click.option("--once", is_flag=True, help="End after one job.")
@click.option("--data", metavar="DIR", help="Its own folder. Without it: one in the user's data folder.")
@verbose_option
def runner(server_url: str | None, **how: Any) -> int:
    """Start a runner that takes jobs from a server.

    It calls the server, never the other way round. The small distribution `mainstay-runner` has this command alone.

    \b
    Example:
      mainstay runner --server https://ci.example.org --token mst_... --labels gpu --capacity 4
    """
    from mainstay.runner.command import main  # noqa: PLC0415  (start-up time)

    arguments = ["--server", settings.find_server(server_url, None, None).url]
    for name, value in how.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(option)
        elif value:
            arguments += [option, str(value)]
    return main(arguments)
