"""Search in a whole log, on the server: streamed in bounded memory, a page of matching lines at a time.

Regular expressions come from outside, so they are matched by Rust's engine, which needs time linear in the text
whatever the expression; it comes with pydantic. What may still be slow, large counts, is refused, and one request
searches for a second or two and then says how far it came.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from markupsafe import Markup

from mainstay.flow import failure
from mainstay.model.errors import BadInput
from mainstay.web.options import Site
from mainstay.web.pages import ansi
from mainstay.web.pages.ansi import LogLine

LONGEST_TEXT = 200
SHOWN = 50
"""Matching lines on one page."""
CONTEXT = 2
"""Lines shown before and after a matching one."""
CONTEXT_BYTES = 2 << 10
LONGEST_COUNT = 1000
"""What the counted repetitions of an expression may multiply to."""
TIME_S = 1.5
"""How long one request searches."""
SLICE_BYTES = 64 << 10
BLOCK_BYTES = 1 << 20
"""A line that is longer is searched in parts."""

_COUNTED = re.compile(r"\{(\d{1,9})?(?:,(\d{1,9})?)?\}")
_STEERING = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")


class Matcher(Protocol):
    """Says which lines of a text match."""

    def lines(self, text: bytes) -> Iterator[int]:
        """The numbers of the matching lines in `text`, from 0, ascending."""

    def window(self, text: str) -> tuple[int, int]:
        """Where the match lies in a matching line; (0, 0) when only the line is known."""


class Plain:
    """A text, found in any case of its ASCII letters."""

    def __init__(self, text: str) -> None:
        self._text = text.lower()
        self._wanted = text.encode("utf-8", "surrogateescape").lower()

    def lines(self, text: bytes) -> Iterator[int]:
        text = text.lower()
        place = number = 0
        while (at := text.find(self._wanted, place)) >= 0:
            number += text.count(b"\n", place, at)
            yield number
            end = text.find(b"\n", at)
            if end < 0:
                return
            place, number = end + 1, number + 1

    def window(self, text: str) -> tuple[int, int]:
        at = text.lower().find(self._text)
        return (at, at + len(self._text)) if at >= 0 else (0, 0)


class Expression:
    """A regular expression of Rust's engine, in any case unless it says `(?-i)`. Raises BadInput."""

    def __init__(self, text: str) -> None:
        counted = 1
        for least, most in _COUNTED.findall(text):
            counted *= max(1, int(most or least or 1))
        if counted > LONGEST_COUNT:
            raise BadInput(f"the repetitions of this expression add up to {counted:,}; at most {LONGEST_COUNT:,} may")
        self._one = _compiled("(?i)" + text)
        # A slice without any match is passed over at once. `^` and `$` mean lines there; what means its ends cannot.
        self._any = None if re.search(r"\\[Az]", text) else _compiled("(?im)" + text)

    def lines(self, text: bytes) -> Iterator[int]:
        whole = text.decode("utf-8", "replace")
        if self._any is not None and not self._any(whole):
            return
        for number, line in enumerate(whole.split("\n")):
            if self._one(line.removesuffix("\r")):
                yield number

    def window(self, text: str) -> tuple[int, int]:
        return 0, 0


def _compiled(text: str) -> Callable[[str], bool]:
    # Imported late: a server that nobody searches in does without.
    from pydantic_core import SchemaError, SchemaValidator, core_schema  # noqa: PLC0415

    try:
        return SchemaValidator(core_schema.str_schema(pattern=text, regex_engine="rust-regex")).isinstance_python
    except SchemaError as error:
        said = str(error).rpartition("error: ")[2].strip()
        raise BadInput(f"this is no regular expression: {said[:200]}") from None


def matcher(text: str, *, regex: bool) -> Matcher:
    """What searches for `text`. Raises BadInput."""
    if not text or len(text) > LONGEST_TEXT:
        raise BadInput(f"a search needs 1 to {LONGEST_TEXT} characters")
    return Expression(text) if regex else Plain(text)


@dataclass(slots=True)
class Found:
    """What a search found, as far as it came."""

    groups: list[list[LogLine]] = field(default_factory=list)
    """Matching lines (`here`) with the lines around them; what touches is one group."""
    count: int = 0
    """Matching lines in the groups."""
    next: int | None = None
    """Where to search on; None: the end was reached."""
    full: bool = False
    """Whether it stopped because the page is full, not because time was over."""


