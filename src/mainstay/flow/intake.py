"""Which ref moves count, and which of their commits get builds."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from mainstay.model.repository import CommitPolicy, RefMove, Repository, branch_of, tag_of

TIP_PRIORITY = 0
"""Added to the workflow's own priority for the commit a branch points to."""
BACKLOG_PRIORITY = -1000
"""The other commits of a push: below anyone's fresh tip, whatever the workflow's own priority."""


def moves(known: Mapping[str, str], seen: Mapping[str, str], repository: Repository) -> list[RefMove]:
    """The watched refs that moved between `known` (what we reached) and `seen` (what is there), in a stable order."""
    return [
        RefMove(ref, known.get(ref), seen.get(ref))
        for ref in sorted(known.keys() | seen.keys())
        if is_watched(ref, repository) and known.get(ref) != seen.get(ref)
    ]


def in_order(
    told: Sequence[RefMove], known: Mapping[str, str], repository: Repository
) -> tuple[list[RefMove], list[RefMove]]:
    """Of the moves that somebody told of: those that lead on from `known`, one after the other, and the others."""
    place, taken = dict(known), list[RefMove]()
    left = [move for move in told if is_watched(move.ref, repository) and move.old != move.new]
    while True:
        following = next((move for move in left if place.get(move.ref) == move.old), None)
        if following is None:
            return taken, left
        left.remove(following)
        taken.append(following)
        if following.new is None:
            place.pop(following.ref, None)
        else:
            place[following.ref] = following.new


def is_watched(ref: str, repository: Repository) -> bool:
    """Whether pushes to `ref` count: tags always, branches by the repository's patterns, nothing else."""
    if tag_of(ref) is not None:
        return True
    branch = branch_of(ref)
    return branch is not None and any(fnmatch.fnmatchcase(branch, pattern) for pattern in repository.branches)


def chosen(new_commits: Sequence[str], tip: str, policy: CommitPolicy, built: Iterable[str]) -> list[str]:
    """The commits that get builds, in the order they are to be tested: the tip first, then from the oldest on.

    `new_commits` are newest first (already only first parents under that policy). The tip always gets its builds; a
    commit before it that was tested on another ref is not tested again.
    """
    if policy is CommitPolicy.LATEST:
        return [tip]
    done = set(built)
    rest = [commit for commit in reversed(new_commits) if commit != tip and commit not in done]
    return [tip, *rest]


def note(move: RefMove, *, forced: bool, built: int) -> str | None:
    """What is worth saying about a push, in words."""
    if move.new is None:
        return "deleted"
    if forced:
        return "force-push"
    if built == 0:
        return "no workflow is triggered by it"
    return None


def pause_after(failures: int, poll_s: float, longest_s: float) -> float:
    """Seconds until the next look at a remote, after so many errors in a row: doubled with each."""
    return float(min(poll_s * 2 ** min(failures, 16), max(longest_s, poll_s)))
