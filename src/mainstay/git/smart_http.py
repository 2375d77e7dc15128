"""Our own git server: the smart HTTP protocol in both directions, without a word about any HTTP framework.

    GET  R.git/info/refs?service=git-upload-pack    advertise
    POST R.git/git-upload-pack                      upload      what is fetched from us
    POST R.git/git-receive-pack                     receive     what is pushed to us

Bodies are iterators of bytes in both directions; nothing is held in memory as a whole, and a slow reader slows git.
Source: git's Documentation/gitprotocol-http.txt and http-backend.c.
"""

import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from mainstay.git.fetching import strict
from mainstay.git.process import READ_BYTES, Process, failed, run
from mainstay.git.pushing import Exchange
from mainstay.git.refs import read_local
from mainstay.git.source import LocalRepository
from mainstay.model.errors import BadInput, TooLarge
from mainstay.model.repository import RefMove

UPLOAD_PACK, RECEIVE_PACK = "git-upload-pack", "git-receive-pack"
REQUEST_LIMIT_BYTES = 64 * 1024 * 1024
"""Of a fetch: it names commits, nothing more."""
PUSH_LIMIT_BYTES = 4 * 1024 * 1024 * 1024
HELD_BACK_BYTES = 64 * 1024
NO_STORE = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache"}
CONFIG = {
    "uploadpack.allowAnySHA1InWant": "true",  # a build's commit, wherever its branch is now
    "uploadpack.allowFilter": "true",
    "receive.advertisePushOptions": "true",
    "receive.autogc": "false",
    "receive.denyCurrentBranch": "ignore",
    "receive.denyDeleteCurrent": "ignore",
    "receive.denyNonFastForwards": "false",
    "receive.denyDeletes": "false",
    "core.logAllRefUpdates": "false",
    **strict("receive"),
}

