"""Builds that no push brings: by schedule, and by hand (`workflow_dispatch`)."""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mainstay.engine.begin import begin
from mainstay.engine.clock import Clock
from mainstay.engine.planning import Planner, Startable
from mainstay.engine.repositories import Repositories
from mainstay.engine.wake import Wake
from mainstay.git.mirror import Mirror
from mainstay.model.build import NewBuild
from mainstay.model.errors import BadInput, MainstayError, NotFound
from mainstay.model.person import Actor
from mainstay.model.plan import Json
from mainstay.model.repository import Commit, RefMove, Repository
from mainstay.store import audit, builds, repositories, schedules
from mainstay.store.database import Database, Tx
from mainstay.store.schedules import Scheduled
from mainstay.workflow import cron
from mainstay.workflow.contexts import dispatch_event, schedule_event
from mainstay.workflow.triggers import TriggerEvent

MISSED_COUNTED = 1000
LONGEST_SLEEP_S = 3600.0
"""A clock that was set back or forth is noticed after this at the latest."""
ELSEWHERE_S = 120.0
"""So long a due start is left to other servers while this one has not fetched the commit; then it is told."""
AGAIN_S = 5.0
"""Until what was left to others is looked at again."""

log = logging.getLogger(__name__)


class Starts:
    """Starts workflows of commits that are there already."""

    def __init__(
        self, database: Database, repositories_: Repositories, planner: Planner, clock: Clock, wake: Wake
    ) -> None:
        self._database = database
        self._repositories = repositories_
        self._planner = planner
        self._clock = clock
        self._wake = wake

    async def by_hand(
        self, actor: Actor, name: str, source: str, ref: str | None, inputs: dict[str, Json]
    ) -> list[int]:
        """Start a workflow file at a branch or tag; give the ids of its builds. Raises BadInput with the reason."""
        repository = await self._repositories.by_name(name)
        mirror = self._repositories.mirrors.of(repository.id)
        whole, commit = await self._commit(repository, mirror, ref)
        event = TriggerEvent("workflow_dispatch", whole, inputs=inputs)
        planned = await self._planner.planned(mirror, commit, event)
        plans = [plan for plan in planned.plans if source in (plan.source, plan.workflow)]
        if not plans:
            raise BadInput(f"nothing was started: {_why_not(planned.passed_over, source, whole)}")
        at = self._clock.now()
        occasion = f"{at.isoformat()} {secrets.token_hex(4)}"  # two people may start it within one millisecond
        typed = await self._planner.typed_inputs(mirror, commit, plans[0].source, inputs)
        payload = dispatch_event(ref=whole, inputs=typed, workflow_path=plans[0].source) | {"inputs": typed}
        new = [
            NewBuild(commit.sha, commit.tree, whole, event.name, plan, payload, occasion=occasion, cause=f"by {actor}")
            for plan in plans
        ]
        told = _Told(actor, f"{repository.name}: {plans[0].source} at {whole}", inputs)
        return await self._database.write(_store, repository.id, commit, new, at, told)

    async def startable(self, name: str, ref: str | None) -> tuple[str, Commit, list[Startable]]:
        """What may be started by hand at a branch or tag: its whole name, its commit, the workflows."""
        repository = await self._repositories.by_name(name)
        mirror = self._repositories.mirrors.of(repository.id)
        whole, commit = await self._commit(repository, mirror, ref)
        return whole, commit, await self._planner.startable(mirror, commit)

    async def schedule_loop(self) -> None:
        """Start what is due; sleep until the next is."""
        with self._wake.watch("schedules") as told:
            while True:
                now, left = self._clock.now(), False
                for scheduled in await self._database.read(schedules.due, now):
                    if await self._is_elsewhere(scheduled, now):
                        left = True
                    else:
                        await self._start_due(scheduled, now)
                due = await self._database.read(schedules.next_due)
                pause = LONGEST_SLEEP_S if due is None else (due - self._clock.now()).total_seconds()
                await told.wait(min(max(pause, AGAIN_S if left else 0.05), LONGEST_SLEEP_S))

    async def _is_elsewhere(self, scheduled: Scheduled, now: datetime) -> bool:
        """Whether to leave a due start to another server on this database, which has its commit."""
        if scheduled.next_at is None or (now - scheduled.next_at).total_seconds() > ELSEWHERE_S:
            return False
        repository = await self._repositories.get(scheduled.repository_id)
        reached = await self._database.read(repositories.reached, repository.id)
        ref = default_ref(repository, reached)
        return ref is not None and not await self._repositories.mirrors.has(repository.id, reached[ref])

    async def _start_due(self, scheduled: Scheduled, now: datetime) -> None:
        """Run a schedule once, however often it was missed, and move it on in the same transaction: a server that is
        killed before starts it again. A failure is told and not repeated.
        """
        line = cron.parse(scheduled.cron)
        missed = 0 if scheduled.next_at is None else _missed(line, scheduled.next_at, now)
        occasion, cause = (scheduled.next_at or now).isoformat(), f"scheduled: {scheduled.cron}"
        await self._start(scheduled, occasion, cause, _Step(now, cron.next_after(line, now), missed))

    async def scheduled_now(self, actor: Actor, name: str, source: str, text: str) -> int:
        """Start a schedule out of turn; give the id of its build. Raises NotFound, BadInput with the reason."""
        repository = await self._repositories.by_name(name)
        scheduled = await self._database.read(schedules.find, repository.id, source, text)
        if scheduled is None:
            raise NotFound(f"{name} has no schedule {text[:200]!r} in {source[:200]!r}")
        now = self._clock.now()
        told = _Told(actor, f"{name}: {source} as scheduled ({text})", {})
        occasion, cause = f"by {actor.name} {now.isoformat()}", f"the schedule {text} was started by {actor}"
        build_id, reason = await self._start(scheduled, occasion, cause, _Step(now, None, scheduled.missed), told)
        if build_id is None:
            raise BadInput(f"nothing was started: {reason}")
        return build_id

    async def _start(
        self,
        scheduled: Scheduled,
        occasion: str,
        cause: str,
        step: "_Step",
        told: "_Told | None" = None,
    ) -> tuple[int | None, str | None]:
        """Plan and store a schedule's build and keep what came of it: the build's id, or why there is none."""
        try:
            repository = await self._repositories.get(scheduled.repository_id)
            if repository.paused_at is not None and told is None:  # A person may still start it.
                reason = "the repository is paused"
                await self._database.write(_store_nothing, scheduled, reason, step, told)
                return None, reason
            mirror = self._repositories.mirrors.of(repository.id)
            whole, commit = await self._commit(repository, mirror, None)
            event = TriggerEvent("schedule", whole, schedule=scheduled.cron)
            planned = await self._planner.planned(mirror, commit, event)
        except Exception as error:
            log.exception("The schedule %s of %s could not be started", scheduled.cron, scheduled.source)
            reason = error.message if isinstance(error, MainstayError) else f"{type(error).__name__}: {error}"
            await self._database.write(_store_nothing, scheduled, reason, step, told)
            return None, reason
        new = [
            NewBuild(
                commit.sha,
                commit.tree,
                whole,
                "schedule",
                plan,
                schedule_event(scheduled.cron),
                occasion=f"{scheduled.cron} {occasion}"[-100:],
                cause=cause,
            )
            for plan in planned.plans
            if plan.source == scheduled.source
        ]
        if not new:
            reason = planned.passed_over.get(scheduled.source) or f"the file is no longer there at {whole}"
            await self._database.write(_store_nothing, scheduled, reason, step, told)
            return None, reason
        return await self._database.write(_store_scheduled, scheduled, commit, new, step, told), None

    async def refresh(self, repository: Repository, mirror: Mirror, commit: Commit, at: RefMove) -> None:
        """Learn the schedules of a default branch's tip, unless the branch has moved on from there."""
        now = self._clock.now()
        found = {
            (source, text): cron.next_after(cron.parse(text), now)
            for source, text in await self._planner.schedules(mirror, commit)
        }
        known = await self._database.read(schedules.of_repository, repository.id)
        if {(each.source, each.cron) for each in known} != found.keys():
            await self._database.write(_learn, repository.id, at, found)

    async def _commit(self, repository: Repository, mirror: Mirror, ref: str | None) -> tuple[str, Commit]:
        """A ref's whole name and the commit it stands at; without a ref the default branch."""
        reached = await self._database.read(repositories.reached, repository.id)
        whole = default_ref(repository, reached) if ref is None else _whole(ref, reached)
        if whole is None or whole not in reached:
            raise NotFound(f"{repository.name} has no branch or tag {(ref or 'that is the default')[:200]!r}")
        if not self._repositories.mirrors.path_of(repository.id).exists():
            raise NotFound(f"{repository.name} was not fetched to this server yet")
        sha = await mirror.commit_of(reached[whole])
        if sha is None:
            raise NotFound(f"{whole} of {repository.name} is not a commit")
        [commit] = await mirror.commits([sha])
        return whole, commit


