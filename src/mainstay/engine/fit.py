"""Holding queued jobs that no connected runner fits, and releasing them when one comes."""

from datetime import datetime, timedelta

from mainstay.engine.lease import Lease
from mainstay.flow import fit as fit_flow
from mainstay.store import jobs, runners
from mainstay.store.database import Tx


def moves(tx: Tx, now: datetime, lease: Lease) -> list[tuple[str, str | None]]:
    """The label sets whose jobs must be held (with the reason) or released (None). Empty: all is as it should be."""
    offered = runners.offered_labels(tx, now - timedelta(seconds=lease.seconds))
    found: list[tuple[str, str | None]] = []
    for fit in jobs.fits(tx, "queued", None):
        reason = fit_flow.missing(fit.split(",") if fit else (), offered)
        if reason is not None:
            found.append((fit, reason))
    for fit in jobs.fits(tx, "waiting", "runner"):
        reason = fit_flow.missing(fit.split(",") if fit else (), offered)
        if reason is None:
            found.append((fit, None))
    return found


def refit(tx: Tx, now: datetime, lease: Lease) -> int:
    """Hold and release; give how many jobs moved."""
    moved = 0
    for fit, reason in moves(tx, now, lease):
        moved += jobs.hold(tx, fit, reason, now) if reason is not None else jobs.release(tx, fit, now)
    return moved
