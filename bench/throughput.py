"""300 trivial jobs of 300 commits, with a checkout each, by 2 and by 8 workers; and the CPU time that a job costs.

The floor: as many loops as workers, each adding a work tree and running the command (`git worktree add` has to be
serialised on one repository). Options: how many commits (default 300).
"""

import subprocess
import sys
import time
from pathlib import Path

from _figures import Figure, show
from _place import Api, Watched, folder, push_ns, served, wait
from tests.system.stand import GIT_ENV, Project, git

FLOOR = """
flock "$0/lock" git -C "$0/floor.git" worktree add -q -f --detach "$0/trees/$1" "$1"
cd "$0/trees/$1" && bash -e -c true
"""


def filled(where: Path, commits: int) -> Project:
    """A repository that is watched for its first commit; the others are not pushed yet."""
    project = Project(where)
    project.write({f"package/part{number}.py": f"x = {number}\n" * 20 for number in range(18)})
    project.workflow("true")
    project.commit("root")
    for number in range(commits):
        project.write({"number": f"{number}\n"})
        project.commit(f"number {number}")
    return project


def floor_rate(where: Path, project: Project, workers: int) -> float:
    """Jobs per second with no CI server."""
    git(where, "clone", "-q", "--mirror", str(project.clone), str(where / "floor.git"))
    commits = git(project.clone, "rev-list", "main").splitlines()[:-1]
    (where / "trees").mkdir()
    began = time.perf_counter()
    subprocess.run(
        ["xargs", "-n1", f"-P{workers}", "bash", "-c", FLOOR, str(where)],
        input="\n".join(commits).encode(),
        env=GIT_ENV,
        check=True,
    )
    return len(commits) / (time.perf_counter() - began)


def ours(where: Path, project: Project, workers: int, executor: str) -> tuple[float, dict[str, float]]:
    """Jobs per second, and the CPU milliseconds per job of each part."""
    commits = git(project.clone, "rev-list", "main").splitlines()[:-1]
    root = git(project.clone, "rev-list", "--max-parents=0", "main")
    git(project.clone, "push", "-q", "origin", f"{root}:refs/heads/main")
    with served(where, "--capacity", str(workers), "--executor", executor) as stand:
        stand.watch(project)
        api = Api(stand)
        wait(lambda: api.ended(root), "the first verdict")
        assert stand.server is not None
        server, runner = (Watched(one.process.pid) for one in (stand.server, stand.runners[0]))
        before = _cpu(server, runner)
        began = time.perf_counter()
        push_ns(project)
        path = f"/builds?state=passed&limit={len(commits) + 1}"
        wait(lambda: _count(api, len(commits) + 1), f"all verdicts ({path})", pause_s=0.1)
        took = time.perf_counter() - began
        cpu = {name: (after - before[name]) / len(commits) * 1000 for name, after in _cpu(server, runner).items()}
    return len(commits) / took, cpu


def _count(api: Api, wanted: int) -> bool:
    """Whether that many builds have passed. Newest ones are looked at first, the others only when these are done."""
    cursor, found = "", 0
    while True:
        page = api.get(f"/builds?limit=100{cursor}")
        if any(item["state"] != "passed" for item in page["items"]):
            return False
        found += len(page["items"])
        if page["next"] is None:
            return found >= wanted
        cursor = f"&cursor={page['next']}"


def _cpu(server: Watched, runner: Watched) -> dict[str, float]:
    helpers = runner.below()
    return {
        "server": server.cpu_s(),
        "its git": server.children_cpu_s(),
        "runner": runner.cpu_s(),
        "its helpers and git": runner.children_cpu_s() + sum(one.cpu_s() for one in helpers),
        "the jobs' own processes": sum(one.children_cpu_s() for one in helpers),
    }


def main() -> int:
    """Measure both numbers of workers."""
    commits = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    figures = []
    for workers in (2, 8):
        with folder() as where:
            project = filled(where / "p", commits)
            floor = floor_rate(where, project, workers)
            rate, cpu = ours(where, project, workers, "process")
            figures.append(Figure(f"{commits} jobs, {workers} workers", rate, "jobs/s", floor, least=40.0))
            total = cpu["server"] + cpu["runner"]
            parts = ", ".join(f"{name} {value:.1f}" for name, value in cpu.items())
            figures.append(Figure("  CPU of server + runner", total, "ms a job", most=45.0, note=parts))
    with folder() as where:
        rate, cpu = ours(where, filled(where / "p", commits), 2, "bubblewrap")
        figures.append(Figure(f"{commits} jobs, 2 workers, bubblewrap", rate, "jobs/s"))
    show("Throughput", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
