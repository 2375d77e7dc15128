"""Putting a server together and keeping it up until it is told to stop: engine, web, local runners, signals, files.

`mainstay up` and `mainstay server` differ only in whether local runners are started and the client's files are written.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvicorn

from mainstay.cli.connections import Connection
from mainstay.cli.garbage import spare_what_stays
from mainstay.engine.fleet import Local
from mainstay.engine.lease import Lease
from mainstay.engine.openid import OpenId
from mainstay.engine.server import Config, Engine
from mainstay.flow.fleet import Bounds
from mainstay.model.errors import Unavailable
from mainstay.notify.outlet import outlet
from mainstay.web.access import sign_in_link
from mainstay.web.app import create_app
from mainstay.web.options import Options

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SWITCH_S = 0.0005
"""How long one thread may keep the others waiting: a push's way leads through several (Python's own 5 ms add up)."""
GOODBYE_S = 3
"""Seconds that open requests may take when the server stops."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """How messages go out, as it was written."""

    smtp: str | None = None
    password: str | None = None
    sender: str | None = None
    author_domains: str | None = None
    reach: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What is to be served, and where."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    database: str | None = None
    blobs: str | None = None
    public_url: str | None = None
    runners: Bounds | None = None
    """Local runners; None: none."""
    labels: tuple[str, ...] = ()
    executor: str | None = None
    containers: tuple[str, ...] = ()
    """What local runners are told of containers, as arguments."""
    hook_secrets: dict[str, str] = field(default_factory=dict)
    lease: Lease = field(default_factory=Lease)
    openid: OpenId | None = None
    public_reading: str | None = None
    """`all`, `marked` or `none`; None: as the address is."""
    outgoing: Outgoing = field(default_factory=Outgoing)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    engine: Engine
    url: str
    """As this machine reaches it."""
    sign_in: str
    """A link that signs its first visitor in."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are handled here, in the order things have to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def hosted(place: Place) -> AsyncIterator[Running]:
    """A server for as long as the block lasts: it answers inside, and everything of it has ended after."""
    sys.setswitchinterval(SWITCH_S)
    place.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(place.data), _listening(place) as listener:
        url = _url(place, listener)
        out = outlet(place.public_url or url, **asdict(place.outgoing))
        config = Config(place.data, place.database, place.blobs, lease=place.lease, outlet=out, openid=place.openid)
        engine = await Engine.open(config)
        try:
            options = Options(
                public_reading=_reading(place) == "all",
                public_repositories=_reading(place) != "none",
                open_hosts=LOOPBACK if _alone_here(place) and place.public_reading is None else None,
                address=place.public_url,
                hook_secrets=place.hook_secrets,
                data=place.data,
            )
            app = create_app(engine, options)
            server = _Server(_configuration(app))
            await engine.start()
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
            try:
                await _started(server, serving)
                await _token(engine, place.data / "token", "api", "local")
                _write(place.data / "url", url)
                spare_what_stays()
                if place.runners is not None:
                    engine.start_fleet(await _local(engine, place, url), place.runners)
                yield Running(engine, url, await _sign_in(engine, url))
            finally:
                await engine.stop_working()
                app.state.site.streams.close()
                server.should_exit = True
                await serving
                (place.data / "url").unlink(missing_ok=True)
        finally:
            await engine.close()


def _reading(place: Place) -> str:
    """What is read without signing in. With an address for others a proxy stands before us: all the world comes from
    the loopback address then."""
    return place.public_reading or ("all" if _alone_here(place) else "marked")


def _alone_here(place: Place) -> bool:
    """Whether only this machine reaches us."""
    return place.host in LOOPBACK and place.public_url is None


async def until_told(work: Callable[[], Awaitable[int]] | None = None) -> int:
    """Wait for SIGTERM or SIGINT (then 0), or for the end of `work` if there is some (then what it gives)."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    waiting: set[asyncio.Future[object]] = {asyncio.ensure_future(told.wait())}
    working = None
    if work is not None:
        working = asyncio.ensure_future(work())
        waiting.add(working)  # type: ignore[arg-type]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working is not None and working.done() else 0
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _configuration(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="none",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GOODBYE_S,
        backlog=2048,
    )


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise Unavailable("the web server ended before it answered; the log above says why")
        await asyncio.sleep(0.005)


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Hold the data folder's lock: two servers on one folder would share its files and end each other's runners."""
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                f"another Mainstay server uses the data folder {data}; stop it, or name another folder with --data"
            ) from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _listening(place: Place) -> Iterator[socket.socket]:
    """A listening socket; at once free again after a restart."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((place.host, place.port))
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {place.host}:{place.port}: {error.strerror}; "
                "stop what uses it, or choose another port with --port (0 takes a free one)"
            ) from None
        listener.listen(2048)
        yield listener
    finally:
        listener.close()


def _url(place: Place, listener: socket.socket) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(place.host, place.host)  # noqa: S104
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{listener.getsockname()[1]}"


async def _local(engine: Engine, place: Place, url: str) -> Local:
    token = await _token(engine, place.data / "runner-token", "runner", "local runners")
    folder = place.data / "runners"
    return Local(url, token, folder, engine.mirrors.folder, place.labels, place.executor, place.containers)


async def _token(engine: Engine, file: Path, kind: str, name: str) -> str:
    """The token kept in a file of the data folder, made anew when it is missing or worth nothing any more."""
    with contextlib.suppress(FileNotFoundError):
        token = file.read_text("utf-8").strip()
        if token and await engine.authenticate(token) is not None:
            return token
    token = await engine.access.new_token(kind, name)
    _write(file, token)
    return token


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text + "\n")
    part.replace(file)


async def _sign_in(engine: Engine, url: str) -> str:
    return url + await sign_in_link(engine)
