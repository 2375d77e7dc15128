"""From a push to the first line of the command, to its verdict, and what is added to a suite of 7 seconds.

For both executors, against the floor, in turns. Options: how many pushes (default 15).
"""

import sys
import time
from collections import defaultdict

from _figures import Figure, middle, show
from _place import Api, Floor, folder, push_ns, upped, wait
from tests.system.stand import Project

COMMANDS = {
    "line": "date +%s%N",
    "true": "true",
    # With the time that the suite takes by itself as its last line.
    "suite": "begin=$(date +%s%N)\npython3 -m unittest -q test_suite\necho $(($(date +%s%N) - begin))",
}
SUITE = """import time, unittest
class Suite(unittest.TestCase):
    pass
for number in range(140):
    setattr(Suite, f"test_{number}", lambda self: time.sleep(0.05))
"""
MS = 1e6


def prepare(project: Project) -> None:
    """A small repository."""
    project.write({f"package/part{number}.py": f"x = {number}\n" * 20 for number in range(18)})
    project.write({"test_suite.py": SUITE})


def next_commit(project: Project, command: str, number: int) -> str:
    """A commit whose job is that command."""
    project.write({"command.sh": command + "\n", "number": f"{number}\n"})
    project.workflow(command)
    return project.commit(f"number {number}")


def floor_ms(floor: Floor, what: str, number: int) -> float:
    """One push to the floor."""
    commit = next_commit(floor.project, COMMANDS[what], number)
    pushed = push_ns(floor.project)
    wait(lambda: floor.ended(commit), "the floor's verdict")
    took = (time.time_ns() - pushed) / MS
    last = floor.log(commit).split()[-1:] or [b"0"]
    if what == "line":
        return (int(last[0]) - pushed) / MS
    return took - int(last[0]) / MS if what == "suite" else took


def ours_ms(project: Project, api: Api, what: str, number: int) -> float:
    """One push to us."""
    commit = next_commit(project, COMMANDS[what], number)
    pushed = push_ns(project)
    if what == "line":  # not asked while it begins: the asking would be measured too
        time.sleep(0.15)
    [build] = wait(lambda: api.ended(commit), "our verdict", pause_s=0.005) or []
    took = (time.time_ns() - pushed) / MS
    assert build["state"] == "passed", api.first_log(build["id"])
    if what == "true":
        return took
    last = int(api.first_log(build["id"]).split()[-1])
    return (last - pushed) / MS if what == "line" else took - last / MS


def main() -> int:
    """Measure in turns: floor, process, bubblewrap, floor ..."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    with (
        folder() as where,
        upped(where / "p", "--executor", "process") as plain,
        upped(where / "b", "--executor", "bubblewrap") as boxed,
    ):
        floor = Floor(where)
        sides = {"process": (plain, Project(where / "p")), "bubblewrap": (boxed, Project(where / "b"))}
        for stand, project in sides.values():
            stand.watch(project)
        apis = {name: Api(stand) for name, (stand, _) in sides.items()}
        for project in (floor.project, *(project for _, project in sides.values())):
            prepare(project)
        number = 0
        for what, count in (("line", rounds + 2), ("true", rounds + 2), ("suite", 2)):
            for turn in range(count):
                number += 1
                warm = turn < 2 and what != "suite"
                found = {"floor": floor_ms(floor, what, number)}
                for name, (_, project) in sides.items():
                    found[name] = ours_ms(project, apis[name], what, number)
                for name, took in found.items():
                    if not warm:
                        times[what, name].append(took)
    return _tell({key: middle(values) for key, values in times.items()})


def _tell(median: dict[tuple[str, str], float]) -> int:
    goals = {
        ("line", "process"): ("push -> first line, process", 1.5),
        ("line", "bubblewrap"): ("push -> first line, bubblewrap", 2.0),
        ("true", "process"): ("push -> verdict of `true`, process", 1.7),
        ("true", "bubblewrap"): ("push -> verdict of `true`, bubblewrap", None),
    }
    figures = []
    for (what, executor), (words, times) in goals.items():
        floor = median[what, "floor"]
        figures.append(Figure(words, median[what, executor], "ms", floor, most=times and times * floor))
    for executor in ("process", "bubblewrap"):
        words = f"added to a suite of 7 s, {executor}"
        figures.append(Figure(words, median["suite", executor], "ms", median["suite", "floor"], most=100.0))
    show("Latency (medians)", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
