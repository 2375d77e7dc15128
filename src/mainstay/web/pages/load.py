"""How busy a runner was over the last day, in parts of half an hour. Geometry only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

PARTS = 48
PART = timedelta(minutes=30)
PITCH = 12
HEIGHT = 32


@dataclass(frozen=True, slots=True)
class Part:
    """One bar."""

    x: int
    y: float
    height: float
    begins: datetime
    busy: float
    """Of its places, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Load:
    """Bars from left to right, oldest first."""

    parts: tuple[Part, ...]
    width: int
    average: float


def load(spans: Sequence[tuple[datetime, datetime | None]], places: int, now: datetime) -> Load:
    """The share of `places` that was taken, from when each of the attempts began and ended (None: it runs)."""
    begin = now - PARTS * PART
    busy = [0.0] * PARTS
    for start, end in spans:
        first = max(start, begin)
        last = min(end or now, now)
        index = max(0, int((first - begin) / PART))
        while index < PARTS and begin + index * PART < last:
            opens, closes = begin + index * PART, begin + (index + 1) * PART
            busy[index] += max(0.0, (min(last, closes) - max(first, opens)).total_seconds())
            index += 1
    shares = [min(1.0, each / (PART.total_seconds() * max(places, 1))) for each in busy]
    parts = tuple(
        Part(index * PITCH, round(HEIGHT * (1 - share), 1), round(HEIGHT * share, 1), begin + index * PART, share)
        for index, share in enumerate(shares)
    )
    return Load(parts, PARTS * PITCH, sum(shares) / PARTS)
