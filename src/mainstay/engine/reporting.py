"""Judging branches: whether what was found of one has changed; if so the report and its messages, in one transaction.

The turn that ends a build only notes that its branch is to be judged (`to_judge`), so no build waits for git, logs or
recipients. What is noted is struck off in the transaction that stores what followed: killed anywhere before, it is
judged again; two servers that judge at once find that one was quicker, and look anew.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mainstay.engine import findings, subscriptions
from mainstay.engine.clock import Clock
from mainstay.engine.intake import Intake
from mainstay.engine.logs import Logs
from mainstay.engine.repositories import Repositories
from mainstay.engine.wake import Wake
from mainstay.flow import audience
from mainstay.flow import build as build_flow
from mainstay.flow import report as report_flow
from mainstay.flow.report import Seen, Step
from mainstay.git.mirror import Mirror
from mainstay.model.errors import NotFound
from mainstay.model.report import (
    Channel,
    ChannelKind,
    Facts,
    Light,
    NewDelivery,
    ReportKind,
    Standing,
    TestFact,
)
from mainstay.model.repository import branch_of
from mainstay.model.states import BuildState
from mainstay.store import builds, channels, deliveries, reports
from mainstay.store import subscriptions as subscription_store
from mainstay.store.database import Database, Tx
from mainstay.store.reports import Due

LINE = 300
"""Commits of a branch that are looked at from its tip."""
RANGE = 50
"""Commits of a range whose authors are told; a report shows some of them."""
SHOWN = 20
FLAKY = 20
FLAKY_AGAIN = timedelta(days=30)
"""A flaky test is told of again after this."""
SETTLE_S = 0.2
"""Builds end in bursts, and whoever waits for their verdicts goes first: one look for all of them."""
LONGEST_S = 600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mailing:
    """To whom mail may go without their having asked for it."""

    possible: bool = False
    """Whether a mail server is set."""
    author_domains: tuple[str, ...] = ()
    """Authors of commits are written to at these domains only, unless they have an account."""


@dataclass(frozen=True, slots=True)
class Told:
    """One report to be stored, and which tests it speaks of when it is of flaky ones."""

    kind: ReportKind
    facts: Facts
    tests: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be stored of a branch, all or nothing."""

    repository_id: int
    ref: str
    due: tuple[int, ...]
    before: Standing | None = None
    step: Step | None = None
    told_before: tuple[str, ...] = ()
    """Authors who were told of the breakage that is mended now."""
    reports: tuple[Told, ...] = ()
    gone: bool = False


class _Overtaken(Exception):
    """Another server has stored what followed; nothing of this is."""


