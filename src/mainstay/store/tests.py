"""Tests of a repository and their results: one row per test per attempt.

A report may have 100,000 of them. They are written in parts, each in a transaction of its own, so that others write in
between; the caller acknowledges them when the last part is stored, and a repeat writes the same rows again.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore, parts
from mainstay.store.schema import test_counting, test_results, tests

PART = 400
"""Results that are written in one transaction."""


@dataclass(frozen=True, slots=True)
class NewResult:
    """One test's outcome as it is to be stored. `details` holds what is shown of a test that did not pass."""

    name: str
    outcome: str
    duration_s: float
    rerun: int
    details: dict[str, Any] | None


def digest_of(name: str) -> str:
    """What a test is found by: names may be longer than an index likes."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def put(tx: Tx, repository_id: int, attempt_id: int, results: Sequence[NewResult]) -> dict[str, int]:
    """Store the results of an attempt in place of what was stored before; give the counts by outcome."""
    for start in range(0, len(results), PART):
        put_part(tx, repository_id, attempt_id, start, results[start : start + PART])
    cut(tx, attempt_id, len(results))
    return count(results)


def put_part(tx: Tx, repository_id: int, attempt_id: int, start: int, results: Sequence[NewResult]) -> None:
    """Store some of an attempt's results, from position `start` on, in place of what stands there."""
    own = test_results.c
    tx.conn.execute(
        delete(test_results).where(
            own.attempt_id == attempt_id, own.position >= start, own.position < start + len(results)
        )
    )
    digests = [digest_of(result.name) for result in results]
    ids = _ids(tx, repository_id, digests)
    missing = {
        digest: {"repository_id": repository_id, "name": result.name, "digest": digest}
        for digest, result in zip(digests, results, strict=True)
        if digest not in ids
    }
    if missing:
        tx.conn.execute(insert_ignore(tx, tests), list(missing.values()))
        ids |= _ids(tx, repository_id, list(missing))
    tx.conn.execute(
        insert(test_results),
        [
            {
                "attempt_id": attempt_id,
                "position": start + offset,
                "test_id": ids[digest],
                "outcome": result.outcome,
                "duration_s": result.duration_s,
                "rerun": result.rerun,
                "details": result.details,
            }
            for offset, (digest, result) in enumerate(zip(digests, results, strict=True))
        ],
    )


def cut(tx: Tx, attempt_id: int, length: int) -> None:
    """Delete what an earlier, longer report left behind."""
    tx.conn.execute(
        delete(test_results).where(test_results.c.attempt_id == attempt_id, test_results.c.position >= length)
    )


def count(results: Sequence[NewResult]) -> dict[str, int]:
    """Tests by their last outcome in this attempt (a rerun replaces what went before)."""
    last: dict[str, NewResult] = {}
    for result in results:
        before = last.get(result.name)
        if before is None or result.rerun >= before.rerun:
            last[result.name] = result
    counts = Counter(result.outcome for result in last.values())
    return {outcome: counts[outcome] for outcome in ("passed", "failed", "error", "skipped")}


def failed_names(tx: Tx, attempt_id: int) -> list[str]:
    """The tests whose last try in an attempt failed, in the order they were reported."""
    own = test_results.c
    bad = select(own.test_id).where(own.attempt_id == attempt_id, own.outcome.in_(("failed", "error")))
    query = (
        select(tests.c.name, own.outcome)
        .join(tests, tests.c.id == own.test_id)
        .where(own.attempt_id == attempt_id, own.test_id.in_(bad))
        .order_by(own.position)
    )
    last = {row.name: row.outcome for row in tx.conn.execute(query)}
    return [name for name, outcome in last.items() if outcome in ("failed", "error")]


_any = select(test_results.c.position).where(test_results.c.attempt_id == bindparam("which")).limit(1)


def to_be_counted(tx: Tx, attempt_id: int) -> None:
    """An attempt has ended: its results, if it has any, are to be counted."""
    if tx.conn.execute(_any, {"which": attempt_id}).first() is not None:
        tx.conn.execute(insert_ignore(tx, test_counting).values(attempt_id=attempt_id, position=0))
        tx.wake("tests")


_known = select(tests.c.digest, tests.c.id).where(
    tests.c.repository_id == bindparam("in_repository"), tests.c.digest.in_(bindparam("which", expanding=True))
)


def _ids(tx: Tx, repository_id: int, digests: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts(digests):
        rows = tx.conn.execute(_known, {"in_repository": repository_id, "which": part})
        found.update({row.digest: row.id for row in rows})
    return found
