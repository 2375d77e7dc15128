"""Deleting what the retention rules no longer keep, a bounded number of rows at a time."""

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select

from mainstay.store import throttles
from mainstay.store.database import Tx
from mainstay.store.schema import (
    artifacts,
    attempts,
    audit,
    builds,
    caches,
    events,
    jobs,
    log_pieces,
    repositories,
    test_days,
    test_results,
    tests,
    tokens,
)

BATCH = 500
PASSING = ("session", "signin", "device", "openid")


def old_builds(tx: Tx, before: datetime, limit: int = BATCH) -> int:
    """Delete builds created before then that have ended; give how many."""
    open_job = exists().where(jobs.c.build_id == builds.c.id, jobs.c.state.in_(("waiting", "queued", "running")))
    chosen = select(builds.c.id).where(builds.c.created_at < before, ~open_job).order_by(builds.c.id).limit(limit)
    return tx.conn.execute(delete(builds).where(builds.c.id.in_(chosen))).rowcount


def old_logs(tx: Tx, before: datetime, limit: int = BATCH) -> int:
    """Delete the logs of attempts that ended before then; give how many pieces."""
    chosen = (
        select(attempts.c.id)
        .where(attempts.c.finished_at < before, exists().where(log_pieces.c.attempt_id == attempts.c.id))
        .order_by(attempts.c.id)
        .limit(limit)
    )
    return tx.conn.execute(delete(log_pieces).where(log_pieces.c.attempt_id.in_(chosen))).rowcount


def old_artifacts(tx: Tx, before: datetime | None, now: datetime) -> int:
    """Delete artifacts past their own date, or older than the rule when they have none."""
    past = artifacts.c.keep_until < now
    if before is not None:
        past = past | (artifacts.c.keep_until.is_(None) & (artifacts.c.created_at < before))
    return tx.conn.execute(delete(artifacts).where(past)).rowcount


def old_tests(tx: Tx, before: datetime, limit: int = BATCH) -> int:
    """Delete the test results of attempts that ended before then; give how many."""
    chosen = (
        select(attempts.c.id)
        .where(attempts.c.finished_at < before, exists().where(test_results.c.attempt_id == attempts.c.id))
        .order_by(attempts.c.id)
        .limit(limit)
    )
    return tx.conn.execute(delete(test_results).where(test_results.c.attempt_id.in_(chosen))).rowcount


def old_test_days(tx: Tx, before: int, after: int, limit: int = BATCH) -> int | None:
    """Delete the days before day `before` of the tests with ids above `after`; the id to go on after (None: done)."""
    query = select(tests.c.id).where(tests.c.id > after).order_by(tests.c.id).limit(limit)
    chosen = list(tx.conn.execute(query).scalars())
    if not chosen:
        return None
    own = test_days.c
    tx.conn.execute(delete(test_days).where(own.test_id.between(chosen[0], chosen[-1]), own.day < before))
    return int(chosen[-1])


def old_events(tx: Tx, before: datetime) -> int:
    """Delete events from before then; give how many."""
    chosen = select(events.c.id).where(events.c.at < before).order_by(events.c.id).limit(BATCH * 10)
    return tx.conn.execute(delete(events).where(events.c.id.in_(chosen))).rowcount


def old_audit(tx: Tx, before: datetime) -> int:
    """Delete entries of the audit trail from before then; give how many."""
    chosen = select(audit.c.id).where(audit.c.at < before).order_by(audit.c.id).limit(BATCH * 10)
    return tx.conn.execute(delete(audit).where(audit.c.id.in_(chosen))).rowcount


def old_tokens(tx: Tx, now: datetime) -> int:
    """Delete sessions, links and the like that have been worth nothing for a month, and counts of failed sign-ins.

    API tokens and those of runners stay: they are few, and somebody may ask what became of one.
    """
    throttles.sweep(tx, now)
    before = now - timedelta(days=30)
    past = (tokens.c.revoked_at < before) | (tokens.c.expires_at < before)
    chosen = select(tokens.c.id).where(tokens.c.kind.in_(PASSING), past).limit(BATCH * 10)
    return tx.conn.execute(delete(tokens).where(tokens.c.id.in_(chosen))).rowcount


def removed_repositories(tx: Tx, before: datetime) -> list[int]:
    """Delete repositories that were removed before then, with all their history; give their ids."""
    chosen = list(tx.conn.execute(select(repositories.c.id).where(repositories.c.removed_at < before)).scalars())
    if chosen:
        tx.conn.execute(delete(repositories).where(repositories.c.id.in_(chosen)))
    return chosen


def known_repositories(tx: Tx) -> set[int]:
    """All repositories that have a row, those too that were removed a short while ago."""
    return set(tx.conn.execute(select(repositories.c.id)).scalars())


def referenced_blobs(tx: Tx) -> set[str]:
    """The keys of all blobs that a row refers to."""
    found: set[str] = set()
    for column in (log_pieces.c.blob, artifacts.c.blob, caches.c.blob):
        found.update(key for key in tx.conn.execute(select(column).where(column.is_not(None))).scalars())
    return found
