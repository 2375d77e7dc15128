"""What went wrong, in a few lines: the first failing lines of jobs, and long messages of tests without their middle."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mainstay.flow import failure
from mainstay.model.job import Job
from mainstay.web import logs
from mainstay.web.options import Site
from mainstay.web.pages import ansi
from mainstay.web.pages.ansi import LogLine

LOOKED_AT = 12
"""Failed jobs whose logs are read for one page."""
SHOWN = 3
"""Different failures on one page."""
BEFORE = 5
LINES = 14
BYTES = 6 << 10
TRACEBACK_BYTES = 64 << 10
"""How far the end of a traceback is looked for."""
FRAMES = 2
"""Lines of a long traceback that stand before its end."""
LONGEST_MESSAGE = 4000
FIRST_LINES, LAST_LINES = 3, 11
"""What is shown of a long message: what explains it stands at one of its ends."""
_CHANGING = re.compile(r"\d+")
_TURNED = re.compile(r"<[^>]{1,200}>")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first failing lines of a job, and of all other jobs in which they are the same."""

    job: Job
    alike: tuple[Job, ...]
    lines: tuple[LogLine | None, ...]
    """None: lines are left out here."""
    step: str | None
    href: str

    @property
    def jobs(self) -> int:
        """How many jobs it tells of."""
        return 1 + len(self.alike)


@dataclass(frozen=True, slots=True)
class Message:
    """A test's message; of a long one the first and the last lines."""

    first: str
    left_out: int
    """Lines between the two."""
    last: str


async def excerpts(site: Site, failed: Sequence[Job]) -> list[Excerpt]:
    """How jobs failed, each way once, as far as one page shows it."""
    found: dict[str, Excerpt] = {}
    for job in failed[:LOOKED_AT]:
        this = await _excerpt(site, job)
        if this is None:
            continue
        key = _CHANGING.sub("0", _TURNED.sub("", "\n".join(str(line.html) for line in this.lines if line)))
        known = found.get(key)
        if known is None:
            found[key] = this
        else:
            found[key] = replace(known, alike=(*known.alike, job))
    return list(found.values())[:SHOWN]


async def _excerpt(site: Site, job: Job) -> Excerpt | None:
    """The first failing lines of a job's last attempt; None when its log is empty."""
    attempt = job.attempts[-1]
    if not attempt.log_bytes:
        return None
    part = failure.telling(failure.parts(attempt))
    start = max(part.start, part.end - failure.LOOKED_AT)
    data = await logs.read(site, attempt.id, start, part.end)
    place = failure.first_failing_line(data)
    if place is None:
        return None
    first = max(failure.lines_before(data, place, BEFORE), place - BYTES // 2)
    lines = [line for line in ansi.lines(data[first : place + BYTES], start + first) if "group" not in line.kind]
    shown: list[LogLine | None] = [replace(line, here=line.offset == start + place) for line in lines[:LINES]]
    end = failure.end_of_traceback(data[place : place + TRACEBACK_BYTES])
    if end is not None and start + place + end > lines[:LINES][-1].offset:
        shown = shown[: BEFORE + FRAMES + 1]
        low = failure.lines_before(data, place + end, FRAMES)
        shown += [None, *list(ansi.lines(data[low : place + end + BYTES // 2], start + low))[: FRAMES + 3]]
    href = f"/jobs/{job.id}/attempts/{attempt.number}?at={start + place}"
    return Excerpt(job, (), tuple(shown), part.step.name if part.step else None, href)


def message(text: str) -> Message:
    """A message as a page shows it."""
    lines = text.split("\n")
    if len(lines) <= FIRST_LINES + LAST_LINES + 2 and len(text) <= LONGEST_MESSAGE:
        return Message(text, 0, "")
    last = "\n".join(lines[max(FIRST_LINES, len(lines) - LAST_LINES) :])
    left_out = max(0, len(lines) - FIRST_LINES - LAST_LINES)
    return Message(_cut("\n".join(lines[:FIRST_LINES])), left_out, _cut(last))


def _cut(text: str) -> str:
    half = LONGEST_MESSAGE // 2
    return text if len(text) <= half else f"{text[: half // 2]} … {text[-half // 2 :]}"
