"""Where a repository's branches and tags are: read from a git directory here, or from a remote."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.git.names import BRANCHES, TAGS, is_ref, is_sha
from mainstay.git.process import GitError, run
from mainstay.git.source import LocalRepository

LIST_LIMIT_BYTES = 256 * 1024 * 1024
LOCAL_TIMEOUT_S = 60.0
REMOTE_TIMEOUT_S = 120.0
LOOSE_LIMIT = 200
"""With more loose refs than this git reads them quicker than we do."""


@dataclass(frozen=True, slots=True)
class RefList:
    """Branches and tags at one moment."""

    refs: dict[str, str] = field(default_factory=dict)
    """Whole name to object id: for an annotated tag the tag's own."""
    head: str | None = None
    """The default branch (`refs/heads/main`), also before it has a commit; None: not known."""
    skipped: tuple[str, ...] = ()
    """Names that cannot be shown or stored, because their bytes are not UTF-8, with those bytes written out."""


async def read_local(repository: LocalRepository, limit: int = LOOSE_LIMIT) -> RefList:
    """The refs of a repository on this machine: from its files when they are few, else by git."""
    if not repository.is_reftable:
        found = _read_files(repository.git_dir, limit)
        if found is not None:
            return found
    listed = await run(
        "for-each-ref",
        "--format=%(objectname) %(refname)",
        BRANCHES,
        TAGS,
        git_dir=repository.git_dir,
        timeout_s=LOCAL_TIMEOUT_S,
        limit_bytes=LIST_LIMIT_BYTES,
    )
    head = await run("symbolic-ref", "--quiet", "HEAD", git_dir=repository.git_dir, ok=(0, 1))
    pairs = (line.partition(b" ")[::2] for line in listed.stdout.splitlines())
    return _listing(((name, sha.decode("ascii")) for sha, name in pairs), head.text or None)


async def read_remote(
    url: str, env: Mapping[str, str] | None, *, head: bool, config: Mapping[str, str] | None = None
) -> RefList:
    """The refs of a remote. `head`: its default branch too, for which all of its refs must be sent."""
    which = ("--symref",) if head else ("--heads", "--tags")
    listed = await run(
        "ls-remote",
        *which,
        "--quiet",
        "--end-of-options",
        url,
        env=env,
        config=config,
        timeout_s=REMOTE_TIMEOUT_S,
        limit_bytes=LIST_LIMIT_BYTES,
    )
    default: str | None = None
    pairs: list[tuple[bytes, str]] = []
    for line in listed.stdout.splitlines():
        value, _, name = line.partition(b"\t")
        if name == b"HEAD" and value.startswith(b"ref: "):
            default = value[5:].decode("utf-8", "replace")
        elif name.startswith((BRANCHES.encode(), TAGS.encode())) and not name.endswith(b"^{}"):
            pairs.append((name, value.decode("ascii", "replace")))
    return _listing(iter(pairs), default)


def _listing(pairs: Iterator[tuple[bytes, str]], head: str | None) -> RefList:
    refs: dict[str, str] = {}
    skipped: list[str] = []
    for raw, sha in pairs:
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            skipped.append(raw.decode("utf-8", "backslashreplace"))
            continue
        if not is_sha(sha) or not is_ref(name):
            raise GitError(f"The repository lists a ref that makes no sense: {sha[:80]} {name[:200]!r}")
        refs[name] = sha
    return RefList(refs, head if head is not None and is_ref(head) else None, tuple(skipped))


def _read_files(git_dir: Path, limit: int) -> RefList | None:
    """Refs from git's own files, a process saved. None: there are many, or something that git should judge.

    Loose ones are read first: git packs a ref by writing it to packed-refs before it removes the loose file, so
    whoever reads in the other order may find it in neither.
    """
    found: dict[bytes, str] = {}
    base = bytes(git_dir)
    pending = [BRANCHES.encode(), TAGS.encode()]
    count = 0
    try:
        while pending:
            folder = pending.pop()
            try:
                entries = list(_scan(base + b"/" + folder))
            except FileNotFoundError:
                continue
            for name, is_folder in entries:
                if is_folder:
                    pending.append(folder + name + b"/")
                elif not name.endswith(b".lock"):
                    count += 1
                    if count > limit:
                        return None
                    sha = _loose(base + b"/" + folder + name)
                    if sha is None:
                        return None
                    found[folder + name] = sha
        packed = _packed(git_dir / "packed-refs")
        head = (git_dir / "HEAD").read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return None
    listing = sorted({**packed, **found}.items())
    return _listing(iter(listing), head[5:] if head.startswith("ref: ") else None)


def _scan(folder: bytes) -> Iterator[tuple[bytes, bool]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir(follow_symlinks=False)


def _loose(path: bytes) -> str | None:
    """The id in a loose ref's file; None when it is symbolic, vanished or damaged: git shall judge it."""
    try:
        with open(path, "rb") as file:
            text = file.read(100).rstrip(b"\n").decode("ascii", "replace")
    except FileNotFoundError:
        return None
    return text if is_sha(text) else None


def _packed(path: Path) -> dict[bytes, str]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    prefixes = (BRANCHES.encode(), TAGS.encode())
    pairs = (line.partition(b" ")[::2] for line in lines if line[:1] not in (b"#", b"^"))
    return {name: sha.decode("ascii") for sha, name in pairs if name.startswith(prefixes)}
