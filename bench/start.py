"""Cold start of a server until it answers; memory and CPU of a server and a runner with nothing to do."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from _figures import Figure, middle, show
from _place import Watched, folder, upped, wait
from tests.system.stand import Process, Stand

IDLE_S = 10.0
MAINSTAY = str(Path(sys.executable).with_name("mainstay"))


def start_s(where: Path) -> float:
    """From the start of the process until it answers a request."""
    port = 18_000 + hash(where) % 1000
    began = time.perf_counter()
    server = Process("mainstay.cli.main", "server", "--port", str(port), data=where)
    try:
        wait(lambda: _answers(port), "the first answer")
        return time.perf_counter() - began
    finally:
        server.stop()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def help_s(arguments: list[str]) -> float:
    """The middle of some runs of a command."""
    times = []
    for _ in range(8):
        began = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return middle(times[1:])


def idle(stand: Stand) -> list[Figure]:
    """Memory and CPU after a while of nothing."""
    assert stand.server is not None
    server = Watched(stand.server.process.pid)
    runner = server.below()[0]
    helpers = runner.below()
    time.sleep(3)  # what is done once after a start
    before = [server.cpu_s(), runner.cpu_s() + sum(one.cpu_s() for one in helpers)]
    time.sleep(IDLE_S)
    after = [server.cpu_s(), runner.cpu_s() + sum(one.cpu_s() for one in helpers)]
    figures = [
        Figure("memory of an idle server", server.memory_mib(), "MiB", most=90.0),
        Figure("memory of an idle runner", runner.memory_mib(), "MiB", most=45.0, note=_helpers(helpers)),
    ]
    for name, one, other in zip(("server", "runner"), before, after, strict=True):
        part = (other - one) / IDLE_S * 100
        figures.append(Figure(f"CPU of an idle {name}", part, "% of a core", most=0.5, note="ticks of 10 ms: 0.1 %"))
    return figures


def _helpers(helpers: list[Watched]) -> str:
    return "its helper: " + ", ".join(f"{one.memory_mib():.1f} MiB" for one in helpers) if helpers else ""


def main() -> int:
    """Measure."""
    with folder() as where:
        fresh = [start_s(where / f"fresh{number}") for number in range(5)]
        again = [start_s(where / "again") for _ in range(6)][1:]
        with upped(where / "up") as stand:
            resting = idle(stand)
    python = help_s([sys.executable, "-c", "pass"])
    figures = [
        Figure("cold start until it answers, first time", middle(fresh), "s", python, most=1.0),
        Figure("cold start until it answers", middle(again), "s", python, most=1.0),
        *resting,
        Figure("mainstay --help", help_s([MAINSTAY, "--help"]), "s", python, most=0.15),
    ]
    show("Start and rest (floor: the interpreter by itself)", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
