"""Git folders written by hand: our private one that a job never sees, and the one a job gets.

Both are a few small files; `git init` and `git clone` take ten times as long. No command of ours ever reads the job's.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEADS: Final = "refs/heads/"
TAGS: Final = "refs/tags/"
PACKED: Final = "# pack-refs with: peeled fully-peeled sorted \n"


@dataclass(frozen=True, slots=True)
class Refs:
    """Branches and tags of a mirror, with what they were read from."""

    values: dict[str, tuple[str, str | None]]
    """Whole name to its object and, for an annotated tag, the commit behind it (when packed)."""
    state: tuple[tuple[str, int], ...]
    """Folders and files read, with their times: equal as long as no ref has moved."""
    shallow: str = ""
    """The commits at which the history of a mirror of a shallow clone ends, a line each."""


def read_refs(mirror: Path, known: Refs | None = None) -> Refs:
    """The branches and tags of a bare mirror, loose and packed. `known` is given back when nothing has moved."""
    if known is not None and known.state and all(_time(path) == time for path, time in known.state):
        return known
    packed, shallow = mirror / "packed-refs", mirror / "shallow"
    state = [(str(packed), _time(str(packed))), (str(shallow), _time(str(shallow)))]
    values: dict[str, tuple[str, str | None]] = {}
    last = ""
    for line in _lines(packed):
        if line.startswith("^"):
            values[last] = (values[last][0], line[1:])
        elif not line.startswith("#"):
            value, _, last = line.partition(" ")
            values[last] = (value, None)
    state += [(str(mirror / top), _time(str(mirror / top))) for top in ("refs", "refs/heads", "refs/tags")]
    for kind in ("heads", "tags"):
        for folder, _, names in os.walk(mirror / "refs" / kind):
            state.append((folder, _time(folder)))
            for name in names:
                value = next(iter(_lines(Path(folder, name))), "")
                if not name.endswith(".lock") and len(value) in (40, 64):
                    values[str(Path(folder, name).relative_to(mirror))] = (value, None)
    wanted = {name: value for name, value in values.items() if name.startswith((HEADS, TAGS))}
    return Refs(wanted, tuple(sorted(set(state))), "".join(f"{line}\n" for line in _lines(shallow)))


def write_private(folder: Path, stores: tuple[Path, ...], sha256: bool) -> None:
    """The git folder we check out with: an empty repository over the mirror's objects. Made once per tree."""
    index = "[index]\n\trecordEndOfIndexEntries = true\n"  # see `index.read_tree_id`
    for name in ("", "objects", "objects/info", "refs"):
        os.mkdir(folder / name)
    # Git takes a folder for a repository only with a HEAD that reads well: a branch that does not exist yet will do.
    (folder / "HEAD").write_text("ref: refs/heads/none\n")
    (folder / "config").write_text(_format(sha256) + "\tbare = false\n" + index)
    set_stores(folder, stores)


def write_empty(folder: Path, place: Path, stores: tuple[Path, ...], repository: str, sha256: bool) -> None:
    """What of a job's `.git` is the same for all jobs: made before the job is there, to be moved to `place`.

    The remote `origin` is a second, tiny bare repository within, so that `git fetch` works without the server.
    """
    for name in ("", "objects", "objects/info", "refs", "origin", "origin/refs"):
        os.mkdir(folder / name)
    os.symlink("../objects", folder / "origin/objects")
    set_stores(folder, stores)
    (folder / "config").write_text(_config(repository, place / "origin", sha256))
    if sha256:
        (folder / "origin/config").write_text(_format(sha256) + "\tbare = true\n")


def write_commit(folder: Path, index: Path, commit: str, ref: str, refs: Refs) -> None:
    """The rest: at `commit` with no branch, the index as git left it, all branches of the server and its tags."""
    values = dict(refs.values)
    if ref.startswith((HEADS, TAGS)):
        peeled = values.get(ref, ("", None))[1] if ref.startswith(TAGS) else None
        values[ref] = values[ref] if peeled == commit else (commit, None)
    remote = {"refs/remotes/origin/" + n[len(HEADS) :]: v for n, v in values.items() if n.startswith(HEADS)}
    tags = {name: value for name, value in values.items() if name.startswith(TAGS)}
    head = f"ref: {ref}\n" if ref.startswith(HEADS) else commit + "\n"
    for name, text in (
        ("HEAD", commit + "\n"),
        ("packed-refs", _packed(remote | tags)),
        ("origin/HEAD", head),
        ("origin/packed-refs", _packed(values)),
    ):
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    for name in ("shallow", "origin/shallow") if refs.shallow else ():
        (folder / name).write_text(refs.shallow)
    (folder / "index").write_bytes(index.read_bytes())


def with_alternates(stores: tuple[Path, ...]) -> tuple[Path, ...]:
    """Object folders and those that they refer to in their turn: all that git will read."""
    found = list(stores)
    for store in found:  # grows while it is read, as git follows them too
        for line in _lines(store / "info/alternates"):
            other = Path(os.path.normpath(store / line))
            if line and not line.startswith("#") and other not in found:
                found.append(other)
    return tuple(found)


def set_stores(folder: Path, stores: tuple[Path, ...]) -> None:
    """Say where the objects of a git folder lie."""
    (folder / "objects/info/alternates").write_bytes(b"".join(os.fsencode(store) + b"\n" for store in stores))


def set_head(folder: Path, commit: str) -> None:
    """Say in our private git folder what is checked out."""
    (folder / "HEAD").write_text(commit + "\n")


def _config(repository: str, origin: Path, sha256: bool) -> str:
    url = _quoted("mainstay:" + repository)
    return (
        f"{_format(sha256)}\tbare = false\n\tlogallrefupdates = true\n"
        f'[remote "origin"]\n\turl = {url}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
        f"[url {_quoted(str(origin))}]\n\tinsteadOf = {url}\n"
    )


def _format(sha256: bool) -> str:
    extension = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
    return f"{extension}[core]\n\trepositoryformatversion = {int(sha256)}\n\tfilemode = true\n"


def _packed(values: dict[str, tuple[str, str | None]]) -> str:
    lines = []
    for name in sorted(values):
        value, peeled = values[name]
        lines.append(f"{value} {name}\n" + (f"^{peeled}\n" if peeled else ""))
    # Tags read from loose files are not peeled: without the header's promise git looks for itself.
    return (PACKED if all(p or not n.startswith(TAGS) for n, (_, p) in values.items()) else "") + "".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _time(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
