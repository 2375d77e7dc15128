"""Noticing pushes and having them stored as builds. One watcher per repository; looks at the same one never overlap.

A look reads where the refs are, compares with the place reached, brings the objects, and has each move stored with its
builds (`moves`). Killed anywhere before, the next look finds the same difference again. Which repositories there are
stands in the database: what another server added, changed or removed is watched here too.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mainstay.engine.clock import Clock
from mainstay.engine.moves import Moves
from mainstay.engine.planning import Planner
from mainstay.engine.repositories import WATCHED, Repositories
from mainstay.engine.starts import Starts, default_ref
from mainstay.engine.wake import Wake
from mainstay.flow import intake as intake_flow
from mainstay.git.mirror import Mirror
from mainstay.git.source import local_path
from mainstay.git.watch import RefWatcher
from mainstay.model.errors import Conflict, MainstayError, NotFound, Unavailable
from mainstay.model.events import Event, EventKind
from mainstay.model.repository import RefMove, Repository
from mainstay.store import events, repositories
from mainstay.store.database import Database, Tx

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
    terms: tuple[object, ...] = ()
    """How it is to be watched; other ones are looked at anew."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    noticed_by: str = "poll"
    told: list[RefMove] = field(default_factory=list)
    """Moves that were pushed to our own git server and are not stored: their pushers wait."""
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    learned: str | None = None
    """The commit whose schedules were learned by this process; None: none yet, an earlier one may have been killed."""


