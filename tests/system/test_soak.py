"""Hundreds of jobs and connections through one server and one runner, and nothing of either grows with their number.

Sized to take well under a minute. For a real soak: MAINSTAY_SOAK_JOBS=2000 MAINSTAY_SOAK_CONNECTIONS=5000.
"""

import contextlib
import itertools
import os
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mainstay.wire.runner import Hello, Poll
from tests.system.stand import Process, Project, Stand, stand, until

pytestmark = [pytest.mark.system, pytest.mark.slow]

JOBS = int(os.environ.get("MAINSTAY_SOAK_JOBS", "150"))
CONNECTIONS = int(os.environ.get("MAINSTAY_SOAK_CONNECTIONS", "500"))
AT_ONCE = 50
"""Connections that are open at the same time, and jobs of one build."""
SLACK = 10
"""Descriptors, threads and children may differ by so much from moment to moment; a leak of one per job may not."""
SLACK_BYTES = 16 << 20
"""What the allocator may keep after a peak. At 2,000 jobs this is a leak of 8 KiB a job."""


@dataclass(frozen=True)
class Figures:
    """What a process takes of the machine."""

    resident_bytes: int
    descriptors: int
    threads: int
    children: int

    @classmethod
    def of(cls, process: Process) -> "Figures":
        place = Path(f"/proc/{process.process.pid}")
        status = (place / "status").read_text()

        def number(name: str) -> int:
            found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
            assert found is not None
            return int(found[1])

        descriptors = len(os.listdir(place / "fd"))
        return cls(number("VmRSS") << 10, descriptors, number("Threads"), len(descendants(process.process.pid)))

    def within(self, before: "Figures") -> bool:
        """Whether nothing has grown since."""
        return (
            self.resident_bytes <= before.resident_bytes + SLACK_BYTES
            and self.descriptors <= before.descriptors + SLACK
            and self.threads <= before.threads + SLACK
            and self.children <= before.children + SLACK
        )


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on, zombies too."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found, open_ones = [], [pid]
    while open_ones:
        below = parents.get(open_ones.pop(), [])
        found += below
        open_ones += below
    return found


@dataclass
class Soak:
    """The stand under load."""

    stand: Stand
    project: Project
    runner: Process

    def jobs(self, count: int) -> None:
        """Run so many jobs, and see each pass with its log."""
        for build in range(0, count, AT_ONCE):
            numbers = list(range(min(AT_ONCE, count - build)))
            self.project.workflow(
                "echo job ${{ matrix.n }}; echo x=1 >> $GITHUB_OUTPUT; (sleep 4720 &)",
                extra=f"strategy:\n  matrix:\n    n: {numbers}",
            )
            commit = self.project.commit(f"{count} jobs from {build}")
            self.project.push()
            found = self.stand.verdict(commit, timeout_s=120)
            assert found["state"] == "passed", found
            assert b"job " in self.stand.log(found, job=len(numbers) - 1)

    def connections(self, count: int, requests: Iterable[bytes]) -> None:
        """Open so many, some at once; each sends its request and goes away, whether it was answered or not."""
        kinds = itertools.cycle(requests)
        for start in range(0, count, AT_ONCE):
            ends = []
            for _ in range(min(AT_ONCE, count - start)):
                end = socket.create_connection(("127.0.0.1", self.stand.port), timeout=10)
                end.sendall(next(kinds))
                ends.append(end)
            for number, end in enumerate(ends):
                if number % 3 == 0:
                    end.settimeout(0.02)
                    with contextlib.suppress(TimeoutError):
                        end.recv(1 << 16)
                end.close()

    def requests(self, build: dict[str, Any]) -> list[bytes]:
        """Well-behaved, slow, broken and hostile ones."""
        runner_token = self.stand.call("POST", "/runner-tokens", {"name": "soak"})["token"]
        hello = Hello("soak", "b1", "0", ("soak",), capacity=1, executor="process")
        status, welcome = self.stand.raw(
            "POST", "/runner/v1/hello", msgspec.json.encode(hello), Authorization=f"Bearer {runner_token}"
        )
        assert status == 200, welcome
        poll = msgspec.json.encode(Poll(boot="b1", free=1, wait_s=10))
        speaker = f"Mainstay-Runner: {msgspec.json.decode(welcome)['runner']}\r\n"
        job, attempt = build["jobs"][0]["id"], build["jobs"][0]["attempts"][0]["number"]
        return [
            self.request("GET", "/api/v1/builds"),
            self.request("GET", f"/api/v1/builds/{build['id']}", "Connection: close\r\n"),
            self.request("GET", f"/api/v1/jobs/{job}/attempts/{attempt}/log?follow=1"),
            self.request("GET", "/api/v1/events"),
            self.request("GET", "/api/v1/builds?wait=abc"),
            self.request("GET", "/", token=""),
            self.request("GET", f"/builds/{build['id']}", token=""),
            self.request("GET", "/api/v1/builds", token="nonsense"),
            self.request("GET", "/git/demo.git/info/refs?service=git-upload-pack"),
            self.request("POST", "/runner/v1/poll", speaker, poll, token=runner_token),
            self.request("POST", "/api/v1/repositories", "Content-Length: 5000\r\n")[:-2] + b'\r\n{"name"',
            b"GET /api/v1/buil",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"",
        ]

    def request(self, method: str, path: str, more: str = "", body: bytes = b"", token: str | None = None) -> bytes:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        words = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token or self.stand.token}\r\n"
        return (words + more + length + "\r\n").encode() + body

    def figures(self) -> dict[str, Figures]:
        assert self.stand.server is not None
        return {"server": Figures.of(self.stand.server), "runner": Figures.of(self.runner)}


def settled(ask: Callable[[], dict[str, Figures]], before: dict[str, Figures]) -> dict[str, Figures]:
    """The figures once nothing is above what it was before; what is in flight has a moment to end."""
    last = ask()

    def flat() -> bool:
        nonlocal last
        last = ask()
        return all(last[name].within(before[name]) for name in before)

    try:
        until(flat, "both processes to be as small as before", timeout_s=20)
    except AssertionError:
        raise AssertionError(f"grown:\nbefore {before}\nafter  {last}") from None
    return last


def test_nothing_grows_with_the_number_of_jobs_and_connections(tmp_path: Path) -> None:
    """Memory, descriptors, threads and children of server and runner are flat after a warm-up; no folder is left."""
    project = Project(tmp_path / "repositories")
    project.workflow("echo first")
    first = project.commit("first")
    project.push()
    with stand(tmp_path) as here:
        here.serve()
        soak = Soak(here, project, here.runner("r1", "--executor", "process", "--capacity", "2"))
        here.watch(project)
        requests = soak.requests(here.verdict(first))
        soak.jobs(AT_ONCE)
        soak.connections(3 * AT_ONCE, requests)
        before = soak.figures()
        soak.jobs(JOBS)
        soak.connections(CONNECTIONS, requests)
        after = settled(soak.figures, before)
        print(f"{JOBS} jobs, {CONNECTIONS} connections:\nbefore {before}\nafter  {after}")
        until(lambda: not os.listdir(here.data / "r1" / "jobs"), "the folders of the jobs to go")
        until(lambda: not os.listdir(here.data / "r1" / "journal"), "the journals to be delivered")
        assert len(list((here.data / "r1" / "trees").glob("*/*"))) < AT_ONCE / 2
        assert here.server is not None
        for process in (here.server, soak.runner):
            assert "Traceback" not in process.output, process.output
            assert len(process.lines) < 4 * (JOBS + AT_ONCE) + 50
