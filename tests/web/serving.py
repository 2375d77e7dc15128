"""The application on a real socket: uvicorn in a thread with its own event loop."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn

from mainstay.engine.server import Config, Engine
from mainstay.store.database import Tx
from mainstay.web.app import create_app
from mainstay.web.options import Options
from tests.web.conftest import API_TOKEN, RUNNER_TOKEN
from tests.web.filling import Filling


class Served:
    """A server that listens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready = threading.Event()
        self.url = ""
        self.engine: Engine
        self.server: uvicorn.Server
        self.loop: asyncio.AbstractEventLoop

    def run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.engine = await Engine.open(Config(self.folder, watch_remotes=True))
        await self.engine.start()
        self.app = create_app(self.engine, Options(public_reading=True))
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            config = uvicorn.Config(self.app, log_level="warning", lifespan="on", timeout_graceful_shutdown=5)
            self.server = uvicorn.Server(config)
            self.loop.call_soon(self.ready.set)
            await self.server.serve([listening])
        await self.engine.close()

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run an async function in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(function(*args), self.loop).result(60)

    def fill(self, function: Callable[[Filling], Any]) -> Any:
        """Write rows in one transaction."""

        def write(tx: Tx) -> Any:
            return function(Filling(tx, datetime.now(UTC).replace(microsecond=0)))

        return self.do(self.engine.db.write, write)

    def stop(self) -> None:
        """End every stream, then the server."""
        self.loop.call_soon_threadsafe(self.app.state.site.streams.close)
        self.server.should_exit = True


@contextmanager
def served(folder: Path, template: Path) -> Iterator[Served]:
    """Start a server and stop it."""
    folder.mkdir()
    (folder / "mainstay.sqlite3").write_bytes(template.read_bytes())
    server = Served(folder)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.ready.wait(60)
    server.fill(lambda f: (f.token("api", API_TOKEN, "ada"), f.token("runner", RUNNER_TOKEN, "farm")))
    try:
        yield server
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()
