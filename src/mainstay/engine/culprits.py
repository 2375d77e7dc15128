"""Finding out who broke a branch: opens a search when one goes red, starts its probes, closes it when it is green.

All of it is on the side: a build that ends only notes that it is to be looked at. Each step is stored in one
transaction that looks at everything again; killed anywhere, the next look goes on.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mainstay.engine import unfold
from mainstay.engine.begin import begin
from mainstay.engine.clock import Clock
from mainstay.engine.intake import Intake
from mainstay.engine.repositories import Repositories
from mainstay.engine.wake import Wake
from mainstay.flow import culprit, quarantine
from mainstay.flow.culprit import MAX_CANDIDATES, MAX_TESTS, Answer, Decision, Flaky, Name, Probe, Range, Search, Wait
from mainstay.git.mirror import Mirror
from mainstay.model.breakage import Break, BreakState
from mainstay.model.build import NewBuild
from mainstay.model.errors import MainstayError, NotFound
from mainstay.model.job import Job
from mainstay.model.plan import Matrix, Plan, PlannedJob
from mainstay.model.repository import Commit
from mainstay.model.states import OPEN_JOB, JobState
from mainstay.store import breaks, builds, jobs, plans, repositories, tests
from mainstay.store.breaks import Said
from mainstay.store.builds import BuildRow
from mainstay.store.database import Database, Tx

PRIORITY = -2000
"""Below everybody's backlog."""
ORDER = (Answer.BAD, Answer.OPEN, None, Answer.VOID)
"""Of the shards of a divided suite the first of these decides; good is what all of them call good."""
AT_ONCE = 2
"""Searches of one repository that have a probe running."""
GREEN = frozenset({JobState.PASSED, JobState.ALLOWED})
SAYS_NOTHING = frozenset({"lost", "broken", "timed_out"})
"""Ends of an attempt that say nothing about the code."""
MAX_NAME = 4000
SETTLE_S = 0.2
"""Builds end in bursts, and whoever waits for their verdicts goes first: one look for all of them."""

log = logging.getLogger(__name__)


class Culprits:
    """Looks at builds that have ended."""

    def __init__(
        self, database: Database, repositories_: Repositories, intake: Intake, clock: Clock, wake: Wake
    ) -> None:
        self._intake = intake
        self._database = database
        self._repositories = repositories_
        self._clock = clock
        self._wake = wake

    async def loop(self) -> None:
        """Look at what has ended; sleep until more has."""
        with self._wake.watch("breaks") as told:
            while True:
                await self.round()
                await told.wait()
                await asyncio.sleep(SETTLE_S)

    async def round(self) -> None:
        """Look at all that have ended. Of most nothing follows: those are struck off together."""
        while due := await self._database.read(breaks.due):
            idle = await self._database.read(breaks.of_no_consequence, due)
            if idle:
                await self._database.write(breaks.looked, idle)
            for build_id in due:
                if build_id not in idle:
                    await self._look_safely(build_id)

    async def _look_safely(self, build_id: int) -> None:
        """A look that fails is told and not repeated: the next build of the branch is looked at anew."""
        try:
            await self.look(build_id)
        except MainstayError as error:
            log.warning("Who broke the branch of build %d could not be found out: %s", build_id, error)
        except Exception:
            log.exception("Who broke the branch of build %d could not be found out", build_id)
        await self._database.write(breaks.looked, [build_id])

    async def look(self, build_id: int) -> None:
        """What a build that has ended means for its branch."""
        for new in await self._database.write(_take_in, build_id, self._clock.now()):
            await self._open(new)
        for break_id in await self._database.read(_to_advance, build_id):
            await self.advance(break_id)

    async def _open(self, new: Break) -> None:
        """Find the range of a job that went red, and store it; nothing where the branch was never green."""
        mirror = self._repositories.mirrors.of(new.repository_id)
        [bad] = new.candidates
        await self._intake.ensure(new.repository_id, bad)  # another server may have taken it in
        before = await self._database.read(breaks.passed_before, new)
        for good in dict.fromkeys(before):
            if good != bad and await _is_before(mirror, good, bad):
                line = await mirror.new_commits(bad, [good], limit=MAX_CANDIDATES + 1, first_parent=True)
                whole = replace(new, good=good, candidates=tuple(reversed(line)))
                if 0 < len(line) <= MAX_CANDIDATES:
                    await self._database.write(_store, whole)
                return

    async def advance(self, break_id: int) -> None:
        """Do what follows from what is known of a search."""
        decision = await self._database.write(_decide, break_id, self._clock.now())
        if isinstance(decision, Probe):
            found = await self._database.read(_repository_of, break_id)
            await self._intake.ensure(found, decision.commit)
            [commit] = await self._repositories.mirrors.of(found).commits([decision.commit])
            await self._database.write(_start, break_id, decision, commit, self._clock.now())


async def _is_before(mirror: Mirror, old: str, new: str) -> bool:
    try:
        return await mirror.is_ancestor(old, new)
    except MainstayError:
        return False  # it was forgotten: the branch was rewritten


