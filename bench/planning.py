"""Reading and planning workflows: an ordinary file, and a workflow whose matrix has 256 jobs.

The floor is the YAML parser by itself, which gives no positions that a person could use.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from _figures import Figure, middle, show
from ruamel.yaml import YAML

from mainstay.workflow.contexts import job_contexts
from mainstay.workflow.files import MemoryFiles
from mainstay.workflow.instances import instances
from mainstay.workflow.plan import planned
from mainstay.workflow.triggers import TriggerEvent

ORDINARY = Path("tests/workflow/ordinary.yml").read_bytes()
MATRIX = b"""name: many
on: push
jobs:
  test:
    name: test ${{ matrix.python }} on ${{ matrix.system }} with ${{ matrix.extra }} and ${{ matrix.mode }}
    runs-on: ${{ matrix.system }}
    continue-on-error: ${{ matrix.mode == 'fast' }}
    strategy:
      matrix:
        python: ['3.11', '3.12', '3.13', '3.14']
        system: [ubuntu-22.04, ubuntu-24.04, ubuntu-latest, linux]
        extra: [a, b, c, d]
        mode: [fast, slow, big, small]
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: '${{ matrix.python }}'}
      - run: pytest
"""
GRAPH = b"name: graph\non: push\njobs:\n" + b"".join(
    b"  job%d:\n    runs-on: linux\n%s    steps:\n      - {run: make %d}\n"
    % (number, b"    needs: [job%d]\n" % (number - 1) if number % 4 else b"", number)
    for number in range(256)
)
PUSH = TriggerEvent("push", "refs/heads/main")
GITHUB = {"github": {"event_name": "push", "ref": "refs/heads/main", "sha": "0" * 40, "event": {}}}


def plan(data: bytes) -> int:
    """Plan a push with this one workflow and expand its matrices; how many jobs there are."""
    found = planned(MemoryFiles({".github/workflows/ci.yml": data}), PUSH)
    jobs = 0
    for each in found.plans:
        errors = [problem for problem in each.problems if problem.severity == "error"]
        assert not errors, errors
        jobs += sum(len(instances(job, job_contexts(each, job, GITHUB))) for job in each.jobs if not job.needs)
        jobs += sum(1 for job in each.jobs if job.needs)
    return jobs


def median_ms(work: Callable[[bytes], object], data: bytes) -> float:
    """Each time with other bytes: a file that has been read before is known."""
    times = []
    for number in range(17):
        began = time.perf_counter()
        work(data + b"# %d\n" % number)
        if number > 1:
            times.append((time.perf_counter() - began) * 1000)
    return middle(times)


def main() -> int:
    """Measure."""
    figures = []
    for name, data, goal in (
        ("an ordinary file", ORDINARY, 10.0),
        ("a matrix of 256 jobs", MATRIX, 50.0),
        ("256 jobs written out", GRAPH, 50.0),
    ):
        floor = median_ms(YAML(typ="safe", pure=True).load, data)
        jobs = plan(data)
        ours = median_ms(plan, data)
        figures.append(Figure(name, ours, "ms", floor, most=goal, note=f"{jobs} jobs"))
    show("Planning (medians; floor: ruamel.yaml in pure Python alone)", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
