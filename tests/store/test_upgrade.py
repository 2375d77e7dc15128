"""Data of every released version comes through: in place, and by a backup that the old version made.

`backups/rNNNN.tar.zst` was made by the version whose tables are of that revision, with rows in all its tables.
"""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import column, insert, select, table, text

from mainstay.model.errors import Conflict
from mainstay.store import migrations
from mainstay.store.archive import ArchiveReader
from mainstay.store.backup import NAMES, RAW, Manifest
from mainstay.store.blobs import open_blobs
from mainstay.store.database import Database, Tx, open_database
from mainstay.store.restore import load, restore
from mainstay.store.schema import builds, repositories

pytestmark = pytest.mark.anyio

BACKUPS = sorted((Path(__file__).parent / "backups").glob("r*.tar.zst"))
each_backup = pytest.mark.parametrize("file", BACKUPS, ids=lambda file: file.name.partition(".")[0])


def kept_in(file: Path) -> tuple[Manifest, dict[str, list[str]]]:
    """What a backup says it holds, and its rows by table, each as a line of JSON."""
    rows = {}
    with ArchiveReader(file, NAMES) as archive:
        for member in archive:
            data = member.all(1 << 24)
            if member.name.startswith("tables/"):
                rows[member.name[7:-6]] = sorted(data.decode().splitlines())
    return msgspec.json.decode(data, type=Manifest), rows


def stored(tx: Tx, manifest: Manifest) -> dict[str, list[str]]:
    """The same rows as they are in the database now; columns that came later are left out."""
    found: dict[str, list[str]] = {}
    for name, entry in manifest.tables.items():
        columns = [column(each, RAW[kind]) for each, kind in entry.columns.items()]
        rows = tx.conn.execute(select(*columns).select_from(table(name)))
        found[name] = sorted(msgspec.json.encode(list(row)).decode() for row in rows)
    return found


def new_row(tx: Tx) -> Any:
    """A row is added as a server would: its id follows those that were there."""
    values = {"name": "new", "branches": [], "commits": "every", "supersede": False, "poll_s": 1.0}
    highest = max(tx.conn.execute(select(repositories.c.id)).scalars())
    kept = tx.conn.execute(select(repositories.c.created_at)).scalars().first()
    made = tx.conn.execute(insert(repositories).values(created_at=kept, **values).returning(repositories.c.id))
    return made.scalar_one() > highest


@each_backup
async def test_a_backup_of_an_older_version_is_restored_whole(file: Path, database_url: str, tmp_path: Path) -> None:
    manifest, rows = kept_in(file)
    assert all(rows.values()), "a table without rows proves nothing"
    database = await open_database(database_url)
    try:
        blobs = open_blobs(str(tmp_path / "blobs"))
        assert await restore(file, database, blobs, tmp_path / "place") == manifest
        assert await database.read(lambda tx: migrations.revision_of(tx.conn)) == migrations.HEAD
        assert await database.read(stored, manifest) == rows
        assert len(list((tmp_path / "blobs").rglob("*"))) > 0
        assert await database.write(new_row)
    finally:
        await database.close()
    again = await open_database(database_url)
    assert await again.read(lambda tx: len(tx.conn.execute(select(builds)).all())) == len(rows["builds"])
    await again.close()


@each_backup
async def test_a_database_of_an_older_version_is_upgraded_with_everything_in_it(file: Path, database_url: str) -> None:
    manifest, rows = kept_in(file)
    older = await open_database(database_url)
    await older.write(load, file, manifest)  # What the older version had: its tables, and its rows in them.
    assert await older.read(lambda tx: migrations.revision_of(tx.conn)) == manifest.revision
    await older.close()

    upgraded = await open_database(database_url)
    try:
        assert await upgraded.read(lambda tx: migrations.revision_of(tx.conn)) == migrations.HEAD
        assert await upgraded.read(stored, manifest) == rows
        assert await upgraded.write(new_row)
    finally:
        await upgraded.close()


async def test_there_is_no_way_back_and_nothing_is_changed_by_trying(database: Database) -> None:
    def goes_back(tx: Tx) -> None:
        tx.conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await database.write(goes_back)
    with pytest.raises(Conflict, match="newer Mainstay"):
        await database.migrate()
    assert await database.read(lambda tx: migrations.revision_of(tx.conn)) == "9999"
