"""Local runners that do not start: what the process that starts them leaves in the database for those who look.

It is what is so now, one value for all of them; the story of each failure is in the events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mainstay.flow.fleet import YOUNG_S
from mainstay.store import settings
from mainstay.store.database import Tx

NAME = "local-runners.failing"
"""Of the stored value."""
OLD = timedelta(seconds=YOUNG_S + 60)
"""Nobody tells of it any more: the server that started them was killed."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A local runner that ended by itself, each time soon after its start."""

    name: str
    times: int
    """In a row."""
    reason: str
    """Of the last time."""
    at: datetime
    next_at: datetime
    """When it is started again."""


def tell(tx: Tx, failing: Sequence[Failing]) -> None:
    """Store which ones do not start now."""
    if failing:
        stored = [[each.name, each.times, each.reason, _text(each.at), _text(each.next_at)] for each in failing]
        settings.put(tx, NAME, stored)
    else:
        settings.remove(tx, NAME)
    tx.wake("runners")


def listed(tx: Tx, now: datetime) -> list[Failing]:
    """Those that do not start now, by name."""
    stored = settings.get(tx, NAME, [])
    found = [
        Failing(name, times, reason, datetime.fromisoformat(at), datetime.fromisoformat(next_at))
        for name, times, reason, at, next_at in stored
    ]
    return [each for each in found if now < each.next_at + OLD]


def _text(moment: datetime) -> str:
    return moment.isoformat()
