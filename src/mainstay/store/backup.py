"""A backup of a running server in one file, and back again, also from one kind of database to the other.

In the archive: `tables/NAME.jsonl` (a row per line, values in the order of the manifest's columns), `blobs/KEY`,
`attached/NAME` (what the caller adds: the sealing key, bundles of repositories that live here), `manifest.json` last.
Rows are of one snapshot. Nothing is stopped meanwhile; a blob that retention deletes between snapshot and copy is named
as missing.
"""

import asyncio
import hashlib
import os
import re
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    column,
    insert,
    select,
    table,
    type_coerce,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from mainstay import __version__
from mainstay.model.errors import BadInput, Conflict, NotFound
from mainstay.store import migrations
from mainstay.store.archive import ArchiveMember, ArchiveReader, ArchiveWriter
from mainstay.store.content import Blobs, in_words
from mainstay.store.database import Database, Tx
from mainstay.store.dialect import reset_counters, storable
from mainstay.store.retention import referenced_blobs
from mainstay.store.schema import metadata

FORMAT = 1
NAMES = re.compile(
    r"manifest\.json|tables/[a-z_]{1,60}\.jsonl|blobs/[0-9a-f]{64}|attached/[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
)
MANIFEST_BYTES = 1 << 24
LINE_BYTES = 1 << 28
BATCH = 500
"""Rows that are read or written at once."""

RAW: dict[str, TypeEngine[Any]] = {
    "int": BigInteger(),
    "bool": Boolean(),
    "float": Float(),
    "text": Text(),
    "bytes": LargeBinary(),
}
"""How values travel: what both kinds of database store, before it becomes a datetime or a JSON value."""


class TableEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table in the manifest."""

    columns: dict[str, str]
    """Kind (see `RAW`) by name, in the order of the values."""
    rows: int
    sha256: str


class BlobsEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The blobs in the manifest; each one's name is its digest."""

    count: int
    size_bytes: int
    sha256: str
    """Of the keys, a line each, in their order."""
    missing: tuple[str, ...] = ()
    """Keys that a row refers to but that were gone when they were to be copied."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds; also what `backup` and `restore` report."""

    format: int
    mainstay: str
    """The version that made it."""
    revision: str
    """The revision of the tables."""
    created_at: str
    tables: dict[str, TableEntry]
    """In an order in which rows may be inserted."""
    blobs: BlobsEntry
    attached: dict[str, str]
    """SHA-256 by name."""


async def backup(database: Database, blobs: Blobs, file: Path, attached: Mapping[str, Path] | None = None) -> Manifest:
    """Write a backup to `file`, which must not be there yet. The server may run on.

    `attached` are further files to keep in it, by name: `{"seal.key": ...}`.
    """
    with (
        in_words("write the backup", file.parent),
        tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as folder,
    ):
        tables, keys = await database.read(_dump, Path(folder))
        with ArchiveWriter(file) as archive:
            for name in tables:
                await asyncio.to_thread(archive.add_file, f"tables/{name}.jsonl", Path(folder, name))
                Path(folder, name).unlink()
            manifest = Manifest(
                format=FORMAT,
                mainstay=__version__,
                revision=migrations.HEAD,
                created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                tables=tables,
                blobs=await _copy_blobs(blobs, sorted(keys), archive),
                attached=await asyncio.to_thread(_attach, archive, attached or {}),
            )
            archive.add("manifest.json", msgspec.json.encode(manifest))
    return manifest


async def restore(file: Path, database: Database, blobs: Blobs, attach_to: Path | None = None) -> Manifest:
    """Fill an empty database and blob store from a backup. Everything in it is checked before anything is written.

    Attached files are written to the folder `attach_to` (mode 0600, never over another file); None: they are left out.
    When it is interrupted it can be started again: rows come last, in one transaction.

    Raises `BadInput` for a file that is not a whole backup, `Conflict` when a place is not empty, or when the tables of
    the backup are of another version.
    """
    manifest, keys = await asyncio.to_thread(_checked, file)
    if manifest.revision != migrations.HEAD:
        raise Conflict(
            f"The backup {file} was made by Mainstay {manifest.mainstay}, whose tables are of revision"
            f" {manifest.revision}; this version has {migrations.HEAD}. Restore it with that version, then start this"
            " one on the same data."
        )
    if filled := await database.read(_filled_tables):
        raise Conflict(f"Cannot restore into {database.where}: it has rows in {', '.join(filled)}. Name an empty one.")
    async for key in blobs.keys():
        if key not in keys:
            raise Conflict("Cannot restore: the blob store holds blobs that are not of this backup. Name an empty one.")
    await _restore_files(file, blobs, attach_to)
    await database.write(_load, file, manifest)
    return manifest


