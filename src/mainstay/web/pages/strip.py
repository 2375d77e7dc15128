"""The strip: the last builds of a branch (or runs of a test) as narrow bars, newest right. Geometry only."""

from collections.abc import Sequence
from dataclasses import dataclass

PITCH = 10
"""Pixels from bar to bar."""
WIDTH = 7
HEIGHT = 17
"""Of the longest bar; the signs of the states stand below."""
LEAST = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """What one bar stands for."""

    state: str
    seconds: float | None
    href: str
    title: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its place."""

    mark: Mark
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Strip:
    """Bars from left to right, oldest first."""

    bars: tuple[Bar, ...]
    width: int


def strip(newest_first: Sequence[Mark], length: int = 20) -> Strip:
    """Lay out at most `length` marks. Heights follow the square root of the spans: a slow one hides no other."""
    marks = list(reversed(newest_first[:length]))
    longest = max((mark.seconds or 0.0 for mark in marks), default=0.0) or 1.0
    offset = length - len(marks)
    bars = []
    for index, mark in enumerate(marks):
        height = LEAST + (HEIGHT - LEAST) * ((mark.seconds or 0.0) / longest) ** 0.5
        bars.append(Bar(mark, (offset + index) * PITCH, round(HEIGHT - height, 1), round(height, 1)))
    return Strip(tuple(bars), length * PITCH)