class Reporting:
    """Judges the branches whose builds have ended."""

    def __init__(
        self,
        database: Database,
        repositories_: Repositories,
        intake: Intake,
        logs: Logs,
        clock: Clock,
        wake: Wake,
        mailing: Mailing,
    ) -> None:
        self._database = database
        self._repositories = repositories_
        self._intake = intake
        self._logs = logs
        self._clock = clock
        self._wake = wake
        self._mailing = mailing

    async def loop(self) -> None:
        """Judge what is to be judged; sleep until more is."""
        with self._wake.watch("reports") as told:
            while True:
                await self.round()
                next_at = await self._database.read(reports.next_due)
                pause = LONGEST_S if next_at is None else (next_at - self._clock.now()).total_seconds()
                await told.wait(min(max(pause, 0.0), LONGEST_S))
                await asyncio.sleep(SETTLE_S)

    async def round(self) -> int:
        """Judge every branch that is due; give how many."""
        branches: dict[tuple[int, str], list[Due]] = {}
        for due in await self._database.read(reports.due, self._clock.now()):
            branches.setdefault((due.repository_id, due.ref), []).append(due)
        for (repository_id, ref), together in branches.items():
            try:
                judged = await self._judge(repository_id, ref, together)
                await self._database.write(_store, judged, self._mailing, self._clock.now())
            except _Overtaken:
                continue
            except Exception:
                log.exception("The branch %s of repository %d could not be judged", ref, repository_id)
                failures = max(each.failures for each in together)
                pause = min(2.0 ** min(failures, 16), LONGEST_S) * (1 + random.random() / 4)  # noqa: S311
                until = self._clock.now() + timedelta(seconds=pause)
                await self._database.write(reports.postpone, [each.id for each in together], until)
        return len(branches)

    async def _judge(self, repository_id: int, ref: str, due: Sequence[Due]) -> Judged:
        judged = Judged(repository_id, ref, tuple(each.id for each in due))
        of_builds = [told for each in due if each.build_id is not None for told in await self._of_build(each)]
        if branch_of(ref) is None:
            return replace(judged, reports=tuple(of_builds))
        tip = await self._database.read(reports.tip, repository_id, ref)
        if tip is None:
            return replace(judged, reports=tuple(of_builds), gone=True)
        await self._intake.ensure(repository_id, tip)
        mirror = self._repositories.mirrors.of(repository_id)
        stood = await self._database.read(reports.standing, repository_id, ref)
        before, told_before = stood or (None, ())
        step, builds_of = await self._step(repository_id, ref, tip, mirror, before)
        of_branch: list[Told] = []
        if step is not None and step.kind is not None:
            facts = await self._facts(mirror, step, before, builds_of[step.standing.commit])
            of_branch.append(Told(step.kind, facts))
        return replace(judged, before=before, step=step, told_before=told_before, reports=(*of_branch, *of_builds))

    async def _step(
        self, repository_id: int, ref: str, tip: str, mirror: Mirror, before: Standing | None
    ) -> tuple[Step | None, dict[str, dict[int, BuildState]]]:
        """How the branch stands now if that is another, and the builds of its commits."""
        tip = await mirror.commit_of(tip) or tip
        gone = before is not None and not await mirror.is_ancestor(before.commit, tip)
        edge = [before.commit] if before is not None and not gone else []
        line = await mirror.new_commits(tip, edge, limit=LINE, first_parent=True)
        asked = [*line, *edge]
        found = await self._database.read(reports.job_states, repository_id, ref, asked)
        states = {
            commit: {build: build_flow.fold(jobs) for build, jobs in of_commit.items()}
            for commit, of_commit in found.items()
        }
        seen = [Seen(commit, _light(states.get(commit))) for commit in line]
        own = _light(states.get(edge[0])) if edge else Light.NONE
        return report_flow.judge(seen, before, own, gone, self._clock.now()), states

    async def _facts(
        self, mirror: Mirror, step: Step, before: Standing | None, of_commit: dict[int, BuildState]
    ) -> Facts:
        """What is told of a branch's change."""
        commit = step.standing.commit
        failed = [build for build, state in of_commit.items() if state == BuildState.FAILED]
        facts = await findings.facts(self._database, self._logs, (failed or list(of_commit))[0])
        again = before is not None and before.commit == commit
        edge = [before.commit] if before is not None else []
        shas = [commit] if before is None or again else await mirror.new_commits(commit, edge, limit=RANGE + 1)
        listed = [findings.commit_fact(each) for each in await mirror.commits(shas[:RANGE])]
        begun = None if before is None else await self._database.read(reports.commit_of, before.report_id)
        return replace(
            facts,
            commits=() if again else tuple(listed),
            commits_total=0 if again else len(shas),
            again=again,
            since_at=before.since_at if before is not None else None,
            first_bad=begun,
        )

    async def _of_build(self, due: Due) -> list[Told]:
        """What is told of a build by itself, if anybody wants to hear it."""
        assert due.build_id is not None
        since = self._clock.now() - FLAKY_AGAIN
        try:
            wanted = await self._database.read(_wanted, due.repository_id, due.build_id, since)
        except NotFound:
            return []  # it was deleted meanwhile
        found: list[Told] = []
        if wanted.kinds or wanted.flaky:
            facts = await findings.facts(self._database, self._logs, due.build_id)
            found = [Told(kind, facts) for kind in wanted.kinds]
            if wanted.flaky:
                tests = tuple(TestFact(findings.cut(name, findings.NAME)) for _, name in wanted.flaky)
                flaky = replace(facts, tests=tests, tests_total=len(tests), jobs=(), jobs_total=0)
                found.append(Told(ReportKind.FLAKY, flaky, tuple(test for test, _ in wanted.flaky)))
        return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    kinds: tuple[ReportKind, ...]
    flaky: tuple[tuple[int, str], ...]


