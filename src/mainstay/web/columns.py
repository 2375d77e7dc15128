"""Commits by jobs as a grid whose width is bounded: a column for each job, or for each group of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mainstay.flow import build as build_flow
from mainstay.model.states import BuildState, JobState
from mainstay.store.views.builds import JobHead
from mainstay.web.listing import CommitLine

COLUMNS = 24
"""At most so many columns; with more names than that the legs of a matrix share one, then the jobs of a workflow."""
OPENED = 40
"""Columns when one group is looked at by itself."""
BAD = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.ALLOWED})

Key = tuple[str, str, str]
"""Workflow, job, leg; empty where a column does not tell them apart."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    workflow: str
    name: str
    jobs: int
    """The names of jobs that share it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What the jobs of one commit in one column add up to."""

    state: BuildState
    href: str
    title: str
    bad: int
    """How many of several did not pass."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The head of the grid."""

    columns: tuple[Column, ...]
    workflows: tuple[tuple[str, int], ...]
    """The workflows with the number of their columns, in their order; empty when there is only one."""
    more: int
    """Columns that found no place."""
    depth: int
    """How much of a job's key tells columns apart: 3 (every job), 2 (matrices share one), 1 (workflows)."""
    keys: tuple[Key, ...]

    def cells(self, line: CommitLine) -> list[Cell | None]:
        """One commit's cells."""
        found: dict[Key, list[JobHead]] = {}
        for build in reversed(line.builds):  # The newest build of a workflow stands for the others.
            fresh: dict[Key, list[JobHead]] = {}
            for job in build.jobs:
                fresh.setdefault(_cut(_key(build.head.workflow, job), self.depth), []).append(job)
            found.update(fresh)
        return [_cell(found[key]) if key in found else None for key in self.keys]


def columns(lines: Sequence[CommitLine], opened: str | None = None) -> Columns:
    """The columns for these commits, in the order in which the newest ones name their jobs.

    `opened`: only the jobs of this workflow or matrix, told apart further than among all the others.
    """
    keys: dict[Key, None] = {}
    for line in lines:
        for build in line.builds:
            for job in build.jobs:
                if opened in (None, build.head.workflow, base_of(job)):
                    keys.setdefault(_key(build.head.workflow, job))
    most = OPENED if opened else COLUMNS
    depth = 3
    least = 1 if not opened else 2 if len(_cut_all(keys, 2)) > 1 else 3
    while depth > least and len(_cut_all(keys, depth)) > most:
        depth -= 1
    shares = _cut_all(keys, depth)
    order = list(dict.fromkeys(key[0] for key in shares))
    chosen = sorted(shares, key=lambda key: order.index(key[0]))[:most]
    return Columns(
        tuple(Column(key[0], key[2] or key[1] or key[0], shares[key]) for key in chosen),
        tuple((name, sum(key[0] == name for key in chosen)) for name in order if any(key[0] == name for key in chosen))
        if len(order) > 1 and depth > 1
        else (),
        len(shares) - len(chosen),
        depth,
        tuple(chosen),
    )


def base_of(job: JobHead) -> str:
    """What the legs of one matrix have in common: the name up to its bracket."""
    return job.name.partition(" (")[0]


def _key(workflow: str, job: JobHead) -> Key:
    return workflow, base_of(job), job.name


def _cut(key: Key, depth: int) -> Key:
    return key[0], key[1] if depth > 1 else "", key[2] if depth > 2 else ""


def _cut_all(keys: Iterable[Key], depth: int) -> dict[Key, int]:
    found: dict[Key, int] = {}
    for key in keys:
        cut = _cut(key, depth)
        found[cut] = found.get(cut, 0) + 1
    return found


def _cell(jobs: Sequence[JobHead]) -> Cell:
    state = build_flow.fold(job.state for job in jobs)
    bad = [job for job in jobs if job.state in BAD]
    first = bad[0] if bad else jobs[0]
    title = first.name if len(jobs) == 1 else f"{base_of(first)}: {len(jobs)}"
    reason = f" ({first.reason})" if first.reason and (bad or len(jobs) == 1) else ""
    return Cell(state, f"/builds/{first.build_id}#job-{first.id}", title + reason, len(bad) if len(jobs) > 1 else 0)
