"""A backup back into an empty place: everything is checked first, then files and blobs are written, rows last.

A backup whose tables are of an older revision is loaded into tables of that revision; then they are migrated, by the
same steps that a server's own would be when it is upgraded.
"""

import asyncio
import hashlib
import os
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import column, insert, inspect, select, table, text

from mainstay.model.errors import BadInput, Conflict
from mainstay.store import migrations
from mainstay.store.archive import ArchiveMember, ArchiveReader
from mainstay.store.backup import BATCH, FORMAT, NAMES, RAW, Manifest, kind_of
from mainstay.store.content import Blobs
from mainstay.store.database import Database, Tx
from mainstay.store.dialect import reset_counters, storable
from mainstay.store.schema import metadata

MANIFEST_BYTES = 1 << 24
LINE_BYTES = 1 << 28


async def restore(file: Path, database: Database, blobs: Blobs, attach_to: Path | None = None) -> Manifest:
    """Fill an empty database and blob store from a backup. Everything in it is checked before anything is written.

    Attached files are written to the folder `attach_to` (mode 0600, never over another file); None: they are left out.
    When it is interrupted it can be started again: rows come last, in one transaction.

    Tables of an older revision are brought up to this version's. Raises `BadInput` for a file that is not a whole
    backup, `Conflict` when a place is not empty, or when a newer version made the backup.
    """
    manifest, keys = await asyncio.to_thread(_checked, file)
    if manifest.revision not in migrations.known():
        raise Conflict(
            f"The backup {file} was made by Mainstay {manifest.mainstay}, whose tables are of revision"
            f" {manifest.revision}; this version knows up to {migrations.HEAD}. Restore it with that version or a newer"
            " one; there is no way back to older tables."
        )
    if filled := await database.read(_filled_tables):
        raise Conflict(f"Cannot restore into {database.where}: it has rows in {', '.join(filled)}. Name an empty one.")
    async for key in blobs.keys():
        if key not in keys:
            raise Conflict("Cannot restore: the blob store holds blobs that are not of this backup. Name an empty one.")
    await _restore_files(file, blobs, attach_to)
    await database.write(load, file, manifest)
    await database.migrate()
    return manifest


def _checked(file: Path) -> tuple[Manifest, set[str]]:
    """Read the whole archive and compare everything with the manifest; it, and the keys of the blobs."""
    digests: dict[str, str] = {}
    rows: dict[str, int] = {}
    keys: dict[str, int] = {}
    manifest = None
    with ArchiveReader(file, NAMES) as archive:
        for member in archive:
            if manifest is not None:
                raise BadInput(f"{archive.words} {member.name} comes after the manifest.")
            if member.name == "manifest.json":
                manifest = _manifest(member, archive.words)
                continue
            digest, breaks = hashlib.sha256(), 0
            while data := member.read():
                digest.update(data)
                breaks += data.count(b"\n") if member.name.startswith("tables/") else 0
            digests[member.name] = digest.hexdigest()
            rows[member.name] = breaks
            if member.name.startswith("blobs/"):
                keys[member.name.removeprefix("blobs/")] = member.size
        if manifest is None:
            raise BadInput(f"{archive.words} it has no manifest; it is cut short.")
        _compare(manifest, digests, rows, keys, archive.words)
    return manifest, set(keys)


