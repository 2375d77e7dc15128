"""Branches that went red: what is known of each, and what builds and probes say of the commits of its range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from mainstay.model.breakage import OPEN_BREAK, Break, BreakState
from mainstay.model.states import JobState
from mainstay.store.database import Tx
from mainstay.store.dialect import for_update, insert_ignore, parts
from mainstay.store.schema import attempts, break_looks, breaks, builds, jobs, probes, test_figures, test_results, tests

FAILURES = ("failed", "error")
LOOKED_AT = 2000
"""Jobs among which the last good commit is looked for."""
OPEN = tuple(state.value for state in OPEN_BREAK)


def look_later(tx: Tx, build_id: int, ref: str, event: str) -> None:
    """A build has ended: whether it broke or mended its branch, or tells of a search, is looked at on the side."""
    if event == "bisect" or (event == "push" and ref.startswith("refs/heads/")):
        tx.conn.execute(insert_ignore(tx, break_looks).values(build_id=build_id))
        tx.wake("breaks")


def due(tx: Tx, limit: int = 50) -> list[int]:
    """Builds to be looked at, oldest first."""
    return list(tx.conn.execute(select(break_looks.c.build_id).order_by(break_looks.c.build_id).limit(limit)).scalars())


def of_no_consequence(tx: Tx, build_ids: Sequence[int]) -> list[int]:
    """Those of the builds that break nothing, mend nothing and tell of no search: green ones on a green branch."""
    failed = select(jobs.c.id).where(jobs.c.build_id == builds.c.id, jobs.c.state == JobState.FAILED)
    standing = select(breaks.c.id).where(
        breaks.c.repository_id == builds.c.repository_id, breaks.c.ref == builds.c.ref, breaks.c.state.in_(OPEN)
    )
    probe = select(probes.c.build_id).where(probes.c.build_id == builds.c.id)
    query = select(builds.c.id).where(builds.c.id.in_(build_ids), ~failed.exists(), ~standing.exists(), ~probe.exists())
    return list(tx.conn.execute(query.order_by(builds.c.id)).scalars())


def looked(tx: Tx, build_ids: Sequence[int]) -> None:
    """What followed from these builds is stored."""
    tx.conn.execute(delete(break_looks).where(break_looks.c.build_id.in_(build_ids)))


def _break_of(row: Any) -> Break:
    values = dict(row._mapping)
    values["candidates"], values["tests"] = tuple(values["candidates"]), tuple(values["tests"])
    return Break(**{**values, "state": BreakState(values["state"])})


def get(tx: Tx, break_id: int) -> Break | None:
    """One, locked until the transaction ends."""
    row = tx.conn.execute(for_update(tx, select(breaks).where(breaks.c.id == break_id))).first()
    return None if row is None else _break_of(row)


def open_of(tx: Tx, repository_id: int, ref: str | None = None) -> list[Break]:
    """Those of a repository, or of one branch, that are not mended; newest first."""
    query = select(breaks).where(breaks.c.repository_id == repository_id, breaks.c.state.in_(OPEN))
    if ref is not None:
        query = query.where(breaks.c.ref == ref)
    return [_break_of(row) for row in tx.conn.execute(query.order_by(breaks.c.id.desc()).limit(200))]


def page(tx: Tx, repository_id: int, before: int | None, limit: int) -> list[Break]:
    """Those of a repository, newest first."""
    query = select(breaks).where(breaks.c.repository_id == repository_id)
    if before is not None:
        query = query.where(breaks.c.id < before)
    return [_break_of(row) for row in tx.conn.execute(query.order_by(breaks.c.id.desc()).limit(limit))]


def of_build(tx: Tx, repository_id: int, ref: str, commit: str, build_id: int) -> list[Break]:
    """Those that a build's page speaks of: of a probe its own; else those of its branch whose range has its commit."""
    own = select(breaks).join(probes, probes.c.break_id == breaks.c.id).where(probes.c.build_id == build_id)
    found = [_break_of(row) for row in tx.conn.execute(own)]
    query = select(breaks).where(breaks.c.repository_id == repository_id, breaks.c.ref == ref)
    recent = tx.conn.execute(query.order_by(breaks.c.id.desc()).limit(20))
    return found + [each for row in recent if commit in (each := _break_of(row)).candidates]


def add(tx: Tx, new: Break) -> int:
    """Store one; give its id."""
    values = {name: getattr(new, name) for name in breaks.columns.keys() if name != "id"}  # noqa: SIM118
    values |= {"candidates": list(new.candidates), "tests": list(new.tests), "state": new.state.value}
    return int(tx.conn.execute(insert(breaks).values(**values).returning(breaks.c.id)).scalar_one())


def change(tx: Tx, break_id: int, state: BreakState, **values: Any) -> None:
    """Write where a search stands."""
    tx.conn.execute(update(breaks).where(breaks.c.id == break_id).values(state=state.value, **values))


def add_probe(tx: Tx, break_id: int, build_id: int, commit: str) -> None:
    """A build was started for a search."""
    number = select(func.count()).where(probes.c.break_id == break_id).scalar_subquery()
    tx.conn.execute(insert(probes).values(break_id=break_id, number=number, build_id=build_id, commit=commit))


def probe_break(tx: Tx, build_id: int) -> int | None:
    """The break that a build was started for."""
    return tx.conn.execute(select(probes.c.break_id).where(probes.c.build_id == build_id)).scalar()


