"""What `mainstay backup` and `mainstay restore` do: the store's own backup, with the sealing key and git bundles added.

Mirrors of repositories that live elsewhere are not kept: they are fetched anew. Those that live here travel as git
bundles, one file each with all refs.
"""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mainstay.cli import settings
from mainstay.engine.mirrors import Mirrors
from mainstay.git import process as git
from mainstay.model.errors import Conflict, NotFound
from mainstay.store import repositories, runners
from mainstay.store.backup import Manifest
from mainstay.store.backup import backup as write_backup
from mainstay.store.blobs import Blobs, open_blobs
from mainstay.store.database import Database, open_database
from mainstay.store.restore import restore as read_backup

KEY = "seal.key"
BUNDLE = "repository-{}.bundle"


@dataclass(frozen=True, slots=True)
class Data:
    """Where a server's data lie."""

    data: Path
    database: str | None
    blobs: str | None

    @property
    def database_file(self) -> Path | None:
        """The embedded database's file; None when the database is elsewhere."""
        return None if self.database else self.data / "mainstay.sqlite3"

    @property
    def mirrors(self) -> Path:
        """The folder of the server's mirrors."""
        return self.data / "mirrors"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Database, Blobs]]:
        """Database and blob store, as the server opens them."""
        database = await open_database(self.database or f"sqlite:///{self.database_file}")
        try:
            yield database, open_blobs(self.blobs or str(self.data / "blobs"))
        finally:
            await database.close()


def place(where: Mapping[str, Any]) -> Data:
    """What the options say, and the environment where they say nothing."""
    return Data(
        data=settings.data_folder(where["data"]),
        database=where["database"] or settings.value(settings.DATABASE),
        blobs=where["blobs"] or settings.value(settings.BLOBS),
    )


def backup(place: Data, file: Path) -> dict[str, Any]:
    """Write a backup and give its manifest. Raises NotFound when there is nothing to keep."""
    if place.database_file is not None and not place.database_file.exists():
        raise NotFound(f"there is no data in {place.data}; name the data folder with --data.")
    return _document(asyncio.run(_backup(place, file)))


async def _backup(place: Data, file: Path) -> Manifest:
    async with place.opened() as (database, blobs):
        found = await database.read(repositories.all_of)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".bundles-") as folder:
            mirrors = Mirrors(place.mirrors)
            attached = {}
            for repository in found:
                bundle = Path(folder, BUNDLE.format(repository.id))
                if repository.url is None and await _bundled(mirrors.path_of(repository.id), bundle):
                    attached[bundle.name] = bundle
            key = place.data / KEY
            if key.exists():
                attached[KEY] = key
            return await write_backup(database, blobs, file, attached)


async def _bundled(git_dir: Path, bundle: Path) -> bool:
    """Write all refs of a repository into a bundle; False when there is none."""
    if not git_dir.exists() or not (await git.run("for-each-ref", "--count=1", git_dir=git_dir)).stdout:
        return False
    await git.run("bundle", "create", "--quiet", str(bundle), "--all", git_dir=git_dir, timeout_s=3600)
    return True


def restore(place: Data, file: Path) -> dict[str, Any]:
    """Fill an empty place from a backup and give its manifest."""
    place.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with no_server(place.data):
        return _document(asyncio.run(_restore(place, file)))


async def _restore(place: Data, file: Path) -> Manifest:
    async with place.opened() as (database, blobs):
        manifest = await read_backup(file, database, blobs, place.data)
        await database.write(runners.none_is_here)
        found = await database.read(repositories.all_of)
    mirrors = Mirrors(place.mirrors)
    try:
        for repository in found:
            bundle = place.data / BUNDLE.format(repository.id)
            if bundle.exists():
                await mirrors.of(repository.id).create()
                arguments = ("fetch", "--quiet", str(bundle), "+refs/*:refs/*")
                await git.run(*arguments, git_dir=mirrors.path_of(repository.id), timeout_s=3600)
                bundle.unlink()
    finally:
        await mirrors.close()
    return manifest


@contextmanager
def no_server(data: Path) -> Iterator[None]:
    """Keep servers away from the folder meanwhile; they hold the same lock."""
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"a server uses {data}; stop it, or restore into another folder with --data.") from None
        yield
    finally:
        os.close(handle)


def _document(manifest: Manifest) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(manifest)
    return document
