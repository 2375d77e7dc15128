"""How long the server takes for the HTML of every list page, and for the API's lists, with a short and a long history.

Goal: 50 ms at the 99th percentile whatever the length, on the embedded default and on PostgreSQL (`--postgres`), with
100,000 builds and 1,000,000 results of tests (`_history.py`). The time is from the request to the end of the answer
over one connection that is kept open; beside it stands what the server's processor did for one, which a busy machine
does not blur. `--builds N` sets the length, `--only WORD` chooses pages.
"""

import argparse
import asyncio
import http.client
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from _figures import Figure, middle, percentile, show
from _history import make
from _place import Watched, folder
from tests.postgres import cluster
from tests.system.stand import Stand
from tests.web.filling import sha_of

from mainstay.store.database import open_database

ASKED = 150
WARM = 15
GOAL_MS = 50.0
SMALL = 1_000
TEST = quote("tests/test_part_1.py::test_thing[1]", safe="")


def pages(count: int) -> dict[str, str]:
    """The pages by what they are called; those in the middle of a long history too."""
    middle_of = count // 2
    demo = "/repositories/demo"
    return {
        "home": "/",
        "repository": demo,
        "repository, a branch": f"{demo}?branch=topic-7",
        "repository, failed": f"{demo}?state=failed",
        "repository, far back": f"{demo}?before={middle_of}",
        "commit": f"{demo}/commits/{sha_of(str(middle_of))}",
        "build": f"/builds/{middle_of}",
        "branches": f"{demo}/refs",
        "commits by author": f"{demo}?author=person+7&text=number",
        "commits, none fits": f"{demo}?text=no+such+text",
        "queue": "/queue",
        "queue of one": "/queue?repo=demo",
        "runners": "/runners",
        "runner": "/runners/1",
        "schedules": "/schedules",
        "tests": f"{demo}/tests",
        "test": f"{demo}/tests/{TEST}",
        "log": f"/jobs/{count}/attempts/1",
        "API builds": "/api/v1/builds",
        "API failed builds": "/api/v1/builds?state=failed&repo=demo",
        "API commits": f"/api/v1{demo}/commits",
        "API tests": f"/api/v1{demo}/tests",
        "API one test": f"/api/v1{demo}/tests/{TEST}",
        "API queue": "/api/v1/queue",
        "API runners": "/api/v1/runners",
    }


class Browser:
    """One connection, signed in."""

    def __init__(self, stand: Stand) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=120)
        self._headers = {"Authorization": f"Bearer {stand.token}", "Accept": "text/html"}

    def ask(self, path: str) -> tuple[float, int]:
        """The milliseconds that an answer took, and its size."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {body[:300]!r}")
        return took, len(body)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one page took."""

    times_ms: list[float]
    cpu_ms: float
    """Of the server for one answer, on average."""
    size: int


def measured(stand: Stand, count: int, only: str) -> dict[str, Taken]:
    """What each page takes."""
    browser = Browser(stand)
    assert stand.server is not None
    server = Watched(stand.server.process.pid)
    found = {}
    for name, path in pages(count).items():
        if only in name:
            for _ in range(WARM):
                browser.ask(path)
            before = server.cpu_s()
            took = [browser.ask(path) for _ in range(ASKED)]
            cpu_ms = (server.cpu_s() - before) * 1000 / ASKED
            found[name] = Taken([each for each, _ in took], cpu_ms, took[-1][1])
    return found


async def _filled(url: str, count: int) -> None:
    database = await open_database(url)
    await make(database, count)
    await database.close()


@contextmanager
def filled(where: Path, count: int, *, postgres: bool) -> Iterator[Stand]:
    """A server on a history of that length."""
    (where / "data").mkdir()
    if not postgres:
        asyncio.run(_filled(f"sqlite:///{where / 'data' / 'mainstay.sqlite3'}", count))
        yield from _served(Stand(where))
        return
    with tempfile.TemporaryDirectory() as shared, cluster(Path(shared)) as found:
        if found is None:
            raise SystemExit("there is no PostgreSQL on this machine: apt-get install postgresql")
        with found.database() as url:
            asyncio.run(_filled(url, count))
            yield from _served(Stand(where, database=url))


def _served(stand: Stand) -> Iterator[Stand]:
    try:
        yield stand.serve()
    finally:
        stand.close()


def main() -> int:
    """Measure both lengths and show them beside each other."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--builds", type=int, default=100_000)
    asked.add_argument("--postgres", action="store_true")
    asked.add_argument("--only", default="")
    options = asked.parse_args()
    by_length = {}
    for count in (min(SMALL, options.builds), options.builds):
        with folder() as where:
            began = time.perf_counter()
            with filled(where, count, postgres=options.postgres) as stand:
                print(f"{count:,} builds were made in {time.perf_counter() - began:.0f} s", flush=True)
                by_length[count] = measured(stand, count, options.only)
    small, large = by_length.values()
    figures = []
    for name, taken in large.items():
        short = small[name]
        middles = f"median {middle(taken.times_ms):.1f} (short history {middle(short.times_ms):.1f})"
        note = f"{middles}, cpu {taken.cpu_ms:.1f} ({short.cpu_ms:.1f}), {taken.size / 1000:.0f} kB"
        figures.append(Figure(f"{name}, p99", percentile(taken.times_ms, 0.99), "ms", most=GOAL_MS, note=note))
    kind = "PostgreSQL" if options.postgres else "SQLite"
    show(f"Pages with {options.builds:,} builds on {kind}", figures)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
