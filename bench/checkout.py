"""The second build of a repository of 5,900 files: from the push to the first line of its command.

The floor is a tree that is kept: a hook that runs `git clean -ffdx` and `git checkout -f` in it. How the runner's trees
compare with git's other ways by themselves: `script/bench trees`.
"""

import random
import sys
import time

from _figures import Figure, middle, show
from _place import Api, Floor, folder, push_ns, upped, wait
from tests.system.stand import Project

FILES = 5900
ROUNDS = 9
COMMAND = "date +%s%N\necho left > left-behind\nmkdir -p build && echo x > build/made"
KEPT = """#!/bin/sh
read old new ref
(
  export GIT_WORK_TREE="{kept}"
  mkdir -p "{kept}"
  git clean -q -ffdx
  git checkout -q -f --detach "$new"
  cd "{kept}" || exit
  unset GIT_DIR GIT_WORK_TREE
  bash -e ./command.sh >"{results}/$new.log" 2>&1
  touch "{results}/$new"
) </dev/null >/dev/null 2>&1 &
"""


def fill(project: Project) -> None:
    """Files as a large project has them."""
    random.seed(FILES)
    for number in range(FILES):
        path = project.clone / f"package{number % 60}" / f"part{number // 60 % 10}" / f"m{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"def f{n}(): return {random.random()}\n" for n in range(random.randint(5, 120))))
    project.write({"command.sh": COMMAND + "\n", ".gitignore": "build/\n"})
    project.workflow(COMMAND)


def change(project: Project, number: int) -> str:
    """A commit of five changed files."""
    random.seed(number)
    for each in random.sample(range(FILES), 5):
        path = project.clone / f"package{each % 60}" / f"part{each // 60 % 10}" / f"m{each}.py"
        path.write_text(path.read_text() + f"# {number}\n")
    return project.commit(f"number {number}")


def main() -> int:
    """Measure in turns."""
    with folder() as where:
        floor, project = Floor(where), Project(where / "p")
        hook = floor.project.bare / "hooks" / "post-receive"
        hook.write_text(KEPT.format(kept=where / "kept", results=floor.results))
        times: dict[str, list[float]] = {"floor": [], "process": [], "bubblewrap": []}
        for each in (floor.project, project):
            fill(each)
            each.commit("root")
        for executor in ("process", "bubblewrap"):
            with upped(where / executor, "--executor", executor) as stand:
                stand.watch(project)
                api = Api(stand)
                for number in range(ROUNDS):
                    kept = change(floor.project, number + (100 if executor == "bubblewrap" else 0))
                    pushed = push_ns(floor.project)
                    wait(lambda kept=kept: floor.ended(kept), "the floor")  # type: ignore[misc]
                    took = {"floor": (int(floor.log(kept).split()[0]) - pushed) / 1e6}
                    commit = change(project, number + (100 if executor == "bubblewrap" else 0))
                    pushed = push_ns(project)
                    time.sleep(0.3)
                    [build] = wait(lambda api=api, commit=commit: api.ended(commit), "ours") or []  # type: ignore[misc]
                    took[executor] = (int(api.first_log(build["id"]).split()[0]) - pushed) / 1e6
                    for name, value in took.items():
                        if number > 1:  # the first build makes the tree, the second proves it
                            times[name].append(value)
        kept_ms = middle(times["floor"])
    figures = [
        Figure(f"push -> first line, {FILES:,} files, {name}", middle(times[name]), "ms", kept_ms, most=1.3 * kept_ms)
        for name in ("process", "bubblewrap")
    ]
    show("A later build of a large repository (medians; floor: kept tree, git clean and checkout -f)", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
