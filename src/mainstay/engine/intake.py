"""Noticing pushes and turning them into builds. One watcher per repository; looks at the same one never overlap.

A look reads where the refs are, compares with the place reached, brings the objects, plans each new commit, and stores
the builds of a ref's move together with its reached place. Killed anywhere before, the next look finds the same
difference again; what was stored already is recognised and left out.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mainstay.engine import people
from mainstay.engine.begin import begin
from mainstay.engine.clock import Clock
from mainstay.engine.planning import Planner
from mainstay.engine.repositories import Repositories
from mainstay.engine.starts import Starts, default_ref
from mainstay.flow import intake as intake_flow
from mainstay.git.mirror import Mirror
from mainstay.git.source import local_path
from mainstay.git.watch import RefWatcher
from mainstay.model.build import NewBuild
from mainstay.model.errors import Conflict, MainstayError, NotFound
from mainstay.model.events import Event, EventKind
from mainstay.model.repository import Commit, CommitPolicy, RefMove, Repository, branch_of
from mainstay.store import builds, events, reports, repositories
from mainstay.store.database import Database, Tx
from mainstay.workflow.contexts import push_event, repository_name

CHUNK = 50
"""Builds that are stored in one transaction: long ones keep everybody else from writing."""
LONGEST_PAUSE_S = 3600.0
"""Back-off of an unreachable remote ends here."""
LOCAL_POLL_S = 300.0
"""A repository on this machine is watched; this is only the net below the watch."""
JITTER = 0.1
"""Part of a pause that is left to chance, so that many repositories do not poll together."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """One repository and the task that looks after it."""

    repository_id: int
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    noticed_by: str = "poll"
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Intake:
    """All watchers of this server."""

    def __init__(
        self,
        database: Database,
        repositories_: Repositories,
        planner: Planner,
        starts: Starts,
        clock: Clock,
        expect: Callable[[], None] = lambda: None,
    ) -> None:
        """`expect` is called when jobs are about to be stored."""
        self._database = database
        self._repositories = repositories_
        self._clock = clock
        self._planner = planner
        self._starts = starts
        self._expect = expect
        self._refs = RefWatcher(self._noticed)
        self._watched: dict[int, _Watched] = {}
        self._running = False

    async def run(self) -> None:
        """Look after every repository until cancelled."""
        self._running = True
        await self._refs.start()
        try:
            for repository in await self._repositories.all_of():
                self.watch(repository)
            await asyncio.Event().wait()
        finally:
            self._running = False
            tasks = [each.task for each in self._watched.values() if each.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._watched.clear()
            await self._refs.close()

    def watch(self, repository: Repository) -> None:
        """Begin to look after a repository, or look at it anew after a change."""
        if not self._running:
            return
        watched = self._watched.get(repository.id)
        if watched is None:
            watched = _Watched(repository.id)
            self._watched[repository.id] = watched
            watched.task = asyncio.create_task(self._follow(watched), name=f"watch {repository.name}")
        watched.asked.set()
        path = local_path(repository.url) if repository.url else None
        if path is not None:
            self._refs.watch(repository.id, path)
        else:
            self._refs.forget(repository.id)

    async def forget(self, repository_id: int) -> None:
        """Stop looking after a repository."""
        self._refs.forget(repository_id)
        watched = self._watched.pop(repository_id, None)
        if watched is not None and watched.task is not None:
            watched.task.cancel()
            await asyncio.gather(watched.task, return_exceptions=True)
        await self._repositories.mirrors.drop(repository_id)

    async def look(self, repository_id: int, noticed_by: str) -> None:
        """Look at a repository now; returns when a look that began after this call has ended. Raises its error."""
        watched = self._watched.get(repository_id)
        if watched is None:
            raise NotFound("this server does not watch that repository")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watched.waiters.append(done)
        watched.noticed_by = noticed_by
        watched.asked.set()
        await done

    def notice(self, repository_id: int, noticed_by: str) -> None:
        """Look at a repository soon; nobody waits for it."""
        watched = self._watched.get(repository_id)
        if watched is not None:
            watched.noticed_by = noticed_by
            watched.asked.set()

    def _noticed(self, repository_id: int) -> None:
        self.notice(repository_id, "watch")

    async def _follow(self, watched: _Watched) -> None:
        """The life of one watcher: look, then wait for a notice or the next poll."""
        pause = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await watched.asked.wait()
            watched.asked.clear()
            noticed_by, watched.noticed_by = watched.noticed_by, "poll"
            waiters, watched.waiters = watched.waiters, []
            try:
                pause = await self._look(watched, noticed_by, waiters)
            except NotFound:
                return  # it was removed
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("Looking at repository %d failed", watched.repository_id)
                pause = 5.0
            finally:
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)

    async def _look(self, watched: _Watched, noticed_by: str, waiters: Sequence[asyncio.Future[None]]) -> float:
        """One look; give the seconds until the next one by poll."""
        repository = await self._repositories.get(watched.repository_id)
        if repository.paused_at is not None:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(paused(repository))
            return LOCAL_POLL_S
        try:
            await self._take_in(repository, noticed_by)
        except MainstayError as error:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
            return await self._failed(repository, error)
        pause = LOCAL_POLL_S if repository.url is None or local_path(repository.url) else repository.poll_s
        pause *= 1 + JITTER * random.random()  # noqa: S311
        if repository.seen_at is None or repository.error is not None:
            await self._database.write(_went_well, repository, self._clock.now())
        return pause

    async def _failed(self, repository: Repository, error: MainstayError) -> float:
        failures = repository.failures + 1
        pause = intake_flow.pause_after(failures, min(repository.poll_s, 60.0), LONGEST_PAUSE_S)
        pause *= 1 + JITTER * random.random()  # noqa: S311
        now = self._clock.now()
        next_at = now + timedelta(seconds=pause)
        await self._database.write(_went_wrong, repository, str(error), failures, next_at, now)
        return pause

    async def ensure(self, repository_id: int, commit: str) -> None:
        """Have a commit in this server's mirror that another server took in. Raises what the look raises."""
        mirror = self._repositories.mirrors.of(repository_id)
        await mirror.create()
        if await mirror.commit_of(commit) is None and repository_id in self._watched:
            await self.look(repository_id, "poll")

    async def _take_in(self, repository: Repository, noticed_by: str) -> None:
        """Find the moves of a repository's refs and store them with their builds."""
        mirror = self._repositories.mirrors.of(repository.id)
        await mirror.create()
        access = await self._repositories.access(repository)
        if repository.url is None:
            seen = await mirror.refs()
        else:
            told = await mirror.remote_refs(repository.url, access, head=repository.default_ref is None)
            seen = told.refs
            if told.head is not None and told.head != repository.default_ref:
                repository = await self._database.write(repositories.set_default_ref, repository.id, told.head)
        known = await self._database.read(repositories.reached, repository.id)
        moves = intake_flow.moves(known, seen, repository)
        if repository.url is not None:
            # Not only what is news: another server on this database may have stored it, and brought it to its mirror.
            here = await mirror.refs()
            wants = {ref: sha for ref, sha in seen.items() if here.get(ref) != sha} | dict.fromkeys(here.keys() - seen)
            if wants:
                await mirror.fetch(repository.url, wants, access)
        if not moves:
            return
        # The tips of other refs in this look get builds of their own: here they are no backlog.
        tips = {move.new for move in moves if move.new is not None}
        for move in moves:
            # Also of the refs that are left when a server was killed in the middle of its first look.
            how = "first sight" if repository.seen_at is None and move.old is None else noticed_by
            await self._take_move(repository, mirror, move, known, tips, how)
            if move.new is None:
                known.pop(move.ref, None)
            else:
                known[move.ref] = move.new
        await self._learn_schedules(repository, mirror, moves, known)

    async def _learn_schedules(
        self, repository: Repository, mirror: Mirror, moves: Sequence[RefMove], known: dict[str, str]
    ) -> None:
        """Read the schedules anew when the default branch has moved."""
        ref = default_ref(repository, known)
        if ref is None or not any(move.ref == ref for move in moves):
            return
        sha = await mirror.commit_of(known[ref])
        if sha is not None:
            [commit] = await mirror.commits([sha])
            await self._starts.refresh(repository, mirror, commit)

    async def _take_move(
        self,
        repository: Repository,
        mirror: Mirror,
        move: RefMove,
        known: dict[str, str],
        tips: set[str],
        noticed_by: str,
    ) -> None:
        """Store one ref's move with its builds."""
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
            await self._database.write(_store, repository, commits, new, arrived, self._clock.now())

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
    known: dict[str, str],
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


