"""The pages of logs: the first screen and a search of 200 MB, one line of 300 MB, and how soon a printed line is there.

Goals: a first screen in 100 ms, and a line in an open page 250 ms after it was printed. `--endless BYTES` sets the
length of the one line.
"""

import argparse
import http.client
import json
import re
import statistics
import sys
import time
from typing import Any

from _figures import Figure, middle, percentile, show
from _place import Api, Watched, folder, upped, wait
from logs import BIG, BIG_COMMAND
from tests.system.stand import Project, Stand

ASKED = 30
LINES = 40
FAILING = "echo; echo 'E       assert 1 == 2'; echo after; exit 1"
CLOCK = f"for n in $(seq {LINES}); do echo $(date +%s%N) ; sleep 0.15; done"


class Reader:
    """One connection, signed in."""

    def __init__(self, stand: Stand) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=120)
        self._headers = {"Authorization": f"Bearer {stand.token}", "Accept": "text/html"}

    def ask(self, path: str) -> tuple[float, str]:
        """The milliseconds that a page took, and the page."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - began) * 1000
        assert answer.status == 200, (path, answer.status, body[:300])
        return took, body.decode()

    def figure(self, what: str, path: str, text: str, most: float | None = None, count: int = ASKED) -> Figure:
        """How long a page takes, which must show `text`."""
        took, body = [], ""
        for _ in range(count + 2):
            each, body = self.ask(path)
            took.append(each)
        assert re.search(text, body), (path, text)
        worst = f"longest {max(took[2:]):.0f} ms, {len(body) / 1000:.0f} kB"
        return Figure(what, middle(took[2:]), "ms", most=most, note=worst)

    def lines(self, path: str) -> list[float]:
        """Milliseconds from the printing of each line to its arrival in the tail of an open page."""
        self._connection.request("GET", path, headers={**self._headers, "Accept": "text/event-stream"})
        answer = self._connection.getresponse()
        late = []
        while line := answer.readline():
            if line.startswith(b"event: ended"):
                break
            if line.startswith(b"data: ") and b'"end"' in line:
                now = time.time_ns()
                html: str = json.loads(line[6:])["html"]
                late += [(now - int(printed)) / 1e6 for printed in re.findall(r"</a>(\d{19})<", html)]
        return late


def ended(stand: Stand, project: Project, command: str) -> dict[str, Any]:
    """The job of a commit with that command, once it has ended and its log is packed."""
    api = Api(stand)
    project.workflow(command)
    commit = project.commit(command[:40])
    project.push()
    [build] = wait(lambda: api.ended(commit), "the verdict", timeout_s=600) or []
    found: dict[str, Any] = api.get(f"/builds/{build['id']}")["jobs"][0]
    return found


def large(stand: Stand, project: Project) -> list[Figure]:
    """Pages of a log of 200 MB whose last lines tell the failure."""
    job = ended(stand, project, f"{BIG_COMMAND}\n{FAILING}")
    path = f"/jobs/{job['id']}/attempts/1"
    assert stand.server is not None
    server, reader = Watched(stand.server.process.pid), Reader(stand)
    before = server.peak_mib()
    deep = 3_000_000
    return [
        reader.figure("200 MB: first screen", path, "here.*assert 1 == 2", most=100.0),
        reader.figure(f"  line {deep:,}", f"{path}?lines={deep}", f'class="l here" id="L{deep}"', most=100.0),
        reader.figure("  search, found near the end", f"{path}?q=assert+1", "1 line matches|Search on", count=3),
        reader.figure("  expression, absent", f"{path}?q=%5Enothing%5Cd&regex=1", "No line matches", count=3),
        Figure(
            "  server's peak grown by", server.peak_mib() - before, "MiB", most=60.0, note=f"log {BIG / 1e6:.0f} MB"
        ),
    ]


def endless(stand: Stand, project: Project, size: int) -> list[Figure]:
    """The page of a log that is one line."""
    job = ended(stand, project, f"head -c {size} /dev/zero | tr '\\0' A; echo; echo after it")
    path = f"/jobs/{job['id']}/attempts/1"
    name = f"one line of {size / 1e6:.0f} MB"
    reader = Reader(stand)
    return [
        reader.figure(f"{name}: first screen", f"{path}?lines=1", "more bytes in this line", most=100.0),
        reader.figure("  the line after it", f"{path}?lines=2", "after it", most=100.0),
    ]


def live(stand: Stand, project: Project) -> list[Figure]:
    """How late lines are in an open page."""
    project.workflow(CLOCK)
    project.commit("a clock")
    project.push()
    api = Api(stand)
    [build] = wait(lambda: list(api.get("/builds?state=running")["items"]), "a running build")
    job = api.get(f"/builds/{build['id']}")["jobs"][0]
    late = Reader(stand).lines(f"/jobs/{job['id']}/attempts/1/tail?from=0")
    assert len(late) >= LINES // 2, late
    late = late[1:]
    note = f"{len(late)} lines, mean {statistics.mean(late):.0f} ms, 95 %: {percentile(late, 0.95):.0f} ms"
    return [Figure("a printed line in an open page", middle(late), "ms", most=250.0, note=note)]


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--endless", type=int, default=300_000_000)
    asked = parser.parse_args()
    with folder() as where, upped(where, "--executor", "process") as stand:
        project = Project(where / "p")
        project.workflow("true")
        first = project.commit("root")
        project.push()
        stand.watch(project)
        api = Api(stand)
        wait(lambda: api.ended(first), "the first verdict")
        figures = live(stand, project) + large(stand, project) + endless(stand, project, asked.endless)
    show("Pages of logs", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
