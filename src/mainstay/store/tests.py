"""Tests of a repository and their results: one row per test per attempt."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select

from mainstay.store.database import Tx
from mainstay.store.dialect import insert_ignore
from mainstay.store.schema import test_results, tests


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
    tx.conn.execute(delete(test_results).where(test_results.c.attempt_id == attempt_id))
    digests = {digest_of(result.name): result.name for result in results}
    ids = _ids(tx, repository_id, list(digests))
    missing = [
        {"repository_id": repository_id, "name": name, "digest": digest}
        for digest, name in digests.items()
        if digest not in ids
    ]
    for start in range(0, len(missing), 5000):
        tx.conn.execute(insert_ignore(tx, tests), missing[start : start + 5000])
    if missing:
        ids |= _ids(tx, repository_id, [row["digest"] for row in missing])  # type: ignore[misc]
    rows = [
        {
            "attempt_id": attempt_id,
            "position": position,
            "test_id": ids[digest_of(result.name)],
            "outcome": result.outcome,
            "duration_s": result.duration_s,
            "rerun": result.rerun,
            "details": result.details,
        }
        for position, result in enumerate(results)
    ]
    for start in range(0, len(rows), 5000):
        tx.conn.execute(insert(test_results), rows[start : start + 5000])
    return count(results)


def count(results: Sequence[NewResult]) -> dict[str, int]:
    """Tests by their last outcome in this attempt (a rerun replaces what went before)."""
    last: dict[str, NewResult] = {}
    for result in results:
        before = last.get(result.name)
        if before is None or result.rerun >= before.rerun:
            last[result.name] = result
    counts = Counter(result.outcome for result in last.values())
    return {outcome: counts[outcome] for outcome in ("passed", "failed", "error", "skipped")}


def _ids(tx: Tx, repository_id: int, digests: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(digests), 500):
        query = select(tests.c.digest, tests.c.id).where(
            tests.c.repository_id == repository_id, tests.c.digest.in_(digests[start : start + 500])
        )
        found.update({row.digest: row.id for row in tx.conn.execute(query)})
    return found
