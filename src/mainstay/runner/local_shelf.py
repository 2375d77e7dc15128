"""The shelf of a run without a server: artifacts of its jobs in a folder, caches for later runs in another."""

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainstay.model.errors import NotFound
from mainstay.wire.runner import CacheFound, StoredArtifact

MOST_CACHES_BYTES = 5 << 30
"""Of all caches together; those that were used longest ago go first."""


@dataclass(slots=True)
class LocalShelf:
    """`runner.shelf.Shelf` on the disk."""

    _artifacts: Path
    _caches: Path
    _kept: dict[str, str] = field(default_factory=dict)
    """The kinds of the artifacts that this run has kept, by name; others may lie in the folder as well."""
    _found: dict[int, Path] = field(default_factory=dict)

    def keep(self, name: str, zip_file: Callable[[Path], None], kind: str) -> Path:
        """Have an artifact written; where it lies."""
        self._artifacts.mkdir(parents=True, exist_ok=True)
        file = self._artifacts / f"{name}.zip"
        file.unlink(missing_ok=True)
        zip_file(file)
        self._kept[name] = kind
        return file

    async def durations(self, target: Path) -> None:
        """Nothing is known here."""
        target.write_text("{}")

    async def artifacts(self) -> tuple[StoredArtifact, ...]:
        """Those of this run."""
        sizes = {name: (self._artifacts / f"{name}.zip").stat().st_size for name in sorted(self._kept)}
        return tuple(StoredArtifact(name, size, self._kept[name], "") for name, size in sizes.items())

    async def fetch_artifact(self, artifact: StoredArtifact, target: Path) -> None:
        """A copy."""
        await asyncio.to_thread(shutil.copyfile, self._artifacts / f"{artifact.name}.zip", target)

    async def find_cache(self, key: str, prefixes: Sequence[str], version: str) -> CacheFound | None:
        """The exact key, else the newest that begins with the first prefix that has any."""
        known = await asyncio.to_thread(self._known, version)
        fitting = [each for each in known if each["key"] == key]
        for prefix in () if fitting else prefixes:
            fitting = fitting or [each for each in known if each["key"].startswith(prefix)]
        if not fitting:
            return None
        newest = max(fitting, key=lambda each: each["path"].stat().st_mtime_ns)
        number = len(self._found) + 1
        self._found[number] = newest["path"]
        return CacheFound(number, newest["key"], newest["path"].stat().st_size)

    async def fetch_cache(self, cache: CacheFound, target: Path) -> None:
        """A copy; it counts as used now."""
        path = self._found.get(cache.id)
        if path is None or not path.exists():
            raise NotFound("the cache is not there any more")
        await asyncio.to_thread(shutil.copyfile, path, target)
        os.utime(path)

    async def put_cache(self, key: str, version: str, digest: str, path: Path) -> str | None:
        """Keep a copy, unless there is one."""
        return await asyncio.to_thread(self._put, key, version, path)

    def _put(self, key: str, version: str, path: Path) -> str | None:
        self._caches.mkdir(parents=True, exist_ok=True)
        place = self._caches / hashlib.sha256(f"{version}\n{key}".encode()).hexdigest()
        if place.exists():
            return None
        size = path.stat().st_size
        if size > MOST_CACHES_BYTES:
            return f"it has {size} bytes; all caches of runs without a server have {MOST_CACHES_BYTES} at most"
        self._make_room(size)
        unfinished = place.with_suffix(f".{os.getpid()}")
        shutil.copyfile(path, unfinished)
        place.with_suffix(".json").write_text(json.dumps({"key": key, "version": version}))
        unfinished.rename(place)
        return None

    def _known(self, version: str) -> list[dict[str, Any]]:
        """The caches of this version: the key and the path of each."""
        found = []
        for note in self._caches.glob("*.json"):
            with suppress(OSError, ValueError, KeyError):
                document = json.loads(note.read_text())
                path = note.with_suffix("")
                if document["version"] == version and path.exists():
                    found.append({"key": str(document["key"]), "path": path})
        return found

    def _make_room(self, size: int) -> None:
        files = sorted((path for path in self._caches.iterdir() if not path.suffix), key=lambda it: it.stat().st_mtime)
        total = size + sum(path.stat().st_size for path in files)
        for path in files:
            if total <= MOST_CACHES_BYTES:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
