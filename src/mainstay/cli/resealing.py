"""The command `mainstay reseal`: a new sealing key, and everything that is sealed in the database sealed with it."""

import asyncio
from pathlib import Path
from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import data_option, json_option
from mainstay.cli.serve import database_option
from mainstay.model.errors import NotFound


@click.command()
@click.option("--forget", is_flag=True, help="Take the old keys out of the file: what they open is worth nothing then.")
@data_option
@database_option
@json_option
def reseal(forget: bool, as_json: bool, **where: Any) -> None:
    """Seal all secrets with a new key, while no server runs.

    The old keys stay in the file and still open what is elsewhere, links in mails that were sent for one, until
    --forget. Other servers on the same database need the new file too.

    \b
    Example:
      mainstay reseal --data /var/lib/mainstay
    """
    # Imported here: start-up time.
    from mainstay.cli import safekeeping  # noqa: PLC0415

    place = safekeeping.place({**where, "blobs": None})
    if not (place.data / safekeeping.KEY).exists():
        raise NotFound(f"there is no sealing key in {place.data}; name the data folder with --data.")
    with safekeeping.no_server(place.data):
        count = _reseal(place, forget)
    if as_json:
        terminal.print_json({"sealed": count, "forgotten": forget})
        return
    values = terminal.counted(count, "value is", "values are")
    terminal.output().line(f"{values} sealed with a new key, in {place.data / safekeeping.KEY}. Keep a copy of it.")


def _reseal(place: Any, forget: bool) -> int:
    from mainstay.cli import safekeeping  # noqa: PLC0415 - start-up time
    from mainstay.store import seal, sealed  # noqa: PLC0415

    path: Path = place.data / safekeeping.KEY
    seal.add_key(path)  # first, so that whatever is sealed with it can always be opened
    keys = seal.Seal.from_file(path)

    async def write() -> int:
        async with place.opened() as (database, _):
            done: int = await database.write(
                sealed.reseal, lambda value, context: keys.seal(keys.open(value, context), context)
            )
            return done

    count = asyncio.run(write())
    if forget:
        seal.keep_newest_key(path)
    return count
