"""One ref's move: which of its commits get builds, stored together with the place that the ref has reached.

What is stored already is recognised and left out, so a move that was stored in part is taken again as a whole; that it
was begun is stored with its first builds, for a ref may have gone elsewhere when the next server looks. Where another
one was quicker, or somebody pushed on meanwhile, the commits get their builds all the same and the ref stays where it
is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from mainstay.engine import people
from mainstay.engine.begin import begin
from mainstay.engine.clock import Clock
from mainstay.engine.planning import Planner
from mainstay.flow import intake as intake_flow
from mainstay.git.mirror import Mirror
from mainstay.model.build import NewBuild
from mainstay.model.errors import NotFound
from mainstay.model.events import Event, EventKind
from mainstay.model.repository import Commit, CommitPolicy, RefMove, Repository, branch_of
from mainstay.store import builds, events, reports, repositories
from mainstay.store.database import Database, Tx
from mainstay.workflow.contexts import push_event, repository_name

CHUNK = 50
"""Builds that are stored in one transaction: long ones keep everybody else from writing."""


class Moves:
    """Stores moves with their builds."""

    def __init__(self, database: Database, planner: Planner, clock: Clock, expect: Callable[[], None]) -> None:
        """`expect` is called when jobs are about to be stored."""
        self._database = database
        self._planner = planner
        self._clock = clock
        self._expect = expect

    async def take(
        self,
        repository: Repository,
        mirror: Mirror,
        move: RefMove,
        known: Mapping[str, str],
        tips: Set[str],
        noticed_by: str,
    ) -> None:
        """Store one ref's move with its builds. `tips`: commits that get builds of their own: they are no backlog."""
        tip, fresh, old, forced = await _new_commits(repository, mirror, move, known, noticed_by)
        before = await _compared_with(mirror, old, fresh)
        built = await self._database.read(builds.built_commits, repository.id, fresh)
        chosen = intake_flow.chosen(fresh, tip, repository.commits, built | tips) if tip is not None else []
        if noticed_by == "first sight" and branch_of(move.ref) is None:
            chosen = []  # tags that were there before us are not news
        count = 0
        parts = list(_chunks(chosen, CHUNK)) or [()]
        for index, part in enumerate(parts):
            commits = await mirror.commits(part)
            new = [
                build
                for commit in commits
                for build in await self._builds_of(
                    repository, mirror, commit, move, before if commit.sha == tip else None
                )
            ]
            count += len(new)
            arrived = None
            if index == len(parts) - 1:  # the reached place moves with the last of its builds
                note = intake_flow.note(move, forced=forced, built=count)
                arrived = _Arrived(move, noticed_by, len(fresh), note)
            self._expect()
            begun = move if index == 0 and arrived is None else None
            await self._database.write(_store, repository, commits, new, begun, arrived, self._clock.now())

    async def _builds_of(
        self, repository: Repository, mirror: Mirror, commit: Commit, move: RefMove, tip: "_Tip | None"
    ) -> list[NewBuild]:
        """`tip`: the commit is the one that the ref points to now."""
        priority = intake_flow.TIP_PRIORITY if tip is not None else intake_flow.BACKLOG_PRIORITY
        parent = commit.parents[0] if commit.parents else None
        before = tip.before or parent if tip is not None else parent
        payload = push_event(
            ref=move.ref,
            before=move.old,
            after=move.new or commit.sha,
            head_commit=_shown(commit),
            repository=repository_name(repository.name, repository.url),
        )
        planned = await self._planner.pushed(mirror, commit, move.ref, before)
        return [NewBuild(commit.sha, commit.tree, move.ref, "push", plan, payload, priority) for plan in planned.plans]


