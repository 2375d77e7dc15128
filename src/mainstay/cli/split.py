"""The command `mainstay split`: divides a suite among shards by measured durations."""

import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import click
import msgspec

from mainstay.cli import settings
from mainstay.cli.connection import Server, data_option, repository_path
from mainstay.runner.folders import COLLECT


def _program() -> ModuleType:
    """The program that jobs have: it lies in the folder that is on their PYTHONPATH, and is no part of a package."""
    spec = spec_from_file_location("_mainstay_split", COLLECT / "_mainstay_split.py")
    if spec is None or spec.loader is None:
        raise click.ClickException(f"{COLLECT} is not whole; install Mainstay again")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _no_shard(shards: int | None, index: int | None, variable: str, error: str) -> str:
    if shards is not None:
        return f"--index {index} is beyond --shards {shards}: the first part is 1, the last {shards}"
    if settings.shard(variable) is not None:
        return f"{variable}: {error}"
    return f"which part is wanted? Give --shards N and --index I, or set {variable}=I/N"


@click.command()
@click.option("--shards", type=click.IntRange(1, 1000), help="How many there are.")
@click.option("--index", type=click.IntRange(1, 1000), help="Which one, from 1.")
@click.option("--from-pytest-collection", is_flag=True, help="Read what `pytest --collect-only -q` prints.")
@click.option("--repo", help="Ask the server for this repository's durations; within a job they are there already.")
@click.option("--server", "server_url", metavar="URL", help=f"The server's address ({settings.URL.name}).")
@click.option("--token", metavar="TOKEN", help=f"Your token ({settings.TOKEN.name}).")
@data_option
@click.argument("names", nargs=-1)
def split(
    shards: int | None,
    index: int | None,
    from_pytest_collection: bool,
    repo: str | None,
    server_url: str | None,
    token: str | None,
    data: str | None,
    names: tuple[str, ...],
) -> None:
    """Print the tests or files of one shard, divided by measured durations.

    NAMES are test ids or files; without any, standard input has one on each line. Without --shards and --index the
    variable MAINSTAY_SHARD says which, as in 2/5.

    \b
    Example: the first of four parts
      mainstay split --repo demo --shards 4 --index 1 tests/test_a.py tests/test_b.py
    """
    if (shards is None) != (index is None):
        raise click.UsageError("--shards and --index go together")
    program = _program()
    try:
        program.parse(settings.shard(program.SHARD) or "" if shards is None else f"{index}/{shards}")
    except program.BadShard as error:
        raise click.UsageError(_no_shard(shards, index, program.SHARD, str(error))) from None
    arguments = [] if shards is None else ["--shards", str(shards), "--index", str(index)]
    arguments += ["--from-pytest-collection"] if from_pytest_collection else []
    with tempfile.TemporaryDirectory() as folder:
        if repo is not None:
            with Server(settings.find_server(server_url, token, data)) as server:
                found = server.get(f"{repository_path(repo)}/durations")["durations"]
            Path(folder, program.FILE).write_bytes(msgspec.json.encode(found))
        sys.exit(program.main([*arguments, "--", *names], folder if repo is not None else None))
