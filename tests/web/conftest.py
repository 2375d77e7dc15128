"""A server for the web's tests: a real engine on a fresh database, without its loops, and a client for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mainstay.engine.server import Config, Engine
from mainstay.notify.outlet import Outlet
from mainstay.store.database import Tx
from mainstay.web.access import sign_in_link
from mainstay.web.app import create_app
from mainstay.web.options import Options
from tests.conftest import KINDS
from tests.web.filling import NOON, Filling

API_TOKEN = "mst_api_for_tests"
RUNNER_TOKEN = "mst_runner_for_tests"


on_each_database = pytest.mark.parametrize("database_kind", KINDS)
"""For tests of what is read from the database; without it a test runs on SQLite."""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Site:
    """A running application with what tests reach into."""

    app: Starlette
    engine: Engine
    client: TestClient
    clock: Clock
    filled: dict[str, Any] = field(default_factory=dict)

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run an async function in the server's event loop."""
        portal = self.client.portal
        assert portal is not None
        return portal.call(function, *args)

    def fill(self, function: Callable[[Filling], Any]) -> Any:
        """Write rows in one transaction."""

        def write(tx: Tx) -> Any:
            return function(Filling(tx, self.clock.now()))

        return self.do(self.engine.db.write, write)

    def api(self, method: str, path: str, **more: Any) -> Any:
        """Call the API with the API token."""
        headers = {"Authorization": f"Bearer {API_TOKEN}", **more.pop("headers", {})}
        return self.client.request(method, f"/api/v1{path}", headers=headers, **more)

    def page(self, path: str, **headers: str) -> Any:
        """Read a page as a browser does."""
        return self.client.get(path, headers={"Accept": "text/html", **headers})

    def sign_in(self) -> None:
        """Use a sign-in link."""
        answer = self.client.get(self.do(sign_in_link, self.engine), follow_redirects=False)
        assert answer.status_code == 303, answer.text


def serve(folder: Path, database_url: str, **options: Any) -> Iterator[Site]:
    """A site on its own data folder and database."""
    clock = Clock(NOON + timedelta(minutes=5))
    outlet = options.pop("outlet", Outlet())
    folder.mkdir()
    with anyio.from_thread.start_blocking_portal("asyncio") as portal:
        config = Config(folder, database=database_url, clock=clock, watch_remotes=False, outlet=outlet)
        engine = portal.call(Engine.open, config)
        app = create_app(engine, Options(**{"public_reading": True, "data": folder, **options}))
        client = TestClient(app, base_url="http://mainstay.test", raise_server_exceptions=False)
        client.portal = portal
        site = Site(app, engine, client, clock)
        site.fill(lambda f: (f.token("api", API_TOKEN, "ada"), f.token("runner", RUNNER_TOKEN, "farm")))
        try:
            yield site
        finally:
            app.state.site.streams.close()
            portal.call(engine.close)


@pytest.fixture
def database_kind() -> str:
    """SQLite, unless the test is marked `on_each_database`."""
    return "sqlite"


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """A site whose pages everybody may read."""
    yield from serve(tmp_path / "data", database_url)


@pytest.fixture
def closed_site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """A site that only those who signed in may read."""
    yield from serve(tmp_path / "data", database_url, public_reading=False)
