"""Buildbot 4 for comparison: from a push to its verdict, and trivial jobs with a checkout each.

Installed from the registry into an environment of its own in a temporary folder; skipped, with words, where that is not
possible. A bare repository's hook notifies it (`buildbot sendchange` takes a second by itself, so the hook posts to the
change hook of its web server, as people do who care).
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from _figures import Figure, middle, show
from _place import folder, push_ns, wait
from tests.system.stand import Project

ROUNDS = 5
JOBS = 40
WORKERS = 2
PORT, WORKER_PORT = 18_910, 18_911
CONFIG = """
from buildbot.plugins import changes, schedulers, steps, util, worker
workers = [worker.Worker(f"w{{n}}", "pass") for n in range({workers})]
factory = util.BuildFactory([
    steps.Git(repourl={repository!r}, mode="full", method="fresh"),
    steps.ShellCommand(command=["true"]),
])
c = BuildmasterConfig = {{
    "workers": workers, "protocols": {{"pb": {{"port": "tcp:{worker_port}:interface=127.0.0.1"}}}},
    "schedulers": [schedulers.AnyBranchScheduler(name="all", builderNames=["b"], treeStableTimer=None)],
    "builders": [util.BuilderConfig(name="b", workernames=[w.name for w in workers], factory=factory)],
    "collapseRequests": False, "buildbotNetUsageData": None, "title": "b", "buildbotURL": "http://127.0.0.1:{port}/",
    "www": {{"port": "tcp:{port}:interface=127.0.0.1", "change_hook_dialects": {{"base": True}}}},
    "db": {{"db_url": "sqlite:///state.sqlite"}},
}}
"""
HOOK = """#!/bin/sh
read old new ref
for commit in $(git rev-list --reverse "$old..$new"); do
  curl -s -o /dev/null -d author=a -d comments=c -d project= -d repository=r -d branch=main -d "revision=$commit" \
    "http://127.0.0.1:{port}/change_hook/base"
done </dev/null >/dev/null 2>&1 &
"""


def installed(where: Path) -> Path | None:
    """The folder of its programs; None when it cannot be had."""
    try:
        subprocess.run([sys.executable, "-m", "venv", where], check=True, capture_output=True)
        packages = ["buildbot>=4,<5", "buildbot-worker>=4,<5", "buildbot-www>=4,<5", "setuptools<81"]
        subprocess.run([where / "bin/pip", "install", "-q", *packages], check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", b"") or b""
        print(f"skipped: Buildbot cannot be installed here ({error}) {said.decode(errors='replace')[-300:]}")
        return None
    return where / "bin"


def builds() -> int:
    """How many builds have ended."""
    address = f"http://127.0.0.1:{PORT}/api/v2/builds?complete=true&field=buildid&field=complete"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return len(json.load(answer)["builds"])


def _is_up() -> bool:
    try:
        return builds() >= 0
    except OSError:
        return False


def run(programs: Path, where: Path) -> list[Figure]:
    """Master, workers, pushes."""
    project = Project(where / "p")
    project.write({f"package/part{number}.py": f"x = {number}\n" * 20 for number in range(18)})
    project.commit("root")
    project.push()
    hook = project.bare / "hooks" / "post-receive"
    hook.write_text(HOOK.format(port=PORT))
    hook.chmod(0o755)
    subprocess.run([programs / "buildbot", "create-master", where / "master"], check=True, capture_output=True)
    config = CONFIG.format(repository=str(project.bare), workers=WORKERS, port=PORT, worker_port=WORKER_PORT)
    (where / "master" / "master.cfg").write_text(config)
    started = [subprocess.Popen([programs / "buildbot", "start", "--nodaemon", where / "master"], stdout=-3, stderr=-3)]
    try:
        for number in range(WORKERS):
            place = where / f"w{number}"
            words = ["create-worker", place, f"127.0.0.1:{WORKER_PORT}", f"w{number}", "pass"]
            subprocess.run([programs / "buildbot-worker", *words], check=True, capture_output=True)
            words = ["start", "--nodaemon", place]
            started.append(subprocess.Popen([programs / "buildbot-worker", *words], stdout=-3, stderr=-3))
        wait(_is_up, "Buildbot's answer", pause_s=0.2)
        return measured(project)
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(20)


def measured(project: Project) -> list[Figure]:
    """The two rows."""
    times = []
    for number in range(ROUNDS):
        project.write({"number": f"{number}\n"})
        project.commit(f"number {number}")
        pushed = push_ns(project)
        wait(lambda number=number: builds() > number, "a verdict", pause_s=0.02)  # type: ignore[misc]
        times.append((time.time_ns() - pushed) / 1e6)
    for number in range(JOBS):
        project.write({"number": f"more {number}\n"})
        project.commit(f"more {number}")
    began = time.perf_counter()
    push_ns(project)
    wait(lambda: builds() >= ROUNDS + JOBS, "all verdicts", pause_s=0.2)
    rate = JOBS / (time.perf_counter() - began)
    return [
        Figure("push -> verdict of `true`", middle(times[1:]), "ms"),
        Figure(f"{JOBS} jobs, {WORKERS} workers", rate, "jobs/s"),
    ]


def main() -> int:
    """Measure, if it can be installed."""
    with folder() as where:
        programs = installed(where / "env")
        if programs is None:
            return 0
        show("Buildbot 4 on this machine, now", run(programs, where))
    return 0


if __name__ == "__main__":
    sys.exit(main())
