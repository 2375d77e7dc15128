"""Where in a log the failure is: the first line that a person would look at. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mainstay.model.job import Attempt, StepResult
from mainstay.model.states import StepState

LOOKED_AT = 512 << 10
"""Bytes at the end of a failed step that are searched; what explains a failure stands near its end."""

_COLOURS = rb"(?:\x1b\[[0-9;]*m)*"
_PATTERNS = tuple(
    re.compile(rb"^[ \t]*" + _COLOURS + rb"(?:" + words + rb")", re.MULTILINE)
    for words in (
        rb"E {3,40}\S|Traceback \(most recent call last\)|FAIL: |ERROR: |thread '[^']{0,200}' panicked",
        rb"FAILED |ERROR |[Ee]rror(?:\[[^\]]{1,40}\])?: |fatal: |[\w./-]{1,200}:\d+(?::\d+)?: (?:error|[A-Z]+\d+)",
        rb"::error|\#\#\[error\]|make: \*\*\* |Killed|[\w./ -]{1,99}: (?:command not found|No such file|Permission)",
    )
)
_TRACEBACK = re.compile(rb"[ \t]*" + _COLOURS + rb"Traceback \(most recent call last\)[^\n]*\n")
_OUTSIDE = re.compile(rb"^(?=" + _COLOURS + rb"[^\s\x1b])", re.MULTILINE)
BAD_STEPS = (StepState.FAILED, StepState.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Part:
    """A step's part of a log, or what stands before the first and after the last one. `end` is None while it grows."""

    key: str
    """`1` and up for steps; `start`, or `all` when no step says where it begins."""
    step: StepResult | None
    start: int
    end: int


def parts(attempt: Attempt) -> list[Part]:
    """The log of an attempt divided by its steps, in the order of their output."""
    placed = sorted((step for step in attempt.steps if step.log_offset is not None), key=lambda each: each.number)
    if not placed:
        return [Part("all", None, 0, attempt.log_bytes)]
    found: list[Part] = []
    starts = [min(step.log_offset or 0, attempt.log_bytes) for step in placed]
    if starts[0] > 0:
        found.append(Part("start", None, 0, starts[0]))
    for index, step in enumerate(placed):
        end = starts[index + 1] if index + 1 < len(placed) else attempt.log_bytes
        found.append(Part(str(step.number), step, starts[index], max(end, starts[index])))
    return found


def telling(found: Sequence[Part]) -> Part:
    """The part to open first: the failed step, else the running one, else the last with output."""
    for wanted in (BAD_STEPS, (StepState.ALLOWED,), (StepState.RUNNING,)):
        for part in found:
            if part.step is not None and part.step.state in wanted:
                return part
    return next((part for part in reversed(found) if part.end > part.start), found[-1])


def first_failing_line(data: bytes) -> int | None:
    """Where in `data` the line begins that tells of the failure; the last line with text when nothing is known."""
    for pattern in _PATTERNS:
        match = pattern.search(data)
        if match is not None:
            return match.start()
    text = data.rstrip()
    return data.rfind(b"\n", 0, len(text)) + 1 if text else None


def end_of_traceback(data: bytes) -> int | None:
    """Where the line begins that names the exception, in `data` that begins with a Python traceback; else None."""
    if not _TRACEBACK.match(data):
        return None
    match = _OUTSIDE.search(data, data.find(b"\n") + 1)
    return match.start() if match is not None else None


def lines_before(data: bytes, place: int, count: int) -> int:
    """Where the line begins that is `count` lines above the one at `place`; the beginning when there are fewer."""
    for _ in range(count):
        place = data.rfind(b"\n", 0, max(0, place - 1)) + 1
        if place == 0:
            break
    return place