def count_searching(tx: Tx, repository_id: int) -> int:
    """How many searches of a repository have a probe that runs now."""
    open_job = select(jobs.c.id).where(jobs.c.build_id == probes.c.build_id, jobs.c.state.in_(_OPEN_JOBS)).exists()
    query = (
        select(func.count(breaks.c.id.distinct()))
        .join(probes, probes.c.break_id == breaks.c.id)
        .where(breaks.c.repository_id == repository_id, breaks.c.state == "searching", open_job)
    )
    return int(tx.conn.execute(query).scalar_one())


_OPEN_JOBS = ("waiting", "queued", "running")


@dataclass(frozen=True, slots=True)
class Said:
    """What one job of one build says of a commit."""

    commit: str
    build_id: int
    probe: bool
    state: str
    attempt_id: int | None
    """Its newest attempt."""
    attempt_state: str | None
    exit_code: int | None


_last = select(func.max(attempts.c.number)).where(attempts.c.job_id == jobs.c.id).correlate(jobs).scalar_subquery()
_said = (
    select(
        builds.c.commit,
        builds.c.id,
        builds.c.event,
        jobs.c.state,
        attempts.c.id.label("attempt_id"),
        attempts.c.state.label("attempt_state"),
        attempts.c.exit_code,
    )
    .join(jobs, jobs.c.build_id == builds.c.id)
    .join(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.number == _last), isouter=True)
)


def unit_of(key: str, name: str, matrix: Mapping[str, Any]) -> str:
    """What is looked at as one job. The shards of a divided suite are: a test may move from one to another."""
    if "shard" not in matrix:
        return name
    rest = ", ".join(str(value) for axis, value in matrix.items() if axis != "shard")
    return f"{key} ({rest})" if rest else key


def said_by_builds(tx: Tx, of: Break, commits: Sequence[str]) -> list[Said]:
    """What the branch's own builds say of commits; of a divided suite, each shard by itself."""
    found: list[Said] = []
    for part in parts(commits):
        query = _said.add_columns(jobs.c.name, jobs.c.matrix).where(
            builds.c.repository_id == of.repository_id,
            builds.c.commit.in_(part),
            builds.c.event == "push",
            builds.c.source == of.source,
            jobs.c.key == of.job_key,
        )
        found += [
            _said_of(row) for row in tx.conn.execute(query) if unit_of(of.job_key, row.name, row.matrix) == of.job
        ]
    return found


def said_by_probes(tx: Tx, of: Break) -> list[Said]:
    """What its probes say."""
    query = _said.join(probes, probes.c.build_id == builds.c.id).where(
        probes.c.break_id == of.id, jobs.c.key == of.job_key
    )
    return [_said_of(row) for row in tx.conn.execute(query)]


def _said_of(row: Any) -> Said:
    return Said(row.commit, row.id, row.event == "bisect", row.state, row.attempt_id, row.attempt_state, row.exit_code)


def failed_among(tx: Tx, attempt_ids: Sequence[int], names: Sequence[str]) -> set[int]:
    """Those of the attempts in which any of these tests failed, whatever a rerun said afterwards."""
    found: set[int] = set()
    for part in parts(attempt_ids):
        query = (
            select(test_results.c.attempt_id)
            .join(tests, tests.c.id == test_results.c.test_id)
            .where(test_results.c.attempt_id.in_(part), test_results.c.outcome.in_(FAILURES), tests.c.name.in_(names))
            .distinct()
        )
        found.update(tx.conn.execute(query).scalars())
    return found


def with_results(tx: Tx, attempt_ids: Sequence[int]) -> set[int]:
    """Those of the attempts that reported any test."""
    found: set[int] = set()
    for part in parts(attempt_ids):
        query = select(test_results.c.attempt_id).where(test_results.c.attempt_id.in_(part)).distinct()
        found.update(tx.conn.execute(query).scalars())
    return found


def known_flaky(tx: Tx, repository_id: int, names: Sequence[str]) -> set[str]:
    """Those of the tests that were seen to be flaky within their window."""
    query = (
        select(tests.c.name)
        .join(test_figures, test_figures.c.test_id == tests.c.id)
        .where(tests.c.repository_id == repository_id, tests.c.name.in_(names), test_figures.c.score > 0)
    )
    return set(tx.conn.execute(query).scalars())


def passed_before(tx: Tx, of: Break, limit: int = 10) -> list[str]:
    """Commits of the branch at which the job passed, the newest builds first; of a divided suite, all its shards."""
    query = (
        select(builds.c.commit, builds.c.id, jobs.c.name, jobs.c.matrix, jobs.c.state)
        .join(jobs, jobs.c.build_id == builds.c.id)
        .where(
            builds.c.repository_id == of.repository_id,
            builds.c.ref == of.ref,
            builds.c.event == "push",
            builds.c.source == of.source,
            jobs.c.key == of.job_key,
        )
        .order_by(builds.c.id.desc())
        .limit(LOOKED_AT)
    )
    states: dict[tuple[int, str], set[str]] = {}
    for row in tx.conn.execute(query):
        if unit_of(of.job_key, row.name, row.matrix) == of.job:
            states.setdefault((row.id, row.commit), set()).add(row.state)
    return [commit for (_, commit), found in states.items() if found <= {"passed", "allowed"}][:limit]
