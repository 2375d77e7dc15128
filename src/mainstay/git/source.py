"""Where a repository lives: what a url may be, and how a repository on this machine is laid out."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mainstay.git.process import redact
from mainstay.model.errors import BadInput, NotFound

_SCP = re.compile(r"(?:[A-Za-z0-9._+-]+@)?(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(?!//|:).+\Z")
_SCHEMES = ("http", "https", "ssh", "git")


@dataclass(frozen=True, slots=True)
class LocalRepository:
    """A repository on this machine."""

    path: Path
    """As it was named."""
    git_dir: Path
    """Where its refs and objects are: the main repository's, also when `path` is one of its work trees."""

    @property
    def is_shallow(self) -> bool:
        return (self.git_dir / "shallow").exists()

    @property
    def is_reftable(self) -> bool:
        return (self.git_dir / "reftable").is_dir()


def local_path(source: str) -> Path | None:
    """The path that `source` names on this machine (a path or `file://`); None when it is a url of somewhere else.

    Raises BadInput for what is neither, and for what git could take for an option.
    """
    if not source or source.startswith("-") or any(ord(character) < 32 for character in source):
        raise BadInput(f"{redact(source)!r} is not a repository's address: give a path, or an ssh or https url.")
    scheme, separator, _ = source.partition("://")
    if separator:
        parts = urlsplit(source)
        if scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
        if scheme in _SCHEMES and parts.hostname and not parts.hostname.startswith("-") and " " not in parts.netloc:
            return None
        raise BadInput(
            f"{redact(source)!r} is not an address that is understood: use a path, file, ssh, http or https."
        )
    path = Path(source).expanduser()
    if path.is_absolute():
        return path
    if "/" not in source.partition(":")[0] and _SCP.match(source):
        return None
    raise BadInput(f"{source!r} is a relative path, and the server stands elsewhere: give the whole path.")


def find_local(path: Path) -> LocalRepository:
    """The repository at `path`: bare, with a work tree, or one of several work trees. Raises NotFound."""
    try:
        git_dir = _git_dir(path)
    except OSError as error:
        raise NotFound(f"The repository {path} cannot be read: {error.strerror}.") from error
    if git_dir is None:
        what = "is not a git repository" if path.exists() else "does not exist"
        raise NotFound(f"There is nothing to watch at {path}: it {what}.")
    return LocalRepository(path, git_dir)


def _git_dir(path: Path) -> Path | None:
    inner = path / ".git"
    if inner.is_file():
        word, _, target = inner.read_text("utf-8", "surrogateescape").rstrip("\n").partition(": ")
        found = path / target if word == "gitdir" else None
    elif inner.is_dir():
        found = inner
    else:
        found = path
    if found is None or not (found / "HEAD").is_file():
        return None
    common = found / "commondir"
    if common.is_file():
        found = found / common.read_text("utf-8", "surrogateescape").rstrip("\n")
    return found.resolve() if (found / "objects").is_dir() else None
