"""The randomised fault test: pushes go on while anything is killed, cut or filled; at the end nothing is lost or left.

Everything follows from a seed, so that a run can be repeated (though not to the microsecond). Used by `test_faults.py`
for a minute and by `script/bench faults` for as long as one likes.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.system.proxy import Network
from tests.system.stand import ENDED, Process, Project, Stand, git, until

WORKFLOW = """name: ci
on: push
jobs:
  test:
    runs-on: linux
    steps:
      - run: |
          echo "begin $GITHUB_SHA"
          sleep $(cat pause)
          cat noise
          echo "end $GITHUB_SHA"
          test ! -e red
  after:
    needs: test
    runs-on: linux
    steps:
      - run: echo "after $GITHUB_SHA"
"""
NOISE = "".join(f"line {number} of the noise that is to come back whole\n" for number in range(3000))


@dataclass
class Member:
    """A process that is killed now and then and started again."""

    name: str
    start: Callable[[], Process]
    process: Process | None = None
    again_at: float = 0.0


@dataclass
class Chaos:
    """One run: the stands (servers), their runners and networks, the project, and what is expected of each commit."""

    stands: list[Stand]
    project: Project
    seed: int
    folder: Path
    expected: dict[str, str] = field(default_factory=dict)
    deeds: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.members: list[Member] = []
        self.networks: list[Network] = []
        self.healed_at = 0.0
        self.lines = 0

    # -- what is running ----------------------------------------------------------------------------------------------

    def begin(self, runners: int) -> None:
        """Start the servers, watch the project, start the runners through networks that can be cut."""
        self.project.write({".mainstay/ci.yml": WORKFLOW, "noise": NOISE, "pause": "0"})
        self.expected[self.project.commit("root")] = "passed"
        self.project.push()
        for stand in self.stands:
            stand.serve()
            self.members.append(Member("server", lambda stand=stand: self._server(stand), stand.server))
        self.stands[0].watch(self.project)
        token = self.stands[0].call("POST", "/runner-tokens", {"name": "chaos"})["token"]
        for number in range(runners):
            network = Network(self.stands[number % len(self.stands)].port)
            self.networks.append(network)
            member = Member(f"runner r{number}", lambda n=number, net=network: self._runner(n, net, token))
            member.process = member.start()
            self.members.append(member)

    @staticmethod
    def _server(stand: Stand) -> Process:
        stand.serve()
        assert stand.server is not None
        return stand.server

    def _runner(self, number: int, network: Network, token: str) -> Process:
        data = self.folder / f"r{number}"
        arguments = ("--server", network.url, "--name", f"r{number}", "--data", str(data), "--capacity", "2")
        return Process(
            "mainstay.runner",
            *arguments,
            "--executor",
            "process",
            data=self.folder,
            env={"MAINSTAY_RUNNER_TOKEN": token},
        )

    # -- what happens -------------------------------------------------------------------------------------------------

    def go(self, seconds: float) -> None:
        """Do one thing after the other until the time is over, then heal everything."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._restore(time.monotonic())
            deed = self.chance.choices(
                (self.push, self.kill_member, self.kill_git, self.cut, self.rest), (8, 3, 2, 2, 4)
            )[0]
            deed()
        self.heal()

    def push(self) -> None:
        """A few commits on main or a new branch; sometimes main is thrown back, its line kept on a branch."""
        self.lines += 1
        if self.chance.random() < 0.2:
            git(self.project.clone, "push", "-q", "origin", f"main:refs/heads/kept-{self.lines}")
            back = min(self.chance.randint(0, 1), int(git(self.project.clone, "rev-list", "--count", "HEAD")) - 1)
            git(self.project.clone, "reset", "-q", "--hard", f"HEAD~{back}")
        commits = []
        for number in range(self.chance.randint(1, 3)):
            red = self.chance.random() < 0.3
            mark = self.project.clone / "red"
            mark.touch() if red else mark.unlink(missing_ok=True)
            self.project.write({"pause": f"{self.chance.random() * 0.4:.2f}"})
            commit = self.project.commit(f"{self.lines}.{number} {'red' if red else 'green'}")
            self.expected[commit] = "failed" if red else "passed"
            commits.append(commit)
        self.project.push("--force", "main")
        self._tell(f"pushed {len(commits)}")

    def kill_member(self) -> None:
        """kill -9 of a server or a runner, which comes back after a while."""
        alive = [member for member in self.members if member.process is not None]
        if not alive:
            return
        member = self.chance.choice(alive)
        assert member.process is not None
        member.process.kill()
        member.process = None
        member.again_at = time.monotonic() + self.chance.random() * 1.5
        self._tell(f"killed {member.name}")

    def kill_git(self) -> None:
        """kill -9 of whatever git runs for a server or a runner."""
        killed = [pid for pid in _pids("git", str(self.folder)) if _kill(pid)]
        if killed:
            self._tell(f"killed {len(killed)} git")

    def cut(self) -> None:
        """Cut the network of a runner for a while."""
        self.chance.choice(self.networks).cut()
        self.healed_at = time.monotonic() + self.chance.random() * 2
        self._tell("cut a network")

    def rest(self) -> None:
        """Let it work."""
        time.sleep(self.chance.random() * 0.3)

    def _restore(self, now: float) -> None:
        for member in self.members:
            if member.process is None and member.again_at <= now:
                member.process = member.start()
        if now >= self.healed_at:
            for network in self.networks:
                network.heal()

    def heal(self) -> None:
        """Everything is there again."""
        self._restore(float("inf"))
        self._tell("healed")

    def _tell(self, deed: str) -> None:
        self.deeds.append(deed)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def judge(self, timeout_s: float = 150.0) -> dict[str, int]:
        """Wait for the last verdict, then look for anything lost, wrong or left over; give some counts."""
        stand = self.stands[0]

        def settled() -> list[dict[str, Any]] | None:
            found = list(self._all_builds(stand))
            done = {build["commit"] for build in found}
            ended = all(build["state"] in ENDED for build in found)
            return found if ended and self.expected.keys() <= done else None

        try:
            found = until(settled, "the last verdict", timeout_s)
        except AssertionError:
            raise AssertionError(self._missing(stand)) from None
        keys = [(build["commit"], build["branch"]) for build in found]
        assert len(keys) == len(set(keys)), "a commit has two builds on one branch"
        attempts = 0
        for build in found:
            attempts += self._check(stand, stand.build(build["id"]))
        self._check_nothing_is_left()
        return {"commits": len(self.expected), "builds": len(found), "attempts": attempts, "deeds": len(self.deeds)}

    def _check(self, stand: Stand, build: dict[str, Any]) -> int:
        expected = self.expected[build["commit"]]
        assert build["state"] == expected, f"{build['commit']} is {build['state']}, not {expected}: {build}"
        jobs = {job["key"]: job for job in build["jobs"]}
        assert sorted(jobs) == ["after", "test"]
        assert jobs["after"]["state"] == ("passed" if expected == "passed" else "skipped")
        attempts = jobs["test"]["attempts"]
        open_ones = [attempt for attempt in attempts if attempt["state"] in ("queued", "running")]
        assert not open_ones, f"open attempts: {open_ones}"
        decided = [attempt for attempt in attempts if attempt["state"] == expected]
        assert len(decided) == 1, f"not exactly one attempt decided: {attempts}"
        assert decided[0]["commit"] == build["commit"]
        log = stand.log(build, build["jobs"].index(jobs["test"]), decided[0]["number"]).decode()
        assert NOISE in log
        assert log.count(f"begin {build['commit']}") == log.count(f"end {build['commit']}") == 1
        assert len(log.encode()) == decided[0]["log_bytes"]
        return len(attempts)

    def _check_nothing_is_left(self) -> None:
        """No process of a job, no folder of a job, no journal."""
        until(lambda: not _pids("MAINSTAY_ATTEMPT=", str(self.folder), environment=True), "the jobs' processes to end")
        for member in range(len(self.networks)):
            data = self.folder / f"r{member}"
            for name in ("journal", "jobs"):
                try:
                    until(lambda folder=data / name: not _entries(folder), f"{data / name} to become empty")
                except AssertionError as error:
                    raise AssertionError(f"{error}: {_entries(data / name)}\n{self._told()}") from None

    def _all_builds(self, stand: Stand) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = stand.call("GET", f"/builds?limit=200{cursor}")
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"

    def _missing(self, stand: Stand) -> str:
        found = self._all_builds(stand)
        lacking = self.expected.keys() - {build["commit"] for build in found}
        still_open = [build for build in found if build["state"] not in ENDED]
        jobs = [stand.build(build["id"])["jobs"] for build in still_open[:3]]
        return f"seed {self.seed}: not built: {lacking}; still open: {jobs}\n{self.deeds[-30:]}\n{self._told()}"

    def _told(self) -> str:
        return "\n".join(member.process.output[-3000:] for member in self.members if member.process is not None)

    def end(self) -> None:
        for member in self.members:
            if member.process is not None:
                member.process.kill()
        for network in self.networks:
            network.close()


def _entries(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.exists() else []


def _pids(what: str, folder: str, *, environment: bool = False) -> list[int]:
    """Processes whose command line (or environment) has both texts in it."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = (
                Path(f"/proc/{entry}/{'environ' if environment else 'cmdline'}").read_bytes().decode(errors="replace")
            )
        except OSError:
            continue
        if what in text and folder in text:
            found.append(int(entry))
    return found


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
