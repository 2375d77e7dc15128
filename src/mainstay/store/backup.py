"""A backup of a running server in one file. `store.restore` reads it, also into the other kind of database.

In the archive: `tables/NAME.jsonl` (a row per line, values in the order of the manifest's columns), `blobs/KEY`,
`attached/NAME` (what the caller adds: the sealing key, bundles of repositories that live here), `manifest.json` last.
Rows are of one snapshot. Nothing is stopped meanwhile; a blob that retention deletes between snapshot and copy is named
as missing.
"""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import Mapping
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
    select,
    type_coerce,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from mainstay import __version__
from mainstay.model.errors import BadInput, NotFound
from mainstay.store import migrations
from mainstay.store.archive import ArchiveWriter
from mainstay.store.content import Blobs, in_words
from mainstay.store.database import Database, Tx
from mainstay.store.retention import referenced_blobs
from mainstay.store.schema import metadata

FORMAT = 1
NAMES = re.compile(
    r"manifest\.json|tables/[a-z_]{1,60}\.jsonl|blobs/[0-9a-f]{64}|attached/[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
)
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


def _dump(tx: Tx, folder: Path) -> tuple[dict[str, TableEntry], set[str]]:
    """Write all rows of one snapshot to files; what they hold, and the blobs they refer to."""
    return {each.name: _dump_table(tx, each, folder / each.name) for each in metadata.sorted_tables}, referenced_blobs(
        tx
    )


def _dump_table(tx: Tx, source: Table, path: Path) -> TableEntry:
    kinds = {each.name: kind_of(each) for each in source.columns}
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


def kind_of(of: Column[Any]) -> str:
    """The word in `RAW` for what a column holds."""
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