async def search(site: Site, attempt_id: int, wanted: Matcher, start: int, end: int) -> Found:
    """Search from byte `start`, where a line begins."""
    clock = site.engine.clock.monotonic
    until = clock() + TIME_S
    found = Found()
    breaks = await site.engine.logs.breaks_before(attempt_id, start)
    rest, place = b"", start
    async for piece in site.engine.log_range(attempt_id, start, end):
        rest += piece
        last = place + len(rest) >= end
        cut = len(rest) if last else rest.rfind(b"\n") + 1
        if not cut and len(rest) < BLOCK_BYTES:
            continue
        block, rest = rest[: cut or len(rest)], rest[cut or len(rest) :]
        first = None if breaks is None else breaks + 1
        reached = await asyncio.to_thread(_search_block, block, place, first, wanted, found, lambda: clock() > until)
        if reached < len(block):
            found.next = place + reached
            return found
        place += len(block)
        breaks = None if breaks is None else breaks + block.count(b"\n")
        if found.full:
            found.next = place if place < end else None
            return found
    return found


def _search_block(
    block: bytes, start: int, first: int | None, wanted: Matcher, found: Found, late: Callable[[], bool]
) -> int:
    """Add the matching lines of a block to `found`; how far it was searched."""
    place = breaks = 0
    while place < len(block):
        stop = min(len(block), place + SLICE_BYTES)
        if stop < len(block):
            stop = block.rfind(b"\n", place, stop) + 1 or block.find(b"\n", stop) + 1 or len(block)
        raw = block[place:stop]
        text = _STEERING.sub(b"", raw) if b"\x1b" in raw else raw
        at = counted = 0
        for number in wanted.lines(text):
            for _ in range(number - counted):
                at = raw.index(b"\n", at) + 1
            counted = number
            _add(found, block, place + at, start, None if first is None else first + breaks + number, wanted)
            if found.count == SHOWN:
                found.full = True
                end = raw.find(b"\n", at)
                return place + (len(raw) if end < 0 else end + 1)
        breaks += raw.count(b"\n")
        place = stop
        if late():
            return place
    return place


def _add(found: Found, block: bytes, at: int, start: int, number: int | None, wanted: Matcher) -> None:
    """Put a matching line with the lines around it on the page."""
    found.count += 1
    low = failure.lines_before(block, at, CONTEXT)
    low = at if at - low > CONTEXT_BYTES else low
    high = at
    for _ in range(CONTEXT + 1):
        high = block.find(b"\n", high, at + SLICE_BYTES) + 1 or len(block)
    before = block.count(b"\n", low, at)
    first = None if number is None else number - before
    lines = [
        _shown(line, block, start, wanted) if line.offset == start + at else line
        for line in ansi.lines(block[low : min(high, at + SLICE_BYTES)], start + low, first)
    ]
    last = found.groups[-1] if found.groups else []
    if not last or lines[0].offset > last[-1].offset + len(_raw(block, last[-1].offset - start)) + 1:
        found.groups.append(lines)
        return
    known = {line.offset: index for index, line in enumerate(last)}
    for line in lines:
        if line.offset not in known:
            last.append(line)
        elif line.here:
            last[known[line.offset]] = line


def _raw(block: bytes, at: int) -> bytes:
    if at < 0:
        return b""
    end = block.find(b"\n", at)
    return block[at : len(block) if end < 0 else end]


def _shown(line: LogLine, block: bytes, start: int, wanted: Matcher) -> LogLine:
    """A matching line with its match marked; of a long one, the part around it."""
    text = ansi.plain(ansi.last_written(_raw(block, line.offset - start)[:BLOCK_BYTES], ansi.Look()))
    begin, end = wanted.window(text)
    if begin == end:
        return replace(line, here=True)
    low, high = max(0, begin - 400), end + 800
    html = Markup("{}{}<mark>{}</mark>{}{}").format(
        "… " if low else "", text[low:begin], text[begin:end], text[end:high], " …" if high < len(text) else ""
    )
    return replace(line, html=html, hidden=0, here=True)