def _repository_of(tx: Tx, break_id: int) -> int:
    found = breaks.get(tx, break_id)
    if found is None:
        raise NotFound(f"there is no search {break_id}")
    return found.repository_id


def _take_in(tx: Tx, build_id: int, now: datetime) -> list[Break]:
    """Close what a push's build has mended; give what it has broken, with its range not yet known."""
    row = builds.get(tx, build_id)
    if row.event != "push":
        return []
    standing = breaks.open_of(tx, row.repository_id, row.ref)
    by_job = {(each.source, each.job): each for each in standing}
    new = []
    units: dict[str, list[Job]] = defaultdict(list)
    for job in jobs.of_build(tx, build_id):
        units[_unit(job)].append(job)
    for unit, found in units.items():
        known = by_job.get((row.source, unit))
        failed = [job for job in found if job.state is JobState.FAILED and job.attempts]
        if known is not None:
            green = all(job.state in GREEN for job in found)
            if green and row.commit not in known.candidates and build_id > known.build_id:
                breaks.change(tx, known.id, BreakState.MENDED, ended_at=now)
        elif failed:
            broken = _broken_by(tx, row, unit, failed, now)
            if not _green_since(tx, row, broken):
                new.append(broken)
    return new


def _unit(job: Job) -> str:
    return breaks.unit_of(job.key, job.name, job.matrix)


def _green_since(tx: Tx, row: BuildRow, broken: Break) -> bool:
    """Whether the branch's tip is green already: an older commit's failure breaks nothing then."""
    tip = repositories.reached(tx, row.repository_id).get(row.ref)
    return tip != row.commit and tip in breaks.passed_before(tx, broken)


def _broken_by(tx: Tx, row: BuildRow, unit: str, broken: Sequence[Job], now: datetime) -> Break:
    """A job that went red; of a divided suite, by the failed tests of all its shards."""
    entries = plans.get(tx, row.plan).quarantine
    job = broken[0]
    failed = [name for each in broken for name in tests.failed_names(tx, each.attempts[-1].id)]
    named = [name for name in failed if quarantine.entry_for(entries, name) is None and len(name) < MAX_NAME]
    flaky = breaks.known_flaky(tx, row.repository_id, named[:MAX_TESTS])
    steady = [name for name in named if name not in flaky]
    return Break(
        id=0,
        repository_id=row.repository_id,
        ref=row.ref,
        source=row.source,
        job=unit,
        job_key=job.key,
        build_id=row.id,
        good="",
        candidates=(row.commit,),
        tests=tuple((steady or named)[:MAX_TESTS]),
        suspect=bool(named) and not steady,
        state=BreakState.SEARCHING,
        reason=None,
        culprit=None,
        opened_at=job.attempts[-1].finished_at or now,
        named_at=None,
        ended_at=None,
    )


def _store(tx: Tx, new: Break) -> None:
    repositories.lock(tx, new.repository_id)  # another server may have looked at the same build
    standing = breaks.open_of(tx, new.repository_id, new.ref)
    if not any((each.source, each.job) == (new.source, new.job) for each in standing):
        breaks.add(tx, new)


def _to_advance(tx: Tx, build_id: int) -> list[int]:
    """The searches of which a build may tell something."""
    row = builds.get(tx, build_id)
    own = breaks.probe_break(tx, build_id)
    found = breaks.open_of(tx, row.repository_id)
    if own is not None:  # a place became free: others of the repository may go on too
        return [each.id for each in found if each.state is BreakState.SEARCHING]
    return [each.id for each in found if each.state is BreakState.SEARCHING and each.ref == row.ref]


def _decide(tx: Tx, break_id: int, now: datetime) -> Decision | None:
    """Store what can be said by now; give the decision."""
    found = breaks.get(tx, break_id)
    if found is None or found.state is not BreakState.SEARCHING:
        return None
    decision, cancelled = _planned(tx, found)
    if cancelled:
        breaks.change(tx, break_id, BreakState.CANCELLED, reason="one of its tests was cancelled", named_at=now)
        return None
    match decision:
        case Name(commit):
            breaks.change(tx, break_id, BreakState.NAMED, culprit=commit, reason=None, named_at=now)
        case Range(commits, reason):
            words = f"one of {len(commits)} commits: {reason}"
            breaks.change(tx, break_id, BreakState.RANGE, candidates=list(commits), reason=words, named_at=now)
        case Flaky(reason):
            breaks.change(tx, break_id, BreakState.FLAKY, reason=reason, named_at=now)
        case Wait(reason):
            breaks.change(tx, break_id, BreakState.SEARCHING, reason=reason)
        case Probe(_, reason) if breaks.count_searching(tx, found.repository_id) >= AT_ONCE:
            breaks.change(tx, break_id, BreakState.SEARCHING, reason="other searches of the repository go first")
            return None
    tx.wake(f"build:{found.build_id}")
    return decision