def _manifest(member: ArchiveMember, words: str) -> Manifest:
    try:
        manifest = msgspec.json.decode(member.all(MANIFEST_BYTES), type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{words} its manifest cannot be read ({error}); a newer version may have made it.") from error
    if manifest.format != FORMAT:
        raise BadInput(f"{words} it is of format {manifest.format}, this version knows {FORMAT}.")
    return manifest


def _compare(
    manifest: Manifest, digests: dict[str, str], rows: dict[str, int], keys: dict[str, int], words: str
) -> None:
    expected = {f"tables/{name}.jsonl": entry.sha256 for name, entry in manifest.tables.items()}
    expected |= {f"attached/{name}": sha256 for name, sha256 in manifest.attached.items()}
    expected |= {f"blobs/{key}": key for key in keys}
    for name in sorted(expected.keys() | digests.keys()):
        if name not in digests:
            raise BadInput(f"{words} {name} is missing in it.")
        if digests[name] != expected.get(name):
            raise BadInput(f"{words} {name} is not what the manifest says; it was changed or damaged.")
    listed = hashlib.sha256("".join(f"{key}\n" for key in keys).encode()).hexdigest()
    if (len(keys), sum(keys.values()), listed) != (
        manifest.blobs.count,
        manifest.blobs.size_bytes,
        manifest.blobs.sha256,
    ):
        raise BadInput(f"{words} its blobs are not those that the manifest says.")
    for name, entry in manifest.tables.items():
        if rows[f"tables/{name}.jsonl"] != entry.rows:
            raise BadInput(f"{words} the table {name} has not the rows that the manifest says.")
        known = (
            {each.name: kind_of(each) for each in metadata.tables[name].columns} if name in metadata.tables else None
        )
        if manifest.revision == migrations.HEAD and known != entry.columns:
            raise BadInput(f"{words} the table {name} has not the columns of this version's.")


def _filled_tables(tx: Tx) -> list[str]:
    return [
        each.name for each in metadata.sorted_tables if tx.conn.execute(select(1).select_from(each).limit(1)).first()
    ]


async def _restore_files(file: Path, blobs: Blobs, attach_to: Path | None) -> None:
    with ArchiveReader(file, NAMES) as archive:
        members = iter(archive)
        while (member := await asyncio.to_thread(next, members, None)) is not None:
            kind, _, name = member.name.partition("/")
            if kind == "blobs":
                key, _ = await blobs.put_stream(_chunks(member), member.size)
                if key != name:
                    raise BadInput(f"{archive.words} it was changed while it was read.")
            elif kind == "attached" and attach_to is not None:
                await asyncio.to_thread(_write_attached, member, attach_to / name)


async def _chunks(member: ArchiveMember) -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(member.read):
        yield data


def _write_attached(member: ArchiveMember, path: Path) -> None:
    """Write a file beside, then give it its name. The same file may be there from an interrupted try."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".restore-")
    try:
        with os.fdopen(handle, "wb") as file:
            while data := member.read():
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(partial, path)
            return
        if path.read_bytes() != Path(partial).read_bytes():
            raise Conflict(f"Cannot restore {path.name}: another file {path} is there already. Move it away.")
    finally:
        os.unlink(partial)


def load(tx: Tx, file: Path, manifest: Manifest) -> None:
    """Insert all rows, into tables of the backup's revision. Only `restore` and tests of upgrades ask for it."""
    if _filled_tables(tx):
        raise Conflict("Cannot restore: the database was filled meanwhile.")
    if manifest.revision != migrations.HEAD:
        _set_back(tx, manifest, file)
    with ArchiveReader(file, NAMES) as archive:
        for member in archive:  # The tables come first, and in an order in which rows may be inserted.
            name = member.name.removeprefix("tables/").removesuffix(".jsonl")
            if name not in manifest.tables:
                break
            columns = manifest.tables[name].columns
            target = table(name, *(column(each, RAW[kind]) for each, kind in columns.items()))
            for rows in _batches(member, columns, tx):
                tx.conn.execute(insert(target), rows)
    numbered = (each for each in metadata.sorted_tables if "id" in each.columns and each.name in manifest.tables)
    reset_counters(tx.conn, (each.columns["id"] for each in numbered))


def _set_back(tx: Tx, manifest: Manifest, file: Path) -> None:
    """Make the tables, which are empty, those of the backup's revision. `Database.migrate` brings them forward again.

    Not in the same transaction: on SQLite a migration with rows in the tables needs foreign keys to be off.
    """
    metadata.drop_all(tx.conn)
    tx.conn.execute(text("DROP TABLE alembic_version"))
    migrations.upgrade(tx.conn, "the empty database", manifest.revision)
    found = inspect(tx.conn)
    for name, entry in manifest.tables.items():
        known = {each["name"] for each in found.get_columns(name)} if found.has_table(name) else None
        if known != entry.columns.keys():
            raise BadInput(
                f"The backup {file} cannot be read: the table {name} has not the columns of revision"
                f" {manifest.revision}."
            )


def _batches(member: ArchiveMember, columns: dict[str, str], tx: Tx) -> Iterator[list[dict[str, Any]]]:
    encoded = [name for name, kind in columns.items() if kind == "bytes"]
    texts = [name for name, kind in columns.items() if kind == "text"]
    decoder = msgspec.json.Decoder(list[Any])
    batch: list[dict[str, Any]] = []
    for line in member.lines(LINE_BYTES):
        row = dict(zip(columns, decoder.decode(line), strict=True))
        for name in encoded:
            row[name] = None if row[name] is None else b64decode(row[name])
        for name in texts:
            row[name] = storable(tx, row[name])
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