_PROTOCOL = re.compile(r"[a-z0-9-]+(=[a-z0-9.-]+)?(:[a-z0-9-]+(=[a-z0-9.-]+)?)*\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be sent. The body has begun already, so it must be read, or closed with `aclose`."""

    status: int
    headers: dict[str, str]
    body: AsyncGenerator[bytes, None]


Moved = Callable[[list[RefMove]], Awaitable[None]]


async def advertise(git_dir: Path, service: str, protocol: str | None) -> Answer:
    """What `info/refs?service=` answers. `protocol`: the header Git-Protocol. Raises BadInput, GitError."""
    if service not in (UPLOAD_PACK, RECEIVE_PACK):
        raise BadInput(
            f"There is no service {service[:40]!r} here: a git client asks for {UPLOAD_PACK} or {RECEIVE_PACK}."
        )
    env = _environment(service, protocol)
    listed = await run(service[4:], "--http-backend-info-refs", ".", cwd=git_dir, env=env, config=CONFIG)
    body = listed.stdout
    if "version=2" not in env.get("GIT_PROTOCOL", ""):
        body = _packet(f"# service={service}\n".encode()) + b"0000" + body
    headers = {"Content-Type": f"application/x-{service}-advertisement", **NO_STORE}
    return Answer(200, headers, _once(body))


async def upload(
    git_dir: Path, body: AsyncIterator[bytes], *, protocol: str | None = None, encoding: str | None = None
) -> Answer:
    """Answer a fetch. `encoding`: the request's Content-Encoding. Raises BadInput, TooLarge, GitError."""
    request = _limited(_decoded(body, encoding), REQUEST_LIMIT_BYTES)
    pieces = _serve(git_dir, UPLOAD_PACK, request, _environment(UPLOAD_PACK, protocol), CONFIG)
    return await _begun(UPLOAD_PACK, pieces)


async def receive(
    git_dir: Path,
    body: AsyncIterator[bytes],
    moved: Moved,
    *,
    protocol: str | None = None,
    encoding: str | None = None,
    limit_bytes: int = PUSH_LIMIT_BYTES,
) -> Answer:
    """Take a push in. `moved` is given the refs that moved, and the pusher hears of success only when it returns."""
    config = {**CONFIG, "receive.maxInputSize": str(limit_bytes)}
    request = _limited(_decoded(body, encoding), limit_bytes + REQUEST_LIMIT_BYTES)
    exchange = Exchange()
    pieces = _serve(git_dir, RECEIVE_PACK, exchange.reading(request), _environment(RECEIVE_PACK, protocol), config)
    return await _begun(RECEIVE_PACK, _held_back(git_dir, pieces, exchange, moved))


async def _serve(
    git_dir: Path, service: str, request: AsyncIterator[bytes], env: Mapping[str, str], config: Mapping[str, str]
) -> AsyncGenerator[bytes]:
    args = (service[4:], "--stateless-rpc", ".")
    silent = True
    async with Process(args, cwd=git_dir, env=env, config=config) as process, process.fed(request):
        while data := await process.read():
            silent = False
            yield data
        exit_code = await process.wait()
        # With a word on its way the client has been told what is wrong, in git's own protocol.
        if exit_code != 0 and silent:
            raise failed(args, exit_code, process.stderr)


async def _held_back(
    git_dir: Path, pieces: AsyncGenerator[bytes, None], exchange: Exchange, moved: Moved
) -> AsyncGenerator[bytes, None]:
    """The answer to a push, its end only when `moved` has returned: accepted means stored."""
    repository = LocalRepository(git_dir, git_dir)
    before = (await read_local(repository)).refs
    held = b""
    async with aclosing(pieces):
        async for data in pieces:
            exchange.answered(data)
            held += data
            if len(held) > HELD_BACK_BYTES:
                yield held[:-HELD_BACK_BYTES]
                held = held[-HELD_BACK_BYTES:]
    moves = exchange.moves()
    if moves is None:
        after = (await read_local(repository)).refs
        moves = [
            RefMove(ref, before.get(ref), after.get(ref))
            for ref in sorted(before.keys() | after.keys())
            if before.get(ref) != after.get(ref)
        ]
    if moves:
        await moved(moves)
    yield held


async def _begun(service: str, pieces: AsyncGenerator[bytes, None]) -> Answer:
    """An answer whose first bytes are there: what fails before them becomes an error and not a broken answer."""
    first = await anext(pieces, b"")

    async def body() -> AsyncGenerator[bytes, None]:
        async with aclosing(pieces):
            yield first
            async for data in pieces:
                yield data

    return Answer(200, {"Content-Type": f"application/x-{service}-result", **NO_STORE}, body())


def _environment(service: str, protocol: str | None) -> dict[str, str]:
    """There is no version 2 of pushing: git's own client asks for it all the same and is answered in version 0."""
    if protocol is None or service == RECEIVE_PACK or len(protocol) > 200 or not _PROTOCOL.match(protocol):
        return {}
    return {"GIT_PROTOCOL": protocol}


async def _decoded(body: AsyncIterator[bytes], encoding: str | None) -> AsyncIterator[bytes]:
    if encoding in (None, "", "identity"):
        async for data in body:
            yield data
        return
    if encoding not in ("gzip", "x-gzip"):
        raise BadInput(f"The request's Content-Encoding {encoding!r:.40} is not understood: gzip or none.")
    inflater = zlib.decompressobj(wbits=31)
    try:
        async for data in body:
            while data:
                if plain := inflater.decompress(data, READ_BYTES):
                    yield plain
                data = inflater.unconsumed_tail
        if not inflater.eof:
            raise BadInput("The request's gzip body ends too early.")
    except zlib.error as error:
        raise BadInput(f"The request's body is not gzip: {error}") from error


async def _limited(body: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    left = limit_bytes
    async for data in body:
        left -= len(data)
        if left < 0:
            raise TooLarge(f"The request is longer than {limit_bytes} bytes.")
        yield data


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


def _packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data
