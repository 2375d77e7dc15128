"""Git's objects as bytes: ids, commits, trees. Pure; the runner uses it to verify what it checked out."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from mainstay.model.repository import Commit

SUBJECT_CHARACTERS = 500
MESSAGE_BYTES = 64 * 1024

TREE, LINK, SUBMODULE = 0o040000, 0o120000, 0o160000


@dataclass(frozen=True, slots=True)
class Object:
    """One object. `kind` is `commit`, `tree`, `blob` or `tag`."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree. Bytes of `name` that are not UTF-8 are kept as surrogates."""

    mode: int
    name: str
    sha: str

    @property
    def is_tree(self) -> bool:
        return self.mode == TREE

    @property
    def is_file(self) -> bool:
        """A regular file: neither folder, symbolic link nor submodule."""
        return self.mode not in (TREE, LINK, SUBMODULE)


class Malformed(ValueError):
    """The bytes are not what their kind promises."""


def object_id(kind: str, data: bytes, digits: int = 40) -> str:
    """The id that these bytes have: SHA-1 for ids of 40 digits, SHA-256 for 64."""
    head = f"{kind} {len(data)}\0".encode()
    digest = hashlib.sha1(head, usedforsecurity=False) if digits == 40 else hashlib.sha256(head)
    digest.update(data)
    return digest.hexdigest()


def is_genuine(sha: str, thing: Object) -> bool:
    """Whether the bytes are those that the id names."""
    return object_id(thing.kind, thing.data, len(sha)) == sha


def tree_entries(data: bytes, digits: int) -> tuple[Entry, ...]:
    """The lines of a tree object."""
    entries, at, width = [], 0, digits // 2
    try:
        while at < len(data):
            space = data.index(b" ", at)
            end = data.index(b"\0", space)
            name = data[space + 1 : end].decode("utf-8", "surrogateescape")
            entries.append(Entry(int(data[at:space], 8), name, data[end + 1 : end + 1 + width].hex()))
            at = end + 1 + width
    except ValueError as error:
        raise Malformed("a tree object cannot be read") from error
    return tuple(entries)


def commit_links(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Tree and parents of a commit object."""
    tree, parents = "", []
    for line in data.split(b"\n\n", 1)[0].split(b"\n"):
        word, _, value = line.partition(b" ")
        if word == b"tree":
            tree = value.decode("ascii", "replace")
        elif word == b"parent":
            parents.append(value.decode("ascii", "replace"))
        else:
            break
    if not tree:
        raise Malformed("a commit object names no tree")
    return tree, tuple(parents)


def tag_target(data: bytes) -> tuple[str, str]:
    """Id and kind of what an annotated tag points to."""
    lines = data.split(b"\n", 2)
    if len(lines) < 3 or not lines[0].startswith(b"object ") or not lines[1].startswith(b"type "):
        raise Malformed("a tag object names no target")
    return lines[0][7:].decode("ascii", "replace"), lines[1][5:].decode("ascii", "replace")


def commit_from(sha: str, data: bytes) -> Commit:
    """A commit object as it is shown. Whatever it holds, text comes out: bytes that fit no text are replaced."""
    head, _, body = data.partition(b"\n\n")
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\n"):
        word, _, value = line.partition(b" ")
        headers.setdefault(word, value)
    tree, parents = commit_links(data)
    encoding = headers.get(b"encoding", b"utf-8").decode("ascii", "replace")
    author, email, authored_at = _person(headers.get(b"author", b""), encoding)
    _, _, committed_at = _person(headers.get(b"committer", b""), encoding)
    message = _text(body[: 4 * MESSAGE_BYTES], encoding)
    message = message.encode()[:MESSAGE_BYTES].decode("utf-8", "ignore")
    subject = message.lstrip("\n").partition("\n")[0].strip()[:SUBJECT_CHARACTERS]
    return Commit(sha, tree, parents, author, email, authored_at, committed_at, subject, message)


def _text(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding, "replace")
    except (LookupError, UnicodeError, ValueError):
        text = data.decode("utf-8", "replace")
    # A database of text holds neither zeros nor half characters.
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _person(line: bytes, encoding: str) -> tuple[str, str, datetime]:
    """Name, address and time of `Name <address> SECONDS ZONE`; the epoch when the time makes no sense."""
    name, _, rest = line.partition(b"<")
    address, _, when = rest.rpartition(b">")
    try:
        at = datetime.fromtimestamp(int(when.split()[0]), UTC)
    except (IndexError, ValueError, OverflowError, OSError):
        at = datetime.fromtimestamp(0, UTC)
    return _text(name.strip(), encoding), _text(address.strip(), encoding), at
