"""A figure beside its goal, and the table in which every benchmark shows its own."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `most` and `least` are the bounds that the goal sets to `ours`; neither: shown without a judgement."""

    what: str
    ours: float
    unit: str
    other: float | None = None
    """The floor, or another program, in the same unit."""
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None: there is none."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.ours <= self.most) and (self.least is None or self.ours >= self.least)

    @property
    def goal(self) -> str:
        """The goal in words."""
        if self.most is not None:
            return f"<= {_number(self.most)}"
        return f">= {_number(self.least)}" if self.least is not None else ""


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print them as a table."""
    head = ("what", "ours", "floor", "ratio", "goal", "met", "")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    print(title)
    for row in rows:
        words = [row[0].ljust(widths[0]), *(row[n].rjust(widths[n]) for n in range(1, 6)), row[6]]
        print("  " + "  ".join(words).rstrip(), flush=True)


def middle(values: Sequence[float]) -> float:
    """The median; of nothing, not a number."""
    return statistics.median(values) if values else float("nan")


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which that part (0 to 1) of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = f"{figure.ours / figure.other:.2f}" if figure.other else ""
    other = _number(figure.other) if figure.other is not None else ""
    met = "" if figure.met is None else "yes" if figure.met else "NO"
    return (figure.what, f"{_number(figure.ours)} {figure.unit}", other, ratio, figure.goal, met, figure.note)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
