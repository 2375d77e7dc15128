"""Which queued attempt goes to which runner: priority within a repository, fair shares between repositories."""

from collections.abc import Sequence
from dataclasses import dataclass

BACKLOG_BELOW = -500
"""Workflows give priorities from -100 to 100; `flow.intake.BACKLOG_PRIORITY` lies far below them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued attempt that could be started."""

    attempt_id: int
    job_id: int
    repository_id: int
    priority: int
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A runner that waits for work with `free` places."""

    runner_id: int
    labels: frozenset[str]
    free: int


@dataclass(frozen=True, slots=True)
class Match:
    """Give this attempt to this runner."""

    attempt_id: int
    job_id: int
    repository_id: int
    runner_id: int


def plan(candidates: Sequence[Candidate], slots: Sequence[Slot], running: dict[int, int]) -> list[Match]:
    """Match attempts to waiting runners.

    `running` counts the running jobs per repository. Fresh work goes before anybody's backlog (the older commits of a
    push); then the repository with the fewest running jobs, one job at a time; within it the highest priority, then the
    oldest id. A job goes to the fitting runner with the fewest labels, so that
    special runners stay free for jobs that need them, and among equals to the one with the most free places.
    """
    queues: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        queues.setdefault(candidate.repository_id, []).append(candidate)
    for queue in queues.values():
        queue.sort(key=lambda each: (-each.priority, each.attempt_id), reverse=True)  # the next one is at the end
    load = {repository: running.get(repository, 0) for repository in queues}
    free = {slot.runner_id: slot.free for slot in slots if slot.free > 0}
    by_fewest_labels = sorted((slot for slot in slots if slot.free > 0), key=lambda each: len(each.labels))
    matches: list[Match] = []
    while queues and free:
        repository = min(queues, key=lambda each: _turn(queues[each][-1], load[each]))
        candidate = queues[repository].pop()
        if not queues[repository]:
            del queues[repository]
        runner = _runner_for(candidate, by_fewest_labels, free)
        if runner is None:
            continue
        matches.append(Match(candidate.attempt_id, candidate.job_id, repository, runner))
        load[repository] += 1
        free[runner] -= 1
        if not free[runner]:
            del free[runner]
    return matches


def _turn(head: Candidate, load: int) -> tuple[bool, int, int]:
    return head.priority < BACKLOG_BELOW, load, head.attempt_id


def _runner_for(candidate: Candidate, slots: Sequence[Slot], free: dict[int, int]) -> int | None:
    best: Slot | None = None
    for slot in slots:
        if slot.runner_id not in free or not candidate.labels <= slot.labels:
            continue
        if best is not None and len(slot.labels) > len(best.labels):
            break
        if best is None or free[slot.runner_id] > free[best.runner_id]:
            best = slot
    return None if best is None else best.runner_id
