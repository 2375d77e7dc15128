"""Caches as files: folders of a job as a tar with zstd around it, and back, through no link on either way.

Names in it begin with the folder they are relative to (`work`, `home`, `temp`), so they fit another job's folders.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mainstay.runner.below import opened
from mainstay.runner.unpack import BadBundle, Into, parts_of
from mainstay.runner.zstd import ZstdError, ZstdFile
from mainstay.workflow.globs import select_files

FORMAT = "tar+zstd 1"
MAX_PACKED = 2 << 30
MAX_UNPACKED = 16 << 30
MAX_ENTRIES = 1_000_000
MAX_NAMES = 1 << 20
"""Bytes of a header that holds an entry's long name and the like."""
NAMES = frozenset(
    (
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    )
)
LEVEL = 3
SIGNS = frozenset("*?[")

Place = tuple[str, tuple[str, ...]]
"""The name of one of the job's folders, and the parts of a path or glob below it."""


def choose(roots: Mapping[str, Path], wanted: Sequence[Place], unwanted: Sequence[Place]) -> list[Place]:
    """Everything that the globs choose, folders before what is in them. Blocking; raises GlobError."""
    found: dict[Place, None] = {}
    for name, root in roots.items():
        globs = [parts for place, parts in wanted if place == name]
        taken_out = [f"!/{'/'.join(parts)}" for place, parts in unwanted if place == name]
        for parts in globs:
            plain = next((n for n, part in enumerate(parts) if SIGNS.intersection(part)), len(parts))
            base = root.joinpath(*parts[:plain])
            if base.resolve() != root.resolve().joinpath(*parts[:plain]):
                continue  # there is a link on the way
            below: Iterator[tuple[str, ...]] = _walk(base, parts[:plain])
            if plain < len(parts) or taken_out:
                names = ("/".join(each) for each in below)
                patterns = ["/" + "/".join(parts), *taken_out]
                below = (tuple(each.split("/")) for each in select_files(patterns, names))
            found.update(((name, each), None) for each in below)
    return list(found)


def _walk(base: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """`base` and all below it, links as themselves."""
    if not base.is_dir() or base.is_symlink():
        if base.is_symlink() or base.exists():
            yield parts
        return
    if parts:
        yield parts
    for path, folders, names in os.walk(base):
        folders.sort()
        here = (*parts, *Path(path).relative_to(base).parts)
        for name in sorted((*folders, *names)):
            yield (*here, name)


def pack(roots: Mapping[str, Path], chosen: Sequence[Place], target: Path, check: Callable[[], None]) -> str:
    """Write the archive; its digest as `sha256:HEX`. `check` raises to have it stopped.

    What vanishes meanwhile is left out, as are sockets and the like. Raises BadBundle, OSError.
    """
    if len(chosen) > MAX_ENTRIES:
        raise BadBundle(f"it would hold {len(chosen)} files; at most {MAX_ENTRIES} are kept")
    left = MAX_UNPACKED
    with (
        target.open("wb") as file,
        ZstdFile(file, "w", level=LEVEL) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, parts in chosen:
            check()
            left -= _add(archive, "/".join((name, *parts)), roots[name], roots[name].joinpath(*parts), left)
            _forget(archive)
            if file.tell() > MAX_PACKED:
                raise BadBundle(f"it is larger than {MAX_PACKED >> 30} GiB, the limit of one cache")
    if target.stat().st_size > MAX_PACKED:
        raise BadBundle(f"it is larger than {MAX_PACKED >> 30} GiB, the limit of one cache")
    with target.open("rb") as whole:
        return f"sha256:{hashlib.file_digest(whole, 'sha256').hexdigest()}"


def _forget(archive: tarfile.TarFile) -> None:
    """An archive remembers every entry it has seen, which nobody asks for here."""
    vars(archive)["members"].clear()


def _add(archive: tarfile.TarFile, name: str, root: Path, path: Path, left: int) -> int:
    """Put one thing in; how large it is."""
    entry = tarfile.TarInfo(name)
    try:
        known = path.lstat()
        entry.mode, entry.mtime = stat.S_IMODE(known.st_mode) & 0o777, int(known.st_mtime)
        if stat.S_ISLNK(known.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
        elif stat.S_ISDIR(known.st_mode):
            entry.type = tarfile.DIRTYPE
        elif not stat.S_ISREG(known.st_mode):
            return 0
        else:
            return _add_file(archive, entry, root, path, left)
    except FileNotFoundError:
        return 0
    archive.addfile(entry)
    return 0


def _add_file(archive: tarfile.TarFile, entry: tarfile.TarInfo, root: Path, path: Path, left: int) -> int:
    with opened(root, path) as fd, os.fdopen(os.dup(fd), "rb") as file:
        entry.size = os.fstat(fd).st_size
        if entry.size > left:
            raise BadBundle(f"its files are larger than {MAX_UNPACKED >> 30} GiB together, the limit")
        archive.addfile(entry, file)
    return entry.size


def unpack(source: Path, roots: Mapping[str, Path], check: Callable[[], None]) -> tuple[int, int]:
    """Unpack an archive; how many things came out, and how many links were left out because they lead elsewhere.

    `check` raises to have it stopped. Raises BadBundle, OSError.
    """
    count = links = 0
    left = MAX_UNPACKED
    into = {name: Into(root) for name, root in roots.items()}
    try:
        with ZstdFile(source) as packed, tarfile.open(fileobj=packed, mode="r|", tarinfo=_Entry) as archive:
            while (entry := archive.next()) is not None:
                check()
                _forget(archive)
                name, *rest = parts_of(entry.name)
                if name not in into or not rest:
                    raise BadBundle(f"it holds {entry.name[:200]!r}, which is in none of the job's folders")
                count += 1
                if count > MAX_ENTRIES:
                    raise BadBundle(f"it holds more than {MAX_ENTRIES} files")
                try:
                    left -= _take(archive, entry, into[name], tuple(rest), left)
                except _LeadsOut:
                    links += 1
    except (tarfile.TarError, ZstdError, EOFError, ValueError) as error:
        raise BadBundle(f"it cannot be read: {error}") from error
    finally:
        for each in into.values():
            each.close()
    return count - links, links


class _Entry(tarfile.TarInfo):
    """An entry whose names are of a bounded size: `tarfile` reads them into memory as large as they say they are."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in NAMES and self.size > MAX_NAMES:
            raise BadBundle(f"it holds a header of {self.size} bytes; at most {MAX_NAMES} are read")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]


class _LeadsOut(Exception):
    """A link that is not made again."""


def _take(archive: tarfile.TarFile, entry: tarfile.TarInfo, into: Into, parts: tuple[str, ...], left: int) -> int:
    if entry.isdir():
        into.folder(parts)
        return 0
    if entry.issym():
        if not into.link(parts, entry.linkname):
            raise _LeadsOut
        return 0
    content = archive.extractfile(entry) if entry.isreg() else None
    if content is None:
        raise BadBundle(f"it holds {entry.name[:200]!r}, which is neither a file nor a folder nor a link")
    return into.file(parts, content, left, entry.mode & 0o777 | 0o600)
