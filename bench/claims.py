"""Claims per second with 200 runners waiting: one server on SQLite, two servers on one PostgreSQL.

First the dispatch by itself (open polls, turns, transactions), then on SQLite once more through the whole server by
HTTP, where the runners' side of the conversation takes part of the same processors. Run with a database's URL and
numbers, this file is one of the servers.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from _figures import Figure, show
from _place import folder
from tests import postgres
from tests.engine.road import Road, road
from tests.system.stand import Stand

from mainstay.model.plan import Plan, PlannedJob, Step
from mainstay.store.database import open_database
from mainstay.wire.runner import Orders

RUNNERS = 200
EACH = 5
PLAN = Plan("tests", ".mainstay/ci.yml", (PlannedJob("test", steps=(Step(run="true"),)),))


class Now:
    """The real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


async def fill(url: str, builds: int) -> None:
    """Queue that many jobs in ten repositories."""
    database = await open_database(url)
    async with road(database, Now()) as one:  # type: ignore[arg-type]
        for number in range(10):
            repository = await one.repository(f"repository{number}")
            await asyncio.gather(*(one.build(repository, PLAN) for _ in range(builds // 10)))
    await database.close()


async def claimed(one: Road, runner: int) -> int:
    """One runner that takes its share and never ends a job."""
    held: tuple[int, ...] = ()
    while len(held) < EACH:
        orders: Orders = await one.poll(runner, running=held, free=1, wait_s=10.0)
        held += tuple(each.attempt for each in orders.assign)
    return len(held)


async def serve(url: str, runners: int, name: str) -> None:
    """One server's dispatch with its waiting runners; begins when told."""
    database = await open_database(url)
    async with road(database, Now()) as one:  # type: ignore[arg-type]
        ids = [await one.hello(f"{name}-{number}") for number in range(runners)]
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.perf_counter()
        await asyncio.gather(*(claimed(one, runner) for runner in ids))
        print(json.dumps(time.perf_counter() - began), flush=True)
    await database.close()


def rate(url: str, servers: int) -> float:
    """Claims per second."""
    asyncio.run(fill(url, RUNNERS * EACH))
    words = [sys.executable, __file__, url, str(RUNNERS // servers)]
    running = [
        subprocess.Popen([*words, f"s{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(servers)
    ]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    took = max(float(each.communicate()[0]) for each in running)
    return RUNNERS * EACH / took


class Wire:
    """One runner's connection, as cheap as can be."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    async def open(self, name: str) -> None:
        """Connect and say hello."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        hello = {"name": name, "boot": "b", "version": "0", "labels": ["linux"], "capacity": EACH}
        hello["executor"] = "process"
        self._head += f"Mainstay-Runner: {(await self.ask('hello', hello))['runner']}\r\n"

    async def ask(self, what: str, message: object) -> dict[str, object]:
        """One message and its answer."""
        body = json.dumps(message)
        head = f"POST /runner/v1/{what} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write((head + body).encode())
        answer = await self._reader.readuntil(b"\r\n\r\n")
        size = next(line for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        document: dict[str, object] = json.loads(await self._reader.readexactly(int(size.split(b":")[1])))
        assert b" 200 " in answer.split(b"\r\n", 1)[0], document
        return document

    async def claim(self) -> None:
        """Take its share."""
        held: list[int] = []
        while len(held) < EACH:
            orders = await self.ask("poll", {"boot": "b", "free": 1, "running": held, "wait_s": 10})
            held += [each["attempt"] for each in orders.get("assign", ())]  # type: ignore[attr-defined]


async def wired(port: int, token: str) -> float:
    """Seconds for all claims by HTTP."""
    wires = [Wire(port, token) for _ in range(RUNNERS)]
    for number, wire in enumerate(wires):
        await wire.open(f"w{number}")
    began = time.perf_counter()
    await asyncio.gather(*(wire.claim() for wire in wires))
    return time.perf_counter() - began


def http_rate(where: Path) -> float:
    """Claims per second through a whole server."""
    asyncio.run(fill(f"sqlite:///{where}/data/mainstay.sqlite3", RUNNERS * EACH))
    stand = Stand(where).serve()
    try:
        token = stand.call("POST", "/runner-tokens", {"name": "bench"})["token"]
        return RUNNERS * EACH / asyncio.run(wired(stand.port, token))
    finally:
        stand.close()


@contextlib.contextmanager
def on_postgres() -> Iterator[str | None]:
    """The URL of an empty database; None where there is no PostgreSQL."""
    with tempfile.TemporaryDirectory() as shared, postgres.cluster(Path(shared)) as cluster:
        if cluster is None:
            yield None
        else:
            with cluster.database(cluster.template(Path(shared))) as url:
                yield url


def main() -> int:
    """Measure."""
    if len(sys.argv) > 3:
        uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))  # as a server does
        return 0
    figures = []
    with folder() as where:
        found = rate(f"sqlite:///{where}/claims.sqlite3", 1)
        figures.append(Figure("SQLite, one server", found, "claims/s", least=1500.0))
    with folder() as where:
        figures.append(Figure("SQLite, one server, by HTTP", http_rate(where), "claims/s", least=1500.0))
    with on_postgres() as url:
        if url is None:
            print(postgres.WHY_NOT)
        else:
            figures.append(Figure("PostgreSQL, two servers", rate(url, 2), "claims/s", least=1000.0))
    show(f"Claims with {RUNNERS} runners waiting", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