def _planned(tx: Tx, found: Break) -> tuple[Decision, bool]:
    """The next decision, and whether a person has cancelled a probe."""
    line = (found.good, *found.candidates)
    probes = breaks.said_by_probes(tx, found)
    answers = _answers(tx, found, [*breaks.said_by_builds(tx, found, line), *probes])
    cancelled = any(said.state == JobState.CANCELLED for said in probes)
    may_probe = bool(found.tests) and repositories.may_bisect(tx, found.repository_id)
    known = {sha: given for sha, given in answers.items() if given}
    search = Search(found.good, found.candidates, known, len(probes), may_probe, found.suspect)
    return culprit.plan(search), cancelled


def _answers(tx: Tx, found: Break, said: Sequence[Said]) -> dict[str, list[Answer]]:
    """What is said of each commit. Cancelled, skipped and neutral jobs say nothing, as if it was not tested."""
    ended = [each.attempt_id for each in said if each.attempt_id is not None]
    bad = breaks.failed_among(tx, ended, found.tests) if found.tests else set()
    told = breaks.with_results(tx, ended)
    answers: dict[str, list[Answer]] = defaultdict(list)
    by_build: dict[tuple[str, int], list[Answer | None]] = defaultdict(list)
    for each in said:
        by_build[each.commit, each.build_id].append(_answer(found, each, bad, told))
    for (commit, _), given in by_build.items():
        answer = next((word for word in ORDER if word in given), Answer.GOOD)
        if answer is not None:
            answers[commit].append(answer)
    return answers


def _answer(found: Break, said: Said, bad: set[int], told: set[int]) -> Answer | None:
    state = JobState(said.state)
    if state in OPEN_JOB:
        return Answer.OPEN
    if state in (JobState.CANCELLED, JobState.SKIPPED, JobState.NEUTRAL):
        return Answer.VOID if said.probe else None
    if not found.tests:
        return Answer.GOOD if state in GREEN else Answer.BAD
    if said.attempt_id in bad:
        return Answer.BAD
    if state is JobState.PASSED:
        return Answer.GOOD
    if said.attempt_state in SAYS_NOTHING:
        return Answer.VOID
    # It failed by something else: that says of these tests that they are good only where they have been reached.
    no_such_tests = said.probe and said.exit_code == 5  # pytest and unittest: nothing was left to run
    reached = not said.probe and said.attempt_id in told
    return Answer.GOOD if no_such_tests or reached or state is JobState.ALLOWED else Answer.VOID


def _start(tx: Tx, break_id: int, probe: Probe, commit: Commit, now: datetime) -> None:
    """Start a probe, if it is still what follows."""
    found = breaks.get(tx, break_id)
    if found is None or found.state is not BreakState.SEARCHING or _planned(tx, found)[0] != probe:
        return
    row = builds.get(tx, found.build_id)
    repositories.keep_commits(tx, found.repository_id, [commit])
    number = len(breaks.said_by_probes(tx, found)) + 1
    words = f"{number}. test for the culprit of {row.repository}#{row.number}: {probe.reason}"
    new = NewBuild(
        commit=commit.sha,
        tree=commit.tree,
        ref=found.ref.replace("refs/heads/", "refs/bisect/", 1),
        event="bisect",
        plan=probe_plan(tx, row, found),
        payload=row.payload,
        priority=PRIORITY,
        trusted=row.trusted,
        occasion=f"break {break_id} probe {number}",
        cause=words,
    )
    for build_id, build in builds.add(tx, found.repository_id, None, [new], now):
        breaks.add_probe(tx, break_id, build_id, commit.sha)
        begin(tx, build_id, build.plan, build.cause, now)
        breaks.change(tx, break_id, BreakState.SEARCHING, reason=f"tests {commit.sha[:8]}, {probe.reason}")
        tx.wake("queue")


def probe_plan(tx: Tx, row: BuildRow, found: Break) -> Plan:
    """The job that failed and those it needs, as the build that showed it had them, with the failing tests only.

    What comes after the step that failed is left out: it is not for old commits (and may publish what it is given).
    """
    plan = plans.get(tx, row.plan)
    own = [each for each in jobs.of_build(tx, row.id) if _unit(each) == found.job]
    job = next((each for each in own if each.state is JobState.FAILED), own[0] if own else None)
    target = unfold.planned(plan, found.job_key)
    failed = [step.number for step in job.attempts[-1].steps if step.state == "failed"] if job and job.attempts else []
    last = failed[0] if failed else len(target.steps)
    wanted = {target.key}
    for _ in plan.jobs:
        wanted |= {key for each in plan.jobs if each.key in wanted for key in each.needs}
    matrix = None if job is None or not job.matrix else Matrix(include=[job.matrix])
    only = replace(
        target,
        steps=target.steps[:last],
        matrix=matrix,
        condition=None,
        concurrency=None,
        environment=None,
        only_tests=found.tests,
    )
    chosen = tuple(only if each.key == target.key else _plain(each) for each in plan.jobs if each.key in wanted)
    return replace(plan, jobs=chosen, concurrency=None, quarantine=())


def _plain(job: PlannedJob) -> PlannedJob:
    return replace(job, concurrency=None, environment=None)
