"""The commands `mainstay backup` and `mainstay restore`: the options; what they do is in `safekeeping`."""

import shlex
from pathlib import Path
from typing import Any

import click

from mainstay.cli import terminal
from mainstay.cli.connection import data_option, json_option
from mainstay.cli.serve import blobs_option, database_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@database_option
@blobs_option
@json_option
def backup(file: Path, as_json: bool, **where: Any) -> None:
    """Write all data into one file, while the server runs.

    Database, logs, artifacts, the sealing key, and the repositories that live here. Keep FILE as safe as the server
    itself. It can be restored into either kind of database.

    \b
    Example:
      mainstay backup /backups/mainstay.tar.zst
    """
    # Imported here: start-up time.
    from mainstay.cli import safekeeping  # noqa: PLC0415

    kept = safekeeping.backup(safekeeping.place(where), file.absolute())
    if as_json:
        terminal.print_json(kept)
    else:
        terminal.output().line(f"Wrote {file}: {_words(kept)}.")
        if missing := kept["blobs"]["missing"]:
            terminal.messages().line(f"{len(missing)} blobs were deleted by retention meanwhile; they are not in it.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@data_option
@database_option
@blobs_option
@json_option
def restore(file: Path, as_json: bool, **where: Any) -> None:
    """Fill an empty data folder from a backup.

    The whole file is checked before anything is written. Interrupted, it can be started again. The backup of an older
    version is brought up to this one's tables.

    \b
    Example: on another machine, and onto PostgreSQL
      mainstay restore /backups/mainstay.tar.zst --database postgresql://mainstay@db/mainstay
    """
    # Imported here: start-up time.
    from mainstay.cli import safekeeping  # noqa: PLC0415
    from mainstay.store.migrations import HEAD  # noqa: PLC0415

    place = safekeeping.place(where)
    kept = safekeeping.restore(place, file.absolute())
    if as_json:
        terminal.print_json(kept)
    else:
        brought = f" and brought its tables from {kept['revision']} to {HEAD}" if kept["revision"] != HEAD else ""
        made = f"a backup of {kept['created_at'][:10]} by Mainstay {kept['mainstay']}"
        out = terminal.output()
        out.line(f"Restored {_words(kept)} into {place.data}.")
        out.line(f"It was {made}{brought}. Start it: mainstay up{_again(where)}")


def _again(where: dict[str, Any]) -> str:
    """How the next command names this place. The addresses may hold passwords, so they are not repeated."""
    folder = f" --data {shlex.quote(where['data'])}" if where["data"] else ""
    others = [f"--{name}" for name in ("database", "blobs") if where[name]]
    return folder + (f", with the same {' and '.join(others)}" if others else "")


def _words(kept: dict[str, Any]) -> str:
    repositories = terminal.counted(kept["tables"]["repositories"]["rows"], "repository", "repositories")
    builds = terminal.counted(kept["tables"]["builds"]["rows"], "build", "builds")
    return f"{repositories}, {builds}, {terminal.size(kept['blobs']['size_bytes'])} of logs and artifacts"
