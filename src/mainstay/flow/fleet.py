"""How many local runners there should be: up at once when work waits, down slowly when it is gone."""

from dataclasses import dataclass

UP_AFTER_S = 0.5
"""Work has to wait this long before another runner is started: most jobs are taken at once."""
DOWN_AFTER_S = 60.0
"""A runner above the minimum has to be idle this long before it is ended, unless its `Bounds` say otherwise."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""How long to wait before starting a runner again that died young, by how often it did so in a row."""
YOUNG_S = 10.0
"""A runner that ends sooner than this by itself died young."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """At least and at most so many local runners."""

    least: int
    most: int
    down_after_s: float = DOWN_AFTER_S


@dataclass(frozen=True, slots=True)
class Load:
    """What the decision depends on."""

    present: int
    """Runners that are started and not told to end."""
    idle: int
    """Of them, those without a job."""
    waiting_jobs: int
    """Queued jobs that a local runner could take."""
    waiting_s: float
    """How long there has been waiting work without a break."""
    idle_s: float
    """How long there has been an idle runner and no waiting work without a break."""


def wanted(load: Load, bounds: Bounds) -> int:
    """How many runners there should be now."""
    target = load.present
    if load.waiting_jobs and load.waiting_s >= UP_AFTER_S:
        target = load.present + max(0, load.waiting_jobs - load.idle)
    elif load.idle and load.idle_s >= bounds.down_after_s:
        target = load.present - 1
    return max(bounds.least, min(bounds.most, target))


def retry_after(died_young: int) -> float:
    """Seconds to wait before the next start, after so many early deaths in a row."""
    return 0.0 if died_young == 0 else RETRY_S[min(died_young, len(RETRY_S)) - 1]
