"""The trend of a test's duration: one point a day, as a line. Geometry only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH = 720
HEIGHT = 72
EDGE = 4
"""Room for the dots."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One day."""

    day: date
    seconds: float
    failed: bool
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Trend:
    """A line from left to right, its height zero at the bottom."""

    dots: tuple[Dot, ...]
    path: str
    top_s: float
    """What the upper edge stands for."""
    width: int = WIDTH
    height: int = HEIGHT


def trend(points: Sequence[tuple[date, float, bool]]) -> Trend:
    """Lay out days, oldest first: mean duration, and whether it failed on that day."""
    first, last = points[0][0], points[-1][0]
    span = max(1, (last - first).days)
    top = max(seconds for _, seconds, _ in points) or 1.0
    dots = tuple(
        Dot(
            day,
            seconds,
            failed,
            round(EDGE + (WIDTH - 2 * EDGE) * (day - first).days / span, 1),
            round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * seconds / top, 1),
        )
        for day, seconds, failed in points
    )
    return Trend(dots, "M" + "L".join(f"{dot.x} {dot.y}" for dot in dots), top)
