"""The graph of a build's jobs: which waits for which, in columns from left to right. Geometry only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mainstay.model.job import Job
from mainstay.model.states import JobState
from mainstay.web.pages.jobs import ORDER

WIDTH, HEIGHT = 176, 28
ACROSS, DOWN = 232, 36
"""From node to node."""
LETTERS = 19
"""Of a name that fit into a node."""
MOST_NODES = 60


@dataclass(frozen=True, slots=True)
class Node:
    """One job of the workflow, with all its legs."""

    name: str
    shown: str
    state: str
    count: int
    href: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes, and lines between them as SVG paths."""

    nodes: tuple[Node, ...]
    lines: tuple[str, ...]
    width: int
    height: int


def graph(jobs: Sequence[Job]) -> Graph | None:
    """The graph; None where no job waits for another, or where it would be too large to be read."""
    legs: dict[str, list[Job]] = {}
    for job in jobs:
        legs.setdefault(job.key, []).append(job)
    needs = {
        key: [need for need in dict.fromkeys(need for job in these for need in job.needs) if need in legs]
        for key, these in legs.items()
    }
    if len(legs) > MOST_NODES or not any(needs.values()):
        return None
    columns = _columns(needs)
    places: dict[str, tuple[int, int]] = {}
    for x, column in enumerate(columns):
        column.sort(key=lambda key: _middle(needs[key], places))
        places.update({key: (x, y) for y, key in enumerate(column)})
    nodes = tuple(_node(key, legs[key], *places[key]) for key in legs)
    lines = tuple(_line(places[need], places[key]) for key in legs for need in needs[key])
    width = (len(columns) - 1) * ACROSS + WIDTH + 2
    return Graph(nodes, lines, width, (max(map(len, columns)) - 1) * DOWN + HEIGHT + 2)


def _columns(needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Every key in the column after the last of those it needs. What needs itself, which no plan does, stands last."""
    depth: dict[str, int] = {}
    rest = dict(needs)
    while ready := [key for key, wanted in rest.items() if all(need in depth for need in wanted)]:
        for key in ready:
            depth[key] = max((depth[need] + 1 for need in rest.pop(key)), default=0)
    last = max(depth.values(), default=-1) + 1
    depth.update(dict.fromkeys(rest, last))
    return [[key for key in needs if depth[key] == x] for x in range(max(depth.values()) + 1)]


def _middle(wanted: Sequence[str], places: Mapping[str, tuple[int, int]]) -> float:
    found = [places[need][1] for need in wanted if need in places]
    return sum(found) / len(found) if found else 0.0


def _node(key: str, jobs: Sequence[Job], x: int, y: int) -> Node:
    states = {job.state for job in jobs}
    state = next((each for each in (*ORDER, JobState.PASSED) if each in states), JobState.PASSED)
    name = jobs[0].name if len(jobs) == 1 else key
    room = LETTERS - (len(f" x{len(jobs)}") if len(jobs) > 1 else 0)
    shown = name if len(name) <= room else name[: room - 1] + "…"
    return Node(name, shown, state.value, len(jobs), f"#job-{jobs[0].id}", x * ACROSS + 1, y * DOWN + 1)


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    x, y = start[0] * ACROSS + WIDTH + 1, start[1] * DOWN + HEIGHT // 2 + 1
    to_x, to_y = end[0] * ACROSS + 1, end[1] * DOWN + HEIGHT // 2 + 1
    half = (to_x - x) // 2 if end[0] - start[0] == 1 else ACROSS - WIDTH - 16
    return f"M{x} {y}C{x + half} {y} {to_x - half} {to_y} {to_x} {to_y}"