async def _new_commits(
    repository: Repository,
    mirror: Mirror,
    move: RefMove,
    known: Mapping[str, str],
    noticed_by: str,
) -> tuple[str | None, list[str], str | None, bool]:
    """The commit a ref points to, the commits that are new with its move (newest first), the one it pointed to, and
    whether it was forced.
    """
    if move.new is None:
        return None, [], None, False
    tip = await mirror.commit_of(move.new)
    if tip is None:
        return None, [], None, False  # a tag of something that is no commit
    first_parent = repository.commits is CommitPolicy.FIRST_PARENT
    if noticed_by == "first sight":
        if repository.since is None or branch_of(move.ref) is None:
            return tip, [tip], None, False
        start = await mirror.resolve(repository.since)
        if start is None:
            raise NotFound(
                f"{repository.name} has no commit {repository.since} to begin after; remove it and add it again"
            )
        return tip, await mirror.new_commits(tip, [start], first_parent=first_parent), None, False
    old = await mirror.commit_of(move.old) if move.old is not None else None
    forced = old is not None and not await mirror.is_ancestor(old, tip)
    edge = [old] if old is not None and not forced else sorted(set(known.values()))
    return tip, await mirror.new_commits(tip, edge, first_parent=first_parent), old, forced


async def _compared_with(mirror: Mirror, old: str | None, fresh: Sequence[str]) -> "_Tip":
    """What path filters compare a ref's tip with, as GitHub does: where the ref was; of a new branch, the commit before
    its oldest new one.
    """
    if old is not None or len(fresh) < 2:
        return _Tip(old)
    [oldest] = await mirror.commits([fresh[-1]])
    return _Tip(oldest.parents[0] if oldest.parents else None)


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The first alone, so that a fresh tip need not wait for the others; then parts of `size`."""
    if items:
        yield items[:1]
    for start in range(1, len(items), size):
        yield items[start : start + size]


def _shown(commit: Commit) -> dict[str, object]:
    """A commit as GitHub's event shows it."""
    person = {"name": commit.author, "email": commit.email}
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "message": commit.message,
        "timestamp": commit.committed_at.isoformat(),
        "author": person,
        "committer": person,
    }


@dataclass(frozen=True, slots=True)
class _Tip:
    """The commit that a ref points to now."""

    before: str | None
    """What path filters compare it with. None: its parent."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A ref's move whose last builds are being stored."""

    move: RefMove
    noticed_by: str
    commits: int
    note: str | None


def _store(
    tx: Tx,
    repository: Repository,
    commits: Sequence[Commit],
    new: Sequence[NewBuild],
    begun: RefMove | None,
    arrived: _Arrived | None,
    now: datetime,
) -> None:
    repositories.lock(tx, repository.id)  # another server may be storing the same push
    repositories.keep_commits(tx, repository.id, commits)
    if begun is not None:
        repositories.begin_move(tx, repository.id, begun)
    push_id = None if arrived is None else _arrive(tx, repository, arrived, now)
    added = builds.add(tx, repository.id, push_id, new, now)
    for build_id, build in added:
        begin(tx, build_id, build.plan, build.cause, now)
    if repository.supersede and added:
        people.supersede(tx, repository.id, new[0].ref, [build_id for build_id, _ in added], now)


def _arrive(tx: Tx, repository: Repository, arrived: _Arrived, now: datetime) -> int | None:
    """Move the place reached and tell of the push; its id, None when somebody has stored this move before."""
    move, how = arrived.move, arrived.noticed_by
    repositories.end_move(tx, repository.id, move)
    stands = repositories.reached(tx, repository.id).get(move.ref)
    if stands == move.new:
        return None
    push_id = repositories.add_push(tx, repository.id, move, how, arrived.commits, arrived.note, now)
    details = {"ref": move.ref, "old": move.old, "new": move.new, "commits": arrived.commits, "note": arrived.note}
    events.add(tx, [Event(EventKind.PUSH_NOTICED, now, how, repository_id=repository.id, details=details)])
    if stands == move.old:  # else another server saw the ref later than we did, and it is not to go back
        repositories.move_ref(tx, repository.id, move, now)
        if arrived.note is not None:  # moved back or away: how it stands may change without a build
            reports.judge_later(tx, repository.id, move.ref, None, now)
    return push_id
