"""How long a clean work tree of a commit takes: kept trees against what git offers (docs/decisions/0003-work-trees.md).

Goal: on a repository of 5,900 files at most 1.3 times a kept tree with `git clean` and `git checkout -f`.
"""

import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from mainstay.runner.trees import Trees
from mainstay.wire.runner import Source

GOAL = 1.3
ROUNDS = 10
CLONES = 2
"""Rounds with clones: each writes all files anew, which some file systems are slow at."""
NAME = {f"GIT_{role}_{what}": f"{what}@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
CONFIG = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_COUNT": "1"}
NO_GC = {"GIT_CONFIG_KEY_0": "gc.auto", "GIT_CONFIG_VALUE_0": "0"}
ENV = {**os.environ, **NAME, **CONFIG, **NO_GC}


def git(*words: object) -> str:
    """Run it; what it printed."""
    done = subprocess.run(["git", *map(str, words)], env=ENV, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def generate(folder: Path, files: int) -> Path:
    """A bare mirror `7.git` in `folder` with ROUNDS commits of five changed files each."""
    work = folder / "generated"
    git("init", "-q", "-b", "main", work)
    random.seed(files)
    names = [work / f"package{number % 60}" / f"part{number // 60 % 10}" / f"m{number}.py" for number in range(files)]
    for name in names:
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text("".join(f"def f{line}(): return {random.random()}\n" for line in range(random.randint(5, 120))))
    for number in range(ROUNDS):
        for name in random.sample(names, 5):
            name.write_text(name.read_text() + f"# {number}\n")
        git("-C", work, "add", "-A")
        git("-C", work, "commit", "-qm", number)
    git("clone", "-q", "--mirror", work, folder / "7.git")
    shutil.rmtree(work)
    return folder / "7.git"


async def never(source: Source, mirror: Path) -> None:
    """All is in the mirror already."""
    raise AssertionError("nothing is to be fetched")


class Watch:
    """Collects times by name."""

    def __init__(self) -> None:
        self.times_s: dict[str, list[float]] = defaultdict(list)
        self._last = time.perf_counter()

    def start(self) -> None:
        self._last = time.perf_counter()

    def stop(self, name: str) -> None:
        self.times_s[name].append(time.perf_counter() - self._last)

    def median_ms(self, name: str) -> float:
        return statistics.median(self.times_s[name]) * 1000


def with_git(watch: Watch, mirror: Path, folder: Path, commit: str, *, clones: bool) -> None:
    """The ways git offers."""
    fresh, kept = folder / "fresh", folder / "kept"
    watch.start()
    git("-C", mirror, "worktree", "add", "-f", "--detach", fresh, commit)
    watch.stop("git worktree add")
    git("-C", mirror, "worktree", "remove", "--force", fresh)
    for name, option in (("shared clone", "--shared"), ("fresh clone", "--no-local")):
        if clones:
            watch.start()
            git("clone", "-q", "--no-checkout", option, mirror, fresh)
            git("-C", fresh, "checkout", "-q", "--detach", commit)
            watch.stop(name)
            shutil.rmtree(fresh)
    if not kept.exists():
        git("clone", "-q", "--shared", mirror, kept)
    (kept / "left").write_text("")
    watch.start()
    git("-C", kept, "clean", "-ffdxq")
    git("-C", kept, "checkout", "-q", "-f", "--detach", commit)
    watch.stop("kept: clean + checkout -f")


async def with_trees(watch: Watch, trees: Trees, source: Source) -> None:
    """Ours: another commit than before, then the same again."""
    for name in ("another commit", "the same commit"):
        watch.start()
        tree = await trees.acquire(source, never)
        watch.stop(f"ours: acquire, {name}")
        (tree.path / "left").write_text("")
        watch.start()
        await trees.release(tree)
        watch.stop("ours: release (off the critical path)")


async def measure(files: int) -> Watch:
    """All ways, in turn, for each commit."""
    watch = Watch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mirror = generate(folder, files)
        trees = Trees(folder / "data", folder, 1)
        await trees.open()
        for number, line in enumerate(git("-C", mirror, "log", "--reverse", "--format=%H %T").splitlines()):
            commit, tree = line.split()
            with_git(watch, mirror, folder, commit, clones=number < CLONES)
            await with_trees(watch, trees, Source("bench", 7, "", "", commit, tree, "refs/heads/main"))
        await trees.close()
    return watch


def main() -> int:
    """Print the table; 1 when the goal was missed."""
    missed = False
    for files in (20, 5900):
        watch = asyncio.run(measure(files))
        print(f"{files} files")
        for name in watch.times_s:
            print(f"  {name:40} {watch.median_ms(name):8.1f} ms  (least {min(watch.times_s[name]) * 1000:.1f})")
        missed |= watch.median_ms("ours: acquire, another commit") > GOAL * watch.median_ms("kept: clean + checkout -f")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
