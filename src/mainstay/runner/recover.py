"""Attempts that ran when an earlier runner process was killed: they end as lost, with what they had printed."""

import logging
from datetime import UTC, datetime

import msgspec

from mainstay.runner.journal import Journal
from mainstay.runner.reading import Reading
from mainstay.wire.runner import Finish

REASON = "the runner was killed while it ran"

log = logging.getLogger(__name__)


def give_up(journal: Journal, reason: str = REASON) -> None:
    """Write down that the attempt is lost. Blocking. Raises OSError."""
    try:
        hides = journal.kept().hides
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("attempt %d: its assignment cannot be read, so its log is not sent: %s", journal.attempt, error)
        _end(journal, reason, 0, "the log was left out: the runner no longer knows whether secrets are to be hidden")
        return
    if hides:
        # What was to be hidden is written nowhere, so of the log only what had been read by then can be sent.
        journal.log.take_masked()
        notice = "the last lines may be missing: which secrets they held was known only to the process that was killed"
        _end(journal, reason, journal.log.masked_bytes, notice)
        return
    whole = journal.log.raw_bytes
    reading = Reading(journal.log)
    more = True
    while more:
        _, more = reading.advance(whole, final=True)
    _end(journal, reason, reading.ready_bytes, None)


def ready_bytes(journal: Journal) -> int:
    """How much of an ended attempt's log is on disk and may be sent."""
    if journal.ended is None:
        return 0
    log_file = journal.log
    there = log_file.raw_bytes if log_file.masked_from is None else log_file.masked_from + log_file.masked_bytes
    return min(there, journal.ended.finish.log_bytes)


def _end(journal: Journal, reason: str, log_bytes: int, notice: str | None) -> None:
    journal.end(
        Finish(
            state="lost",
            started_at=None,
            finished_at=datetime.now(UTC),
            log_bytes=log_bytes,
            reason=reason,
            log_notice=notice,
        )
    )
