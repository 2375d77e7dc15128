"""Reads that several answers share: rows of `store.views` folded by `flow`. Each runs whole in one transaction."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.flow import build as build_flow
from mainstay.model.errors import BadInput, NotFound
from mainstay.model.repository import Commit, Repository
from mainstay.model.states import ENDED_BUILD, OPEN_JOB, BuildState, JobState
from mainstay.store import repositories
from mainstay.store.database import Tx
from mainstay.store.views import builds as views
from mainstay.store.views import commits as commit_views
from mainstay.store.views.builds import BuildHead, JobHead, Try, Wanted
from mainstay.web.history import Tested, newest_first

PAGE = 50
LONGEST_PAGE = 200
ROUNDS = 8
"""How many times one page may look on for what it wants before it is handed out short."""
MAIN_BRANCHES = ("refs/heads/main", "refs/heads/master", "refs/heads/trunk")
"""What a repository's main branch is usually called, the first that is there."""
HEX = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Line:
    """A build as a line of a list: its head, its jobs' heads and what they add up to."""

    head: BuildHead
    jobs: tuple[JobHead, ...]
    state: BuildState
    started_at: datetime | None
    """Of its latest round: a build that is run again later has not run since its first day."""
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether it has its verdict."""
        return self.state in ENDED_BUILD

    @property
    def seconds(self) -> float | None:
        """From the first start of its latest round to its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Query:
    """Which builds are asked for, as people say it."""

    repository: str | None = None
    commit: str | None = None
    branch: str | None = None
    state: BuildState | None = None
    seen: frozenset[int] | None = None
    """Only of these repositories; None: of all."""


def lines(tx: Tx, heads: Sequence[BuildHead]) -> list[Line]:
    """Builds with their jobs, in the same order."""
    jobs = views.job_heads(tx, [head.id for head in heads])
    again = [build_id for build_id, these in jobs.items() if any(job.tries > 1 for job in these)]
    tries = views.tries(tx, again)
    return [_line(head, jobs[head.id], tries.get(head.id, ())) for head in heads]


def _line(head: BuildHead, jobs: Sequence[JobHead], tries: Sequence[Try]) -> Line:
    state = build_flow.fold(job.state for job in jobs)
    began = build_flow.latest_round(tries)
    if began is None:
        started = [job.started_at for job in jobs if job.started_at is not None]
    else:
        started = [each.started_at for each in tries if each.started_at is not None and each.queued_at >= began]
    finished = [job.finished_at for job in jobs if job.finished_at is not None]
    ended = state in ENDED_BUILD
    return Line(
        head,
        tuple(jobs),
        state,
        min(started, default=None),
        max(finished, default=head.created_at) if ended else None,
    )


def holding(state: BuildState) -> frozenset[JobState]:
    """The states of which a build in `state` has at least one job, by the rules of `flow.build.fold`."""
    if state is BuildState.RUNNING:
        return OPEN_JOB
    return frozenset({JobState(state.value)})


def page(tx: Tx, query: Query, before: int | None, limit: int) -> tuple[list[Line], int | None]:
    """Builds, newest first, and the id to go on below. It may hold fewer than `limit` although more follow."""
    wanted = _wanted(tx, query)
    if wanted is None:
        return [], None
    found: list[Line] = []
    for _ in range(ROUNDS):
        ids, rest = views.candidates(tx, wanted, before, limit)
        for line in lines(tx, views.heads(tx, ids)):
            if query.state in (None, line.state):
                found.append(line)
                if len(found) == limit:
                    more = rest is not None or line.head.id != ids[-1]
                    return found, line.head.id if more else None
        before = rest
        if rest is None:
            break
    return found, before


def _wanted(tx: Tx, query: Query) -> Wanted | None:
    repository_ids: tuple[int, ...] = ()
    if query.repository is not None:
        repository_ids = (visible(tx, query.repository, query.seen).id,)
    elif query.commit is not None or query.branch is not None or query.seen is not None:
        repository_ids = tuple(each.id for each in repositories.all_of(tx, query.seen))
        if not repository_ids:
            return None
    if query.commit is not None and not HEX.fullmatch(query.commit):
        raise BadInput(f"{query.commit[:80]!r} is not a commit: 4 to 64 hex digits in lower case")
    return Wanted(
        repository_ids,
        None if query.branch is None else ref_of(query.branch),
        query.commit,
        frozenset() if query.state is None else holding(query.state),
    )


