"""Branches as they were last found, and the reports that were made when that changed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, func, insert, select, update

from mainstay.model.report import Facts, Light, Report, ReportKind, Standing
from mainstay.model.states import JobState
from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore, parts
from mainstay.store.schema import (
    attempts,
    builds,
    flaky_told,
    jobs,
    refs,
    reports,
    repositories,
    standings,
    test_results,
    tests,
    to_judge,
)

EVENT = "push"
"""Builds of this event say how a branch stands. A scheduled build is told of by itself."""
BATCH = 200

_due = insert(to_judge)  # made once: it is executed at each build's end


@dataclass(frozen=True, slots=True)
class Due:
    """A branch that is to be judged; `build_id` says which build's end made it so."""

    id: int
    repository_id: int
    ref: str
    build_id: int | None
    failures: int


def judge_later(tx: Tx, repository_id: int, ref: str, build_id: int | None, now: datetime) -> None:
    """Have a branch judged: one of its builds has ended, or it was moved."""
    tx.conn.execute(_due, {"repository_id": repository_id, "ref": ref, "build_id": build_id, "due_at": now})
    tx.wake("reports")


def due(tx: Tx, now: datetime) -> list[Due]:
    """What is to be judged now, oldest first."""
    query = (
        select(to_judge.c.id, to_judge.c.repository_id, to_judge.c.ref, to_judge.c.build_id, to_judge.c.failures)
        .join(repositories, repositories.c.id == to_judge.c.repository_id)
        .where(to_judge.c.due_at <= now, repositories.c.removed_at.is_(None))
        .order_by(to_judge.c.id)
        .limit(BATCH)
    )
    return [Due(*row) for row in tx.conn.execute(query)]


def next_due(tx: Tx) -> datetime | None:
    """When the next branch of a watched repository is due."""
    query = select(func.min(to_judge.c.due_at)).join(repositories, repositories.c.id == to_judge.c.repository_id)
    return tx.conn.execute(query.where(repositories.c.removed_at.is_(None))).scalar()


def judged(tx: Tx, ids: Collection[int]) -> int:
    """Strike off what was judged; give how many were still there."""
    return sum(tx.conn.execute(delete(to_judge).where(to_judge.c.id.in_(part))).rowcount for part in parts(sorted(ids)))


def postpone(tx: Tx, ids: Collection[int], until: datetime) -> None:
    """Judge them later: something that is needed could not be had."""
    later = update(to_judge).where(to_judge.c.id.in_(sorted(ids)))
    tx.conn.execute(later.values(due_at=until, failures=to_judge.c.failures + 1))


def tip(tx: Tx, repository_id: int, ref: str) -> str | None:
    """Where a branch stands in git; None: it is gone."""
    query = select(refs.c.commit).where(refs.c.repository_id == repository_id, refs.c.name == ref)
    return tx.conn.execute(query).scalar()


def standing(tx: Tx, repository_id: int, ref: str) -> tuple[Standing, tuple[str, ...]] | None:
    """What was last found of a branch, and the addresses that were told of its breakage."""
    row = tx.conn.execute(select(standings).where(*_branch(repository_id, ref))).first()
    if row is None:
        return None
    found = Standing(Light(row.light), row.commit, row.since_at, row.told_at, row.report_id)
    return found, tuple(row.told)


def _branch(repository_id: int, ref: str) -> tuple[Any, ...]:
    return standings.c.repository_id == repository_id, standings.c.ref == ref


def stand(
    tx: Tx, repository_id: int, ref: str, before: Standing | None, after: Standing, told: Sequence[str] | None = None
) -> bool:
    """Keep how a branch stands now; False when it does not stand as `before` any more: another server was quicker."""
    values: dict[str, object] = {
        "light": after.light.value,
        "commit": after.commit,
        "since_at": after.since_at,
        "told_at": after.told_at,
        "report_id": after.report_id,
    }
    if told is not None:
        values["told"] = list(told)
    if before is None:
        row: dict[str, object] = {"repository_id": repository_id, "ref": ref, "told": [], **values}
        return tx.conn.execute(insert_ignore(tx, standings).values(row)).rowcount == 1
    unchanged = (
        standings.c.light == before.light.value,
        standings.c.commit == before.commit,
        standings.c.told_at.is_(None) if before.told_at is None else standings.c.told_at == before.told_at,
    )
    moved = update(standings).where(*_branch(repository_id, ref), *unchanged).values(**values)
    return tx.conn.execute(moved).rowcount == 1


def forget(tx: Tx, repository_id: int, ref: str) -> None:
    """A branch is gone; one that comes back under its name begins anew."""
    tx.conn.execute(delete(standings).where(*_branch(repository_id, ref)))


