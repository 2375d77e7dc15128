"""When a message that could not be delivered is tried again, and when it is given up."""

from datetime import datetime, timedelta

FIRST_S = 15.0
LONGEST_S = 3600.0
GIVEN_UP_AFTER = timedelta(days=2)
"""Older than this, a message is news no more; a person may send it again."""
JITTER = 0.25
"""Part of a pause that is left to chance, so that what failed together is not tried together."""


def next_try(tries: int, created_at: datetime, chance: float, now: datetime) -> datetime | None:
    """When to try again after `tries` failed ones; None: not again. `chance`: 0 to 1."""
    pause = min(FIRST_S * 2.0 ** min(max(tries - 1, 0), 20), LONGEST_S) * (1 + JITTER * (2 * chance - 1))
    at = now + timedelta(seconds=pause)
    return at if at - created_at <= GIVEN_UP_AFTER else None