def _why_not(passed_over: dict[str, str], source: str, whole: str) -> str:
    """Why nothing was started. Only those that start have a known name: the others are told by their files."""
    if source in passed_over:
        return passed_over[source]
    others = "; ".join(f"{path}: {reason}" for path, reason in list(passed_over.items())[:5])
    return f"no workflow at {whole} that starts by hand is called {source[:200]!r}" + (f"; {others}" if others else "")


def default_ref(repository: Repository, reached: Mapping[str, str]) -> str | None:
    """The branch that schedules run on: the remote's own default, else `main`, `master`, or the only one."""
    candidates = [repository.default_ref, "refs/heads/main", "refs/heads/master"]
    for ref in candidates:
        if ref is not None and ref in reached:
            return ref
    branches = [ref for ref in reached if ref.startswith("refs/heads/")]
    return branches[0] if len(branches) == 1 else None


def _whole(ref: str, reached: dict[str, str]) -> str:
    names = (ref, f"refs/heads/{ref}", f"refs/tags/{ref}")
    return next((name for name in names if name in reached), ref)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the audit trail says of a start by hand."""

    actor: Actor
    subject: str
    inputs: dict[str, Json]


@dataclass(frozen=True, slots=True)
class _Step:
    """What a start does to its schedule."""

    at: datetime
    next_at: datetime | None
    """When it is due next. A start by a person (`_Told`) does not move it."""
    missed: int


def _missed(line: cron.Cron, due: datetime, now: datetime) -> int:
    """How many more times than once it was due by now, counted up to a limit."""
    count, at = 0, cron.next_after(line, due)
    while at is not None and at <= now and count < MISSED_COUNTED:
        count, at = count + 1, cron.next_after(line, at)
    return count


def _learn(tx: Tx, repository_id: int, at: RefMove, found: dict[tuple[str, str], datetime | None]) -> None:
    repositories.lock(tx, repository_id)
    if repositories.reached(tx, repository_id).get(at.ref) == at.new:  # else whoever moved it learns them
        schedules.replace(tx, repository_id, found)


def _store_scheduled(
    tx: Tx, scheduled: Scheduled, commit: Commit, new: list[NewBuild], step: _Step, told: _Told | None
) -> int | None:
    if told is None and not schedules.ran(tx, scheduled, step.at, step.next_at):
        return None  # another server was quicker
    made = _store(tx, scheduled.repository_id, commit, new, step.at, told)
    reason = None if made else "a build of this commit and this time was there already"
    schedules.came_of_it(tx, scheduled, made[0] if made else scheduled.build_id, reason, step.missed)
    return made[0] if made else None


def _store_nothing(tx: Tx, scheduled: Scheduled, reason: str, step: _Step, told: _Told | None) -> None:
    if told is not None or schedules.ran(tx, scheduled, step.at, step.next_at):
        schedules.came_of_it(tx, scheduled, None, reason, step.missed)


def _store(
    tx: Tx, repository_id: int, commit: Commit, new: list[NewBuild], now: datetime, told: _Told | None = None
) -> list[int]:
    if told is not None:
        names = f"inputs: {', '.join(sorted(told.inputs))}" if told.inputs else ""
        audit.add(tx, told.actor, "workflow.start", told.subject, now, detail=names, repository_id=repository_id)
    repositories.keep_commits(tx, repository_id, [commit])
    added = builds.add(tx, repository_id, None, new, now)
    for build_id, build in added:
        begin(tx, build_id, build.plan, build.cause, now)
    return [build_id for build_id, _ in added]