def _dump(tx: Tx, folder: Path) -> tuple[dict[str, TableEntry], set[str]]:
    """Write all rows of one snapshot to files; what they hold, and the blobs they refer to."""
    return {each.name: _dump_table(tx, each, folder / each.name) for each in metadata.sorted_tables}, referenced_blobs(
        tx
    )


def _dump_table(tx: Tx, source: Table, path: Path) -> TableEntry:
    kinds = {each.name: _kind(each) for each in source.columns}
    query = select(*(type_coerce(each, RAW[kinds[each.name]]) for each in source.columns))
    digest = hashlib.sha256()
    encoder = msgspec.json.Encoder()
    rows = 0
    with path.open("wb") as file:
        for part in tx.conn.execute(query, execution_options={"yield_per": BATCH}).partitions():
            lines = encoder.encode_lines([list(row) for row in part])
            digest.update(lines)
            file.write(lines)
            rows += len(part)
    return TableEntry(kinds, rows, digest.hexdigest())


def _kind(of: Column[Any]) -> str:
    kind = of.type.impl_instance if isinstance(of.type, TypeDecorator) else of.type
    for classes, word in (
        (LargeBinary, "bytes"),
        (Boolean, "bool"),
        (Float, "float"),
        (Integer, "int"),
        (String, "text"),
    ):
        if isinstance(kind, classes):
            return word
    raise TypeError(f"backups cannot hold the type of {of}")


async def _copy_blobs(blobs: Blobs, keys: list[str], archive: ArchiveWriter) -> BlobsEntry:
    digest = hashlib.sha256()
    missing: list[str] = []
    count = size_bytes = 0
    for key in keys:
        try:
            size = await blobs.size(key)
            if size is None:
                raise NotFound(key)
            stream = blobs.stream(key)
            first = await anext(stream, b"")  # Raises NotFound before the member is begun.
        except NotFound:
            missing.append(key)
            continue
        archive.begin(f"blobs/{key}", size)
        await asyncio.to_thread(archive.write, first)
        async for data in stream:
            await asyncio.to_thread(archive.write, data)
        digest.update(f"{key}\n".encode())
        count += 1
        size_bytes += size
    return BlobsEntry(count, size_bytes, digest.hexdigest(), tuple(missing))


def _attach(archive: ArchiveWriter, attached: Mapping[str, Path]) -> dict[str, str]:
    digests: dict[str, str] = {}
    for name, path in attached.items():
        if not NAMES.fullmatch(f"attached/{name}"):
            raise BadInput(f"{name!r} is no name for a file in a backup.")
        archive.add_file(f"attached/{name}", path)
        with path.open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


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
        known = {each.name: _kind(each) for each in metadata.tables[name].columns} if name in metadata.tables else None
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


def _load(tx: Tx, file: Path, manifest: Manifest) -> None:
    """Insert all rows. The tables come first in the archive, and in the manifest's order."""
    if _filled_tables(tx):
        raise Conflict("Cannot restore: the database was filled meanwhile.")
    with ArchiveReader(file, NAMES) as archive:
        for member in archive:
            name = member.name.removeprefix("tables/").removesuffix(".jsonl")
            if name not in manifest.tables:
                break
            columns = manifest.tables[name].columns
            target = table(name, *(column(each, RAW[kind]) for each, kind in columns.items()))
            for rows in _batches(member, columns, tx):
                tx.conn.execute(insert(target), rows)
    reset_counters(tx.conn, (each.columns["id"] for each in metadata.sorted_tables if "id" in each.columns))


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
