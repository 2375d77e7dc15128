"""What a runner needs of the server's repositories: fetching over HTTP with a token, and verified reading.

Two ways to fetch. `fetch` runs the git program. `fetch_request` and `PackAnswer` are the same one round of git's
protocol version 2 as values, for a runner that has a connection to the server already: one request and one
`index-pack`, where the program needs four processes and three requests. Imports the standard library and `model` only.
Source: git's Documentation/gitprotocol-v2.txt.
"""

import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from mainstay.git.names import check_ref, check_sha
from mainstay.git.objects import Object, is_genuine
from mainstay.git.process import GitError, run
from mainstay.model.errors import NotFound

FETCH_TIMEOUT_S = 3600.0
FETCH_PATH = "/git-upload-pack"
FETCH_HEADERS = {
    "Content-Type": "application/x-git-upload-pack-request",
    "Accept": "application/x-git-upload-pack-result",
    "Git-Protocol": "version=2",
}

_FLUSH, _DELIMITER = b"0000", b"0001"


def basic(token: str, user: str = "runner") -> str:
    """The value of an Authorization header: basic auth, as git's own client sends it."""
    return "Basic " + b64encode(f"{user}:{token}".encode()).decode("ascii")


async def fetch(git_dir: Path, url: str, token: str, wants: Mapping[str, str]) -> None:
    """Bring objects into a bare mirror and set its refs: whole ref name to the object id it shall have.

    The token is neither on a command line nor on disk.
    """
    specs = [f"+{check_sha(sha)}:{check_ref(ref)}" for ref, sha in wants.items()]
    await run(
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
        "--stdin",
        "--end-of-options",
        url,
        git_dir=git_dir,
        stdin="".join(f"{spec}\n" for spec in specs).encode(),
        config={"http.extraHeader": f"Authorization: {basic(token)}", "fetch.unpackLimit": "1"},
        timeout_s=FETCH_TIMEOUT_S,
    )


def fetch_request(wants: Iterable[str], haves: Iterable[str] = (), *, object_format: str = "sha1") -> bytes:
    """The body of a POST to `REPOSITORY/git-upload-pack` with FETCH_HEADERS: one round, answered by a pack.

    `haves`: commits that are here with all of their history. The server leaves out what they have, as far as it
    knows them; the pack may hold differences to objects that are here (`index-pack --fix-thin`).
    """
    lines = [b"command=fetch\n", b"agent=mainstay\n", f"object-format={object_format}\n".encode()]
    head = b"".join(map(_packet, lines))
    lines = [b"thin-pack\n", b"no-progress\n", b"ofs-delta\n"]
    lines += [f"want {check_sha(sha)}\n".encode() for sha in wants]
    lines += [f"have {check_sha(sha)}\n".encode() for sha in haves]
    lines.append(b"done\n")
    return head + _DELIMITER + b"".join(map(_packet, lines)) + _FLUSH


class PackAnswer:
    """Takes the answer to a `fetch_request` apart as it comes. Raises GitError with what the server says is wrong."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_pack = False
        self.complete = False
        """Whether its end was seen: a connection that broke is noticed."""

    def feed(self, data: bytes) -> bytes:
        """The bytes of the pack that `data` completes, maybe none."""
        self._buffer += data
        pack, at = bytearray(), 0
        while len(self._buffer) - at >= 4:
            try:
                length = int(self._buffer[at : at + 4], 16)
            except ValueError:
                raise GitError(f"The answer is not git's: it has {bytes(self._buffer[at : at + 40])!r}.") from None
            if length < 4:
                self.complete = self.complete or length == 0
                at += 4
                continue
            if len(self._buffer) - at < length:
                break
            pack += self._line(bytes(self._buffer[at + 4 : at + length]))
            at += length
        del self._buffer[:at]
        return bytes(pack)

    def _line(self, line: bytes) -> bytes:
        if line.startswith(b"ERR ") and not self._in_pack:
            raise _refused(line[4:])
        if not self._in_pack:
            self._in_pack = line.rstrip(b"\n") == b"packfile"
            return b""
        match line[:1]:
            case b"\x01":
                return line[1:]
            case b"\x03":
                raise _refused(line[1:])
            case _:
                return b""


async def take_pack(git_dir: Path, answer: AsyncIterator[bytes]) -> None:
    """Put the objects of an answer to a `fetch_request` into a repository: all of them or none. Raises GitError.

    They are not flushed to the disk, which takes longer than all the rest: they can be fetched again. A repository
    found damaged after a power cut is to be thrown away.
    """
    reading = PackAnswer()

    async def pack() -> AsyncIterator[bytes]:
        async for data in answer:
            if piece := reading.feed(data):
                yield piece
        if not reading.complete:
            raise GitError("The connection broke while commits were fetched; try again.")

    await run(
        "index-pack",
        "--stdin",
        "--fix-thin",
        git_dir=git_dir,
        stdin=pack(),
        config={"core.fsync": "none"},
        timeout_s=FETCH_TIMEOUT_S,
    )


async def read_verified(git_dir: Path, sha: str, kind: str = "commit") -> bytes:
    """An object's bytes, proven to be the ones the id names. Raises NotFound, GitError when they are not."""
    check_sha(sha)
    data = _loose(git_dir, sha, kind)
    if data is None:
        found = await run("cat-file", kind, sha, git_dir=git_dir, ok=(0, 128))
        if found.exit_code != 0:
            raise NotFound(f"There is no {kind} {sha} in {git_dir}.")
        data = found.stdout
    if not is_genuine(sha, Object(kind, data)):
        raise GitError(f"The {kind} {sha} in {git_dir} is damaged: its bytes do not have that id.")
    return data


def _loose(git_dir: Path, sha: str, kind: str) -> bytes | None:
    """The bytes of an object that lies in a file of its own, a process saved."""
    try:
        head, _, data = zlib.decompress((git_dir / "objects" / sha[:2] / sha[2:]).read_bytes()).partition(b"\0")
    except (OSError, zlib.error):
        return None
    return data if head == f"{kind} {len(data)}".encode() else None


def _refused(message: bytes) -> GitError:
    text = message.decode("utf-8", "replace").strip()
    return GitError(f"The server did not send the commits: {text}", stderr=text)


def _packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data
