"""Parts of logs as the lines of a page: small whatever the size of the log, and found by offset or by line number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mainstay.web import logs
from mainstay.web.options import Site
from mainstay.web.pages import ansi
from mainstay.web.pages.ansi import LogLine

SCREEN_BYTES = 40 << 10
"""What one part of a log holds at most."""
SCREEN_LINES = 400
BEFORE_BYTES = 4 << 10
"""What is shown before the line that a page opens at."""


@dataclass(frozen=True, slots=True)
class Screen:
    """A part of a log, as lines."""

    lines: tuple[LogLine, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Opened:
    """Where a page was asked to open: at a byte, or at some lines."""

    at: int | None = None
    first: int | None = None
    last: int | None = None
    marked: bool = True
    """False: nobody asked for that very place."""

    def marks(self, line: LogLine, following: LogLine | None, end: int) -> bool:
        """Whether a line is among those."""
        if self.first is not None and self.last is not None and line.number is not None:
            return self.first <= line.number <= self.last
        return self.marked and self.at is not None and line.offset <= self.at < (following.offset if following else end)


NOWHERE = Opened()


async def screen(
    site: Site, attempt_id: int, start: int, end: int, opened: Opened = NOWHERE, *, growing: bool = False
) -> Screen:
    """The lines from byte `start` to at most `end`. A line that is longer than a screen is cut and ends it.

    Of what is `growing` a last line without its end is left out: the tail begins with it.
    """
    data = await logs.read(site, attempt_id, start, min(end, start + SCREEN_BYTES))
    stop = start + len(data)
    endless = False
    if stop < end:
        whole = data.rfind(b"\n") + 1
        endless = not whole
        if endless:
            stop = await site.engine.logs.line_end(attempt_id, stop - 1, end)
        else:
            data, stop = data[:whole], start + whole
    if growing and stop >= end and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        stop = start + len(data)
    breaks = await site.engine.logs.breaks_before(attempt_id, start)
    found = list(ansi.lines(data, start, None if breaks is None else breaks + 1))
    if endless:
        found[-1] = replace(found[-1], hidden=stop - start - ansi.LONGEST_LINE)
    if len(found) > SCREEN_LINES:
        stop = found[SCREEN_LINES].offset
        found = found[:SCREEN_LINES]
    return Screen(_marked(found, stop, opened), start, stop)


def _marked(found: Sequence[LogLine], end: int, opened: Opened) -> tuple[LogLine, ...]:
    if opened == NOWHERE:
        return tuple(found)
    following = [*found[1:], None]
    return tuple(
        replace(line, here=True) if opened.marks(line, after, end) else line
        for line, after in zip(found, following, strict=True)
    )


async def some_before(site: Site, attempt_id: int, at: int, lowest: int, count: int = BEFORE_BYTES) -> int:
    """Where the line begins that is some lines before byte `at`; `at` itself in the middle of an endless line."""
    low = max(lowest, at - count)
    if low == lowest and at - low < count:
        return low
    data = await logs.read(site, attempt_id, low, at)
    if b"\n" not in data:
        return at
    return low if low == lowest else low + data.find(b"\n") + 1


@dataclass(frozen=True, slots=True)
class Fold:
    """Lines that a job put into a group (`::group::TITLE`), or lines outside of any: without a head."""

    head: LogLine | None
    lines: tuple[LogLine, ...]
    open: bool = False


def folded(lines: Sequence[LogLine], *, growing: bool = False) -> list[Fold]:
    """Lines by their groups. A group is open when the page was opened at one of its lines, or it may still grow."""
    found: list[Fold] = []
    head: LogLine | None = None
    inside: list[LogLine] = []

    def close(*, last: bool = False) -> None:
        if head is not None or inside:
            wanted = any(line.here for line in inside) or (head is not None and head.here) or (last and growing)
            found.append(Fold(head, tuple(inside), wanted))
        inside.clear()

    for line in lines:
        if line.kind == "group":
            close()
            head = line
        elif line.kind == "endgroup" and head is not None:
            close()
            head = None
        else:
            inside.append(line)
    close(last=True)
    return found