class Intake:
    """All watchers of this server."""

    def __init__(
        self,
        database: Database,
        repositories_: Repositories,
        planner: Planner,
        starts: Starts,
        clock: Clock,
        wake: Wake,
        expect: Callable[[], None] = lambda: None,
    ) -> None:
        """`expect` is called when jobs are about to be stored."""
        self._database = database
        self._repositories = repositories_
        self._clock = clock
        self._starts = starts
        self._wake = wake
        self._moves = Moves(database, planner, clock, expect)
        self._refs = RefWatcher(self._noticed)
        self._watched: dict[int, _Watched] = {}
        self._running = False

    async def run(self) -> None:
        """Look after every repository until cancelled."""
        self._running = True
        await self._refs.start()
        try:
            with self._wake.watch(WATCHED) as told:
                while True:
                    await self.agree()
                    await told.wait(LOCAL_POLL_S)
        finally:
            self._running = False
            tasks = [each.task for each in self._watched.values() if each.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._watched.clear()
            await self._refs.close()

    @property
    def watched(self) -> frozenset[int]:
        """The repositories that are looked after here."""
        return frozenset(self._watched)

    async def agree(self) -> None:
        """Watch what the database says is to be watched: another server may have added, changed or removed some."""
        found = {each.id: each for each in await self._repositories.all_of()}
        for repository in found.values():
            watched = self._watched.get(repository.id)
            if watched is None or watched.terms != _terms(repository):
                self.watch(repository)
        for repository_id in self._watched.keys() - found.keys():
            try:
                await self._repositories.get(repository_id)  # it may have been added since
            except NotFound:
                await self.forget(repository_id)

    def watch(self, repository: Repository) -> None:
        """Begin to look after a repository, or look at it anew after a change."""
        if not self._running:
            return
        watched = self._watched.get(repository.id)
        if watched is None or watched.task is None or watched.task.done():
            watched = _Watched(repository.id)
            self._watched[repository.id] = watched
            watched.task = asyncio.create_task(self._follow(watched), name=f"watch {repository.name}")
        watched.terms = _terms(repository)
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

    async def look(self, repository_id: int, noticed_by: str, told: Sequence[RefMove] = ()) -> None:
        """Look at a repository now; returns when a look that began after this call has ended. Raises its error.

        `told`: moves that were made, whatever has become of their refs since.
        """
        if repository_id not in self._watched and self._running:
            await self.agree()  # it was added at another server a moment ago
        watched = self._watched.get(repository_id)
        if watched is None or watched.task is None or watched.task.done():
            raise NotFound("this server does not watch that repository")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watched.waiters.append(done)
        watched.told.extend(told)
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
        """The life of one watcher. Whoever waits for a look is told how it went, also when there is none any more."""
        try:
            await self._look_again_and_again(watched)
        finally:
            _answer(watched.waiters, Unavailable("the repository is no longer watched here; nothing more was stored"))

    async def _look_again_and_again(self, watched: _Watched) -> None:
        """Look, then wait for a notice or the next poll."""
        pause = 0.0
        while True:
            try:
                async with asyncio.timeout(pause):
                    await watched.asked.wait()
            except TimeoutError:
                pass
            watched.asked.clear()
            noticed_by, watched.noticed_by = watched.noticed_by, "poll"
            waiters, watched.waiters = watched.waiters, []
            told, watched.told = watched.told, []
            try:
                pause = await self._look(watched, noticed_by, told, waiters)
            except NotFound as error:
                _answer(waiters, error)
                return  # it was removed
            except asyncio.CancelledError:
                _answer(
                    waiters, Unavailable("the look was broken off: the repository was removed, or the server stops")
                )
                raise
            except Exception as error:
                log.exception("Looking at repository %d failed", watched.repository_id)
                _answer(waiters, Unavailable(f"the repository could not be looked at: {type(error).__name__}: {error}"))
                pause = 5.0
            _answer(waiters, None)

    async def _look(
        self, watched: _Watched, noticed_by: str, told: Sequence[RefMove], waiters: Sequence[asyncio.Future[None]]
    ) -> float:
        """One look; give the seconds until the next one by poll."""
        repository = await self._repositories.get(watched.repository_id)
        if repository.paused_at is not None:
            _answer(waiters, paused(repository))
            return LOCAL_POLL_S
        try:
            await self._take_in(watched, repository, noticed_by, told)
        except MainstayError as error:
            pause = await self._failed(repository, error)
            _answer(waiters, error)  # when it is stored: whoever is told looks there
            return pause
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
        mirrors = self._repositories.mirrors
        if await mirrors.has(repository_id, commit) or repository_id not in self._watched:
            return
        await self.look(repository_id, "poll")
        repository = await self._repositories.get(repository_id)
        if repository.url is not None and not await mirrors.has(repository_id, commit):
            # Its ref was forced elsewhere before this server had a look. Most remotes have it for a long time yet.
            try:
                await mirrors.of(repository_id).bring(
                    repository.url, commit, await self._repositories.access(repository)
                )
            except MainstayError as error:
                log.warning("%s: the commit %s is not to be had any more: %s", repository.name, commit, error)

    async def _take_in(
        self, watched: _Watched, repository: Repository, noticed_by: str, told: Sequence[RefMove]
    ) -> None:
        """Find the moves of a repository's refs and store them with their builds."""
        mirror = self._repositories.mirrors.of(repository.id)
        # Before the refs are looked at: what another server stores meanwhile must not look like a move back.
        known = await self._database.read(repositories.reached, repository.id)
        if repository.url is None and not await self._repositories.mirrors.lives_here(repository.id, known):
            return
        await mirror.create()
        on_machine = repository.url is None or local_path(repository.url) is not None
        access = None if on_machine else await self._repositories.access(repository)
        if repository.url is None:
            seen = await mirror.refs()
        else:
            listed = await mirror.remote_refs(repository.url, access, head=repository.default_ref is None)
            seen = listed.refs
            if listed.head is not None and listed.head != repository.default_ref:
                repository = await self._database.write(repositories.set_default_ref, repository.id, listed.head)
        if repository.url is not None:
            # Not only what is news: another server on this database may have stored it, and brought it to its mirror.
            here = await mirror.refs()
            wants = {ref: sha for ref, sha in seen.items() if here.get(ref) != sha} | dict.fromkeys(here.keys() - seen)
            if wants:
                await mirror.fetch(repository.url, wants, access)
        begun = await self._database.read(repositories.begun, repository.id)
        await self._store_moves(repository, mirror, known, seen, [*begun, *told], noticed_by)
        await self._learn_schedules(watched, repository, mirror, known)

    async def _store_moves(
        self,
        repository: Repository,
        mirror: Mirror,
        known: dict[str, str],
        seen: Mapping[str, str],
        told: Sequence[RefMove],
        noticed_by: str,
    ) -> None:
        """Store the moves that were told of in their order, then those that are seen; last those that a ref has gone
        past without our seeing how: their commits get their builds too. `known` is what is reached, before and after.
        """
        told = [move for move in told if move.new is None or await mirror.commit_of(move.new) is not None]
        ordered, passed = intake_flow.in_order(told, known, repository)
        before = dict(known)
        for move in ordered:
            _move(before, move)
        moves = [*ordered, *intake_flow.moves(before, seen, repository)]
        # The tips of other refs in this look get builds of their own: here they are no backlog.
        tips = {move.new for move in (*moves, *passed) if move.new is not None}
        for move in moves:
            # Also of the refs that are left when a server was killed in the middle of its first look.
            how = "first sight" if repository.seen_at is None and move.old is None else noticed_by
            await self._moves.take(repository, mirror, move, known, tips, how)
            _move(known, move)
        for move in passed:
            if move.new is not None and known.get(move.ref) != move.new:
                await self._moves.take(repository, mirror, move, known, tips, noticed_by)

    async def _learn_schedules(
        self, watched: _Watched, repository: Repository, mirror: Mirror, known: Mapping[str, str]
    ) -> None:
        """Read the schedules when the default branch has moved, and once in the life of a process: the one before may
        have been killed between the move and this.
        """
        ref = default_ref(repository, known)
        if ref is None or known[ref] == watched.learned:
            return
        sha = await mirror.commit_of(known[ref])
        if sha is not None:
            [commit] = await mirror.commits([sha])
            await self._starts.refresh(repository, mirror, commit, RefMove(ref, None, known[ref]))
        watched.learned = known[ref]


def _answer(waiters: Sequence[asyncio.Future[None]], error: MainstayError | None) -> None:
    """Tell those who wait for a look how it went; the first word counts."""
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)


def _move(known: dict[str, str], move: RefMove) -> None:
    if move.new is None:
        known.pop(move.ref, None)
    else:
        known[move.ref] = move.new


def _terms(repository: Repository) -> tuple[object, ...]:
    """What of a repository rules how it is looked at."""
    return (
        repository.url,
        repository.branches,
        repository.commits,
        repository.poll_s,
        repository.paused_at,
        repository.key_public,
    )


def paused(repository: Repository) -> Conflict:
    """What is said to whoever wants a paused repository looked at."""
    return Conflict(f"{repository.name} is paused; resume it with: mainstay repo set {repository.name} --resume")


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