def _wanted(tx: Tx, repository_id: int, build_id: int, since: datetime) -> _Wanted:
    row = builds.get(tx, build_id)
    listening = channels.of_repository(tx, repository_id)
    kinds = []
    wishes = subscriptions.wishes(tx, repository_id) if row.event == "schedule" else []
    if _somebody(listening, ReportKind.FINISHED, row.ref):
        kinds.append(ReportKind.FINISHED)
    asked = audience.of_people(wishes, ReportKind.DIGEST, row.ref)
    if row.event == "schedule" and (asked or _somebody(listening, ReportKind.DIGEST, row.ref)):
        kinds.append(ReportKind.DIGEST)
    flaky = reports.newly_flaky(tx, build_id, since, FLAKY)
    return _Wanted(tuple(kinds), tuple(flaky))


def _somebody(listening: Sequence[Channel], kind: ReportKind, ref: str) -> bool:
    return bool(audience.of_channels(listening, kind, ref))


def _light(of_commit: dict[int, BuildState] | None) -> Light:
    return report_flow.light(of_commit.values()) if of_commit else Light.NONE


def _store(tx: Tx, judged: Judged, mailing: Mailing, now: datetime) -> None:
    """Store what followed from a judgement, unless another server has done so."""
    repository_id, ref = judged.repository_id, judged.ref
    if reports.judged(tx, judged.due) != len(judged.due):
        raise _Overtaken
    if judged.gone:
        reports.forget(tx, repository_id, ref)
    listening = channels.of_repository(tx, repository_id)
    step = judged.step
    for told in judged.reports:
        of_branch = step is not None and told.kind == step.kind
        answers = judged.before.report_id if of_branch and judged.before is not None else None
        shown = replace(told.facts, commits=told.facts.commits[:SHOWN])
        report_id = reports.add(tx, repository_id, told.kind, shown, answers, now)
        if told.tests:
            reports.tell_flaky(tx, told.tests, now)
        wanted = _recipients(tx, judged, told, listening, mailing)
        deliveries.add(tx, report_id, repository_id, wanted, now)
        if step is not None and of_branch and told.kind == ReportKind.BROKEN:
            step = replace(step, standing=replace(step.standing, report_id=report_id))
            reached = {each.recipient for each in wanted if each.kind == ChannelKind.MAIL}
            authors = [each for each in audience.authors(told.facts.commits) if each in reached]
            _stand(tx, judged, step.standing, authors)
            step = None
    if step is not None:
        _stand(tx, judged, step.standing, [] if step.kind == ReportKind.FIXED else None)


def _stand(tx: Tx, judged: Judged, standing: Standing, told: list[str] | None) -> None:
    if not reports.stand(tx, judged.repository_id, judged.ref, judged.before, standing, told):
        raise _Overtaken


def _recipients(
    tx: Tx, judged: Judged, told: Told, listening: Sequence[Channel], mailing: Mailing
) -> list[NewDelivery]:
    wanted = audience.of_channels(listening, told.kind, judged.ref)
    if mailing.possible:
        wanted += audience.of_people(subscriptions.wishes(tx, judged.repository_id), told.kind, judged.ref)
        named = (*judged.told_before, *audience.authors(told.facts.commits))
        known = subscription_store.languages(tx, named)
        authors = audience.of_authors(told.kind, told.facts, judged.told_before, known, mailing.author_domains)
        unwilling = subscription_store.unwilling(tx, [each.recipient for each in authors])
        wanted += [each for each in authors if each.recipient not in unwilling]
    addresses = [each.recipient for each in wanted if each.kind == ChannelKind.MAIL]
    return audience.without_doubles(wanted, channels.refused(tx, addresses, judged.repository_id))
