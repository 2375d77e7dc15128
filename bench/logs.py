"""A job that prints 200 MB, one that prints a million short lines: verdict, download, what others feel of it."""

import http.client
import subprocess
import sys
import threading
import time
from pathlib import Path

from _figures import Figure, show
from _place import Api, Watched, folder, push_ns, upped, wait
from tests.system.stand import Project, Stand

BIG = 200_000_000
LINES = 1_000_000
# Text as tests print it, not zeros: compressing it costs something.
BIG_COMMAND = f"""python3 - <<'END'
import os, random
random.seed(1)
words = [("%x" % random.getrandbits(40)).encode() for _ in range(4000)]
block = b"".join(b"tests/test_%d.py::%s PASSED\\n" % (n, random.choice(words)) for n in range(30000))
left = {BIG}
while left:
    left -= os.write(1, block[:left])
END
"""
LINES_COMMAND = f"""python3 - <<'END'
import sys
for number in range({LINES}):
    sys.stdout.write("line %d\\n" % number)
END
"""


class Stall(threading.Thread):
    """Asks the API for something small all the time; `longest_s` is the longest that an answer took."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(daemon=True)
        self._api = Api(stand)
        self._over = threading.Event()
        self.longest_s = 0.0

    def run(self) -> None:
        while not self._over.wait(0.005):
            began = time.perf_counter()
            self._api.raw("/builds?limit=5")
            self.longest_s = max(self.longest_s, time.perf_counter() - began)

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.longest_s


def floor_s(where: Path, command: str) -> float:
    """The same into a file."""
    began = time.perf_counter()
    with (where / "out").open("wb") as out:
        subprocess.run(["bash", "-e", "-c", command], stdout=out, check=True)
    return time.perf_counter() - began


def download_s(stand: Stand, job: int, size: int) -> float:
    """The whole log by the API."""
    connection = http.client.HTTPConnection("127.0.0.1", stand.port, timeout=120)
    began = time.perf_counter()
    connection.request("GET", f"/api/v1/jobs/{job}/attempts/1/log", headers={"Authorization": f"Bearer {stand.token}"})
    answer = connection.getresponse()
    got = 0
    while chunk := answer.read(1 << 20):
        got += len(chunk)
    assert got == size, f"{got} bytes of {size}"
    return time.perf_counter() - began


def one(stand: Stand, project: Project, command: str, goals: tuple[float, float], floor: float) -> list[Figure]:
    """One job and its figures."""
    api = Api(stand)
    assert stand.server is not None
    server = Watched(stand.server.process.pid)
    runner = server.below()[0]
    before = server.memory_mib(), runner.memory_mib()
    cpu = server.cpu_s(), runner.cpu_s()
    project.workflow(command)
    commit = project.commit("noise")
    stall = Stall(stand)
    stall.start()
    pushed = push_ns(project)
    [build] = wait(lambda: api.ended(commit), "the verdict", pause_s=0.01) or []
    verdict = (time.time_ns() - pushed) / 1e9
    longest = stall.stop()
    cpu_note = f"CPU: server {server.cpu_s() - cpu[0]:.2f} s, runner {runner.cpu_s() - cpu[1]:.2f} s"
    whole = api.get(f"/builds/{build['id']}")
    assert build["state"] == "passed", whole
    [job] = whole["jobs"]
    size = job["attempts"][0]["log_bytes"]
    download = download_s(stand, job["id"], size)
    name = f"{size / 1e6:.0f} MB" if size == BIG else f"{LINES:,} lines"
    return [
        Figure(f"{name} -> verdict", verdict, "s", floor, most=goals[0], note=cpu_note),
        Figure("  of which more than into a file", verdict - floor, "s"),
        Figure("  full download", download, "s", most=goals[1]),
        Figure("  longest stall of another request", longest, "s", most=0.05),
        Figure("  server's peak grown by", server.peak_mib() - before[0], "MiB", most=30.0),
        Figure("  runner's peak grown by", runner.peak_mib() - before[1], "MiB", most=30.0),
    ]


def main() -> int:
    """Measure; each with a fresh server, because a peak is a process's."""
    figures = []
    for command, goals in ((BIG_COMMAND, (1.5, 0.5)), (LINES_COMMAND, (0.5, 0.3))):
        with folder() as where, upped(where, "--executor", "process") as stand:
            floor = floor_s(where, command)
            project = Project(where / "p")
            project.workflow("true")
            first = project.commit("root")
            project.push()
            stand.watch(project)
            api = Api(stand)
            wait(lambda first=first, api=api: api.ended(first), "the first verdict")  # type: ignore[misc]
            figures += one(stand, project, command, goals, floor)
    show("Large logs (floor: the command into a file)", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
