"""What tests of all rooms share: the event loop's kind, and databases of both kinds that are thrown away."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mainstay.store.database import Database, open_database
from tests import postgres

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all test processes of this run see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(request.config, "workerinput") else own


@pytest.fixture(scope="session")
def postgres_cluster(shared_folder: Path) -> Iterator[postgres.Cluster]:
    """A PostgreSQL on which tests make databases; they are skipped where there is none."""
    with postgres.cluster(shared_folder) as cluster:
        if cluster is None:
            pytest.skip(postgres.WHY_NOT)
        yield cluster


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: postgres.Cluster, shared_folder: Path) -> str:
    """The name of a database with our tables in it, to copy."""
    return postgres_cluster.template(shared_folder)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our tables in it, to copy."""
    path = tmp_path_factory.mktemp("sqlite-template") / "main.db"

    async def make() -> None:
        await (await open_database(f"sqlite:///{path}")).close()

    asyncio.run(make())
    return path


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def empty_database_url(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a new database without tables, of each kind in turn."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
        return
    cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
    with cluster.database() as url:
        yield url


@pytest.fixture
def database_urls(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator["DatabaseUrls"]:
    """Makes new databases of one kind, with our tables in them."""
    with ExitStack() as stack:
        yield DatabaseUrls(database_kind, tmp_path, request, stack)


class DatabaseUrls:
    """`new()` gives the URL of a new migrated database; all are dropped at the end of the test."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest, stack: ExitStack) -> None:
        self.kind = kind
        self._folder = folder
        self._request = request
        self._stack = stack
        self._made = 0

    def new(self, kind: str | None = None) -> str:
        self._made += 1
        if (kind or self.kind) == "sqlite":
            path = self._folder / f"main-{self._made}.db"
            shutil.copyfile(self._request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        cluster: postgres.Cluster = self._request.getfixturevalue("postgres_cluster")
        return self._stack.enter_context(cluster.database(self._request.getfixturevalue("postgres_template")))


@pytest.fixture
def database_url(database_urls: DatabaseUrls) -> str:
    """The URL of a new database with our tables in it, of each kind in turn."""
    return database_urls.new()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new database, open; of each kind in turn. For tests marked `anyio`."""
    opened = await open_database(database_url)
    try:
        yield opened
    finally:
        await opened.close()