def visible(tx: Tx, name: str, seen: frozenset[int] | None) -> Repository:
    """A repository by name. Raises NotFound for one that is out of sight too."""
    found = repositories.by_name(tx, name)
    if seen is not None and found.id not in seen:
        raise repositories.unknown(name)
    return found


def ref_of(branch: str) -> str:
    """A branch's whole ref name; whole ref names (tags) are taken as they are."""
    return branch if branch.startswith("refs/") else f"refs/heads/{branch}"


def build_id(tx: Tx, name: str) -> int:
    """The id that `name` means: a build's id or `R#NUMBER`. Raises NotFound."""
    repository, hash_sign, digits = name.rpartition("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise NotFound(f"{name[:120]!r} names no build; write its id or REPOSITORY#NUMBER")
    if not hash_sign:
        return int(digits)
    found = views.id_of_number(tx, repositories.by_name(tx, repository).id, int(digits))
    if found is None:
        raise NotFound(f"{repository} has no build number {digits}")
    return found


def commit_of(tx: Tx, repository: Repository, name: str) -> str:
    """The whole id of a commit that may be shortened. Raises NotFound, or BadInput where it is ambiguous."""
    if not HEX.fullmatch(name):
        raise BadInput(f"{name[:80]!r} is not a commit: 4 to 64 hex digits in lower case")
    for search in (commit_views.by_prefix, commit_views.built_by_prefix):
        found = search(tx, repository.id, name)
        if len(found) > 1:
            raise BadInput(f"more than one commit of {repository.name} begins with {name}; write more of its digits")
        if found:
            return found[0]
    raise NotFound(f"{repository.name} has no commit {name} that is known here")


@dataclass(frozen=True, slots=True)
class CommitLine:
    """A commit with its builds, newest build first, and its verdict."""

    sha: str
    commit: Commit | None
    """None: its description is not stored."""
    builds: tuple[Line, ...]
    state: BuildState

    @property
    def tested(self) -> Tested:
        """The same for `history.standing`."""
        ends = [line.finished_at for line in self.builds if line.finished_at]
        return Tested(self.sha, self.state, max(ends, default=self.builds[0].head.created_at))

    @property
    def seconds(self) -> float | None:
        """What the longest of its builds took; they run side by side, or one of them on another day."""
        return max((line.seconds for line in self.builds if line.seconds is not None), default=None)


def commit_lines(tx: Tx, repository_id: int, shas: Sequence[str], ref: str | None = None) -> list[CommitLine]:
    """Commits with their builds (of one ref, if it is given), children before parents."""
    heads = [head for head in views.of_commits(tx, repository_id, shas) if ref in (None, head.ref)]
    return by_commit(tx, repository_id, lines(tx, heads), shas)


def by_commit(
    tx: Tx, repository_id: int, builds: Sequence[Line], shas: Sequence[str] | None = None
) -> list[CommitLine]:
    """Builds of a repository, newest first, by their commits, children before parents; equals stand as in `shas`."""
    found: dict[str, list[Line]] = {sha: [] for sha in shas or ()}
    for line in builds:
        found.setdefault(line.head.commit, []).append(line)
    known = repositories.known_commits(tx, repository_id, list(found)) if found else {}
    return [
        CommitLine(sha, known.get(sha), tuple(found[sha]), build_flow.verdict(line.state for line in found[sha]))
        for sha in newest_first(list(found), known)
        if found[sha]
    ]


def untested(tx: Tx, repository_id: int, sha: str) -> CommitLine:
    """A commit that is known and has no builds."""
    known = repositories.known_commits(tx, repository_id, [sha])
    return CommitLine(sha, known.get(sha), (), BuildState.NEUTRAL)


def commits(
    tx: Tx, repository: Repository, branch: str | None, before: int | None, limit: int
) -> tuple[list[CommitLine], int | None]:
    """Commits of a repository (or of one branch), newest first, and where to go on."""
    ref = None if branch is None else ref_of(branch)
    shas, rest = commit_views.page(tx, repository.id, ref, before, limit)
    return commit_lines(tx, repository.id, shas, ref), rest


def main_branch(refs: Sequence[tuple[str, str]]) -> str | None:
    """The ref that a repository is judged by: main, master or trunk if there is one, else the branch last moved."""
    names = [name for name, _ in refs]
    for name in MAIN_BRANCHES:
        if name in names:
            return name
    return next((name for name in names if name.startswith("refs/heads/")), names[0] if names else None)