def job_states(
    tx: Tx, repository_id: int, ref: str, commits: Sequence[str]
) -> dict[str, dict[int, tuple[JobState, ...]]]:
    """The states that jobs of these commits' builds on a branch are in, by commit and build."""
    found: dict[str, dict[int, tuple[JobState, ...]]] = {}
    for part in parts(commits):
        query = (
            select(builds.c.commit, builds.c.id, jobs.c.state)
            .join(jobs, jobs.c.build_id == builds.c.id)
            .where(
                builds.c.repository_id == repository_id,
                builds.c.commit.in_(part),
                builds.c.ref == ref,
                builds.c.event == EVENT,
            )
            .distinct()
            .order_by(builds.c.id)
        )
        for commit, build_id, state in tx.conn.execute(query):
            of_build = found.setdefault(commit, {})
            of_build[build_id] = (*of_build.get(build_id, ()), JobState(state))
    return found


def add(tx: Tx, repository_id: int, kind: ReportKind, facts: Facts, answers: int | None, now: datetime) -> int:
    """Store a report and give its id."""
    values = {
        "repository_id": repository_id,
        "kind": kind.value,
        "at": now,
        "answers": answers,
        "facts": msgspec.to_builtins(facts),
    }
    report_id: int = tx.conn.execute(insert(reports).values(**values).returning(reports.c.id)).scalar_one()
    return report_id


def of_row(row: Any) -> Report:
    """A report from its row, which may have been joined to others."""
    facts = msgspec.convert(row.facts, Facts)
    return Report(row.report_id, row.repository_id, ReportKind(row.report_kind), row.at, facts, row.answers)


columns = (
    reports.c.id.label("report_id"),
    reports.c.repository_id,
    reports.c.kind.label("report_kind"),
    reports.c.at,
    reports.c.answers,
    reports.c.facts,
)


def commit_of(tx: Tx, report_id: int | None) -> str | None:
    """The commit that a report is about."""
    facts = tx.conn.execute(select(reports.c.facts).where(reports.c.id == report_id)).scalar()
    return facts["commit"]["sha"] if facts and facts.get("commit") else None


def newest(tx: Tx, repository_id: int, before: int | None, limit: int) -> list[Report]:
    """The reports of a repository, newest first."""
    query = select(*columns).where(reports.c.repository_id == repository_id)
    if before is not None:
        query = query.where(reports.c.id < before)
    return [of_row(row) for row in tx.conn.execute(query.order_by(reports.c.id.desc()).limit(limit))]


def newly_flaky(tx: Tx, build_id: int, since: datetime, limit: int) -> list[tuple[int, str]]:
    """Tests of a build with both outcomes on its tree, as far as they were not told of since then: id and name.

    Only tests that did not pass somewhere in this build or whose tree was tested before can be; the query begins with
    the attempts of the builds that had this tree.
    """
    here = select(builds.c.repository_id, builds.c.tree).where(builds.c.id == build_id).subquery()
    same = (
        select(attempts.c.id)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(builds, builds.c.id == jobs.c.build_id)
        .where(builds.c.repository_id == here.c.repository_id, builds.c.tree == here.c.tree)
    )
    bad = (
        select(test_results.c.test_id)
        .where(test_results.c.attempt_id.in_(same), test_results.c.outcome.in_(("failed", "error")))
        .distinct()
        .limit(1000)
        .subquery()
    )
    good = select(test_results.c.test_id).where(
        test_results.c.test_id == bad.c.test_id,
        test_results.c.attempt_id.in_(same),
        test_results.c.outcome == "passed",
    )
    told = select(flaky_told.c.test_id).where(flaky_told.c.test_id == bad.c.test_id, flaky_told.c.at >= since)
    query = (
        select(tests.c.id, tests.c.name)
        .join(bad, bad.c.test_id == tests.c.id)
        .where(good.exists(), ~told.exists())
        .order_by(tests.c.id)
        .limit(limit)
    )
    return [(row.id, row.name) for row in tx.conn.execute(query)]


def tell_flaky(tx: Tx, test_ids: Iterable[int], now: datetime) -> None:
    """Keep that these tests were told of."""
    ids = sorted(test_ids)
    tx.conn.execute(delete(flaky_told).where(flaky_told.c.test_id.in_(ids)))
    tx.conn.execute(insert(flaky_told), [{"test_id": test_id, "at": now} for test_id in ids])


def old(tx: Tx, before: datetime, limit: int = 500) -> int:
    """Delete reports from before then with their deliveries; give how many."""
    chosen = select(reports.c.id).where(reports.c.at < before).order_by(reports.c.id).limit(limit)
    return tx.conn.execute(delete(reports).where(reports.c.id.in_(chosen))).rowcount
