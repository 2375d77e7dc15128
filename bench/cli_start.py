"""How long the command line takes to start: help, and a client command against a server that answers at once.

Goal: 150 ms each. The floor is the bare interpreter.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

GOAL_S = 0.150
RUNS = 15
MAINSTAY = str(Path(sys.executable).with_name("mainstay"))


class Empty(BaseHTTPRequestHandler):
    """Answers every request with an empty list."""

    def do_GET(self) -> None:
        body = json.dumps({"items": [], "next": None}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (named by the base class)
        """Say nothing."""


def median_s(command: list[str]) -> float:
    """The middle of some runs, after one that warms the caches."""
    times = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> int:
    """Measure and compare with the goal."""
    server = HTTPServer(("127.0.0.1", 0), Empty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    floor = median_s([sys.executable, "-c", "pass"])
    print(f"{'python -c pass':32} {floor * 1000:6.0f} ms")
    missed = 0
    for name, arguments in {
        "mainstay --help": ["--help"],
        "mainstay --version": ["--version"],
        "mainstay builds --help": ["builds", "--help"],
        "mainstay up --help": ["up", "--help"],
        "mainstay builds": ["builds", "--server", address],
        "mainstay builds --json": ["builds", "--server", address, "--json"],
        "mainstay runners": ["runners", "--server", address],
    }.items():
        took = median_s([MAINSTAY, *arguments])
        missed += took > GOAL_S
        print(f"{name:32} {took * 1000:6.0f} ms  {'' if took <= GOAL_S else '(goal missed)'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