def paused(repository: Repository) -> Conflict:
    """What is said to whoever wants a paused repository looked at."""
    return Conflict(f"{repository.name} is paused; resume it with: mainstay repo set {repository.name} --resume")


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
    arrived: _Arrived | None,
    now: datetime,
) -> None:
    repositories.lock(tx, repository.id)  # another server may be storing the same push
    repositories.keep_commits(tx, repository.id, commits)
    push_id = None
    if arrived is not None and repositories.reached(tx, repository.id).get(arrived.move.ref) != arrived.move.new:
        move, how = arrived.move, arrived.noticed_by
        push_id = repositories.add_push(tx, repository.id, move, how, arrived.commits, arrived.note, now)
        repositories.move_ref(tx, repository.id, move, now)
        details = {"ref": move.ref, "old": move.old, "new": move.new, "commits": arrived.commits, "note": arrived.note}
        events.add(tx, [Event(EventKind.PUSH_NOTICED, now, how, repository_id=repository.id, details=details)])
        if arrived.note is not None:  # moved back or away: how it stands may change without a build
            reports.judge_later(tx, repository.id, move.ref, None, now)
    added = builds.add(tx, repository.id, push_id, new, now)
    for build_id, build in added:
        begin(tx, build_id, build.plan, build.cause, now)
    if repository.supersede and added:
        people.supersede(tx, repository.id, new[0].ref, [build_id for build_id, _ in added], now)


def _went_well(tx: Tx, repository: Repository, now: datetime) -> None:
    repositories.change(tx, repository.id, seen_at=now, error=None, failures=0, next_poll_at=None)
    if repository.error is not None:
        event = Event(EventKind.REPOSITORY_REACHABLE, now, "its refs could be read again", repository_id=repository.id)
        events.add(tx, [event])


def _went_wrong(tx: Tx, repository: Repository, error: str, failures: int, next_at: datetime, now: datetime) -> None:
    repositories.change(tx, repository.id, error=error[:4000], failures=failures, next_poll_at=next_at)
    if repository.error is None:
        event = Event(EventKind.REPOSITORY_UNREACHABLE, now, error[:1000], repository_id=repository.id)
        events.add(tx, [event])
