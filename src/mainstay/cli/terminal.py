"""What people see: glyphs, colours, durations, times, tables that fit the width, and progress in place.

Data goes to standard output, messages and progress to standard error. Colours and progress in place are for terminals
only. The words, glyphs and colours are those of the pages.
"""

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO

import click

from mainstay.cli import settings

STATES = {
    # state: (glyph, glyph where only ASCII can be written, colour)
    "passed": ("✓", "+", "green"),
    "failed": ("✗", "x", "red"),
    "error": ("✗", "x", "red"),
    "timed_out": ("✗", "x", "red"),
    "broken": ("!", "!", "yellow"),
    "lost": ("!", "!", "yellow"),
    "allowed": ("!", "!", "yellow"),
    "running": ("◐", "*", "blue"),
    "queued": ("◷", ".", "bright_black"),
    "waiting": ("◷", ".", "bright_black"),
    "pending": ("◷", ".", "bright_black"),
    "skipped": ("–", "-", "bright_black"),
    "cancelled": ("■", "#", "bright_black"),
    "neutral": ("○", "o", "bright_black"),
    # of runners
    "online": ("✓", "+", "green"),
    "draining": ("■", "#", "yellow"),
    "offline": ("○", "o", "bright_black"),
    # of messages
    "sent": ("✓", "+", "green"),
    "dropped": ("–", "-", "bright_black"),
}
COMMANDS = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")
"""Control characters, but for tabs, line ends and colours."""
BEYOND_JSON = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, and terminals take for commands or for the direction of what follows."""
RING = "◐◓◑◒"
WORDS = {"allowed": "failed (allowed)", "timed_out": "timed out"}
NARROWEST = 8
"""Columns of the screen that a column of a table keeps, however narrow the terminal is."""
OPEN_STATES = frozenset({"waiting", "queued", "running"})
"""Build and job states after which there will be another."""


class Painted(NamedTuple):
    """A piece of text with a colour of our own."""

    text: str
    colour: str | None


@dataclass(frozen=True, slots=True)
class Terminal:
    """One stream and what can be shown on it."""

    stream: TextIO
    colours: bool = False
    live: bool = False
    """Whether lines can be rewritten in place."""
    width: int = 100
    unicode: bool = True

    @classmethod
    def on(cls, stream: TextIO) -> "Terminal":
        """What this stream can show. Not a terminal: no colours, nothing in place, and lines as long as they are."""
        is_terminal = stream.isatty()
        return cls(
            stream=stream,
            colours=is_terminal and settings.colours_wanted(),
            live=is_terminal,
            width=shutil.get_terminal_size().columns if is_terminal else 10_000,
            unicode=(stream.encoding or "utf-8").lower().replace("-", "").startswith("utf"),
        )

    def line(self, text: str = "") -> None:
        """Write one line. What the stream's encoding lacks is replaced; what would command the terminal is left out."""
        encoding = self.stream.encoding or "utf-8"
        self.stream.write(COMMANDS.sub("", text).encode(encoding, "replace").decode(encoding) + "\n")
        self.stream.flush()

    def paint(self, text: str, colour: str | None = None, *, bold: bool = False) -> str:
        """The text in a colour, where there are colours."""
        return click.style(text, fg=colour, bold=bold or None) if self.colours and text and (colour or bold) else text

    def glyph(self, state: str) -> str:
        """The state's sign, coloured."""
        fancy, plain, colour = STATES.get(state, ("?", "?", "bright_black"))
        return self.paint(fancy if self.unicode else plain, colour)

    def state(self, state: str) -> Painted:
        """The state's sign and word with its colour: nothing depends on colour alone."""
        fancy, plain, colour = STATES.get(state, ("?", "?", "bright_black"))
        return Painted(f"{fancy if self.unicode else plain} {WORDS.get(state, one_line(state))}", colour)

    def state_text(self, state: str) -> str:
        """The same as text for a line."""
        return self.paint(*self.state(state))

    def faint(self, text: str) -> str:
        """For what is there on a second look."""
        return self.paint(text, "bright_black")


def output() -> Terminal:
    """Standard output: data."""
    return Terminal.on(sys.stdout)


def messages() -> Terminal:
    """Standard error: everything that is not data."""
    return Terminal.on(sys.stderr)


def print_json(document: Any) -> None:
    """Write one JSON document to standard output."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    sys.stdout.write(BEYOND_JSON.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text) + "\n")


# ---------------------------------------------------------------------------------------------------- numbers as words


def moment(text: str | None) -> datetime | None:
    """A time of the API as a value."""
    return None if text is None else datetime.fromisoformat(text)


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `1 min 12 s`, `2 h 5 min`, `3 d 4 h`: the two largest units that matter."""
    if seconds < 0:
        return "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, next_unit, next_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {unit} {rest} {next_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def spent(started_at: str | None, finished_at: str | None, now: datetime | None = None) -> str:
    """How long something took, or has taken until now; empty if it has not begun."""
    start = moment(started_at)
    if start is None:
        return ""
    end = moment(finished_at) or now or datetime.now(UTC)
    return duration((end - start).total_seconds())


def ago(text: str | None, now: datetime | None = None) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 d ago`, and the date for what is older than a month."""
    at = moment(text)
    if at is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 5:
        return "just now"
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit} ago"
    return at.strftime("%Y-%m-%d")


def size(count: int) -> str:
    """`812 B`, `8.1 kB`, `12.3 MB`: powers of ten, as disks and networks are sold."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def counted(count: int, one: str, many: str) -> str:
    """`1 build`, `2 builds`."""
    return f"{count} {one if count == 1 else many}"


# -------------------------------------------------------------------------------------------------------------- tables


def columns_of(text: str) -> int:
    """How many columns a text without colours takes on the screen: wide signs take two."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def fitted(text: str, columns: int) -> str:
    """The text cut to so many columns, with a visible sign of the cut."""
    if columns_of(text) <= columns:
        return text
    kept = ""
    for sign in text:
        if columns_of(kept + sign) > columns - 1:
            break
        kept += sign
    return kept + "…"


def fitted_name(text: str, columns: int) -> str:
    """The same for a name: what is cut out is in its middle."""
    if columns_of(text) <= columns:
        return text
    tail = ""
    for sign in reversed(text):
        if columns_of(sign + tail) > (columns - 1) * 2 // 3:
            break
        tail = sign + tail
    return fitted(text, columns - columns_of(tail)) + tail


def one_line(text: str) -> str:
    """Foreign text (a commit's subject, a test's name) without line ends and what would command the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. When the terminal is too narrow, the column number `flexible` gives way first."""

    headings: Sequence[str]
    flexible: int
    right: frozenset[int] = frozenset()
    """Columns of numbers."""
    names: frozenset[int] = frozenset()
    """Columns of names that end in what tells them apart: cut in the middle."""
    rows: list[Sequence[str | Painted]] = field(default_factory=list)

    def lines(self, terminal: Terminal) -> Iterable[str]:
        """The table for this terminal, headings first."""
        heading = [Painted(text, "bright_black") for text in self.headings]
        rows = [heading, *([_painted(cell) for cell in row] for row in self.rows)]
        widths = [max(columns_of(cell.text) for cell in column) for column in zip(*rows, strict=True)]
        over = sum(widths) + 2 * (len(widths) - 1) - terminal.width
        if over > 0:
            given = min(over, max(0, widths[self.flexible] - NARROWEST))
            widths[self.flexible] -= given
            over -= given
        while over > 0 and max(widths) > NARROWEST:  # then the widest of the others, until all are narrow
            widest = widths.index(max(widths))
            widths[widest] -= 1
            over -= 1
        for row in rows:
            yield self._line(row, widths, terminal)

    def _line(self, row: Sequence[Painted], widths: Sequence[int], terminal: Terminal) -> str:
        parts = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            text = (fitted_name if place in self.names else fitted)(cell.text, width)
            padding = " " * (width - columns_of(text))
            shown = terminal.paint(text, cell.colour)
            parts.append(padding + shown if place in self.right else shown + padding)
        return "  ".join(parts).rstrip()


def _painted(cell: str | Painted) -> Painted:
    return cell if isinstance(cell, Painted) else Painted(one_line(cell), None)


class Progress:
    """One line, rewritten in place while something is waited for; on what is no terminal, a line per change."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._shown = ""
        self._turn = 0

    def show(self, state: str, text: str) -> None:
        """Say where it stands now."""
        if not self._terminal.live:
            if text != self._shown:
                self._terminal.line(f"{self._terminal.glyph(state)} {text}")
            self._shown = text
            return
        self._turn += 1
        ring = RING[self._turn % len(RING)] if state == "running" and self._terminal.unicode else None
        sign = self._terminal.paint(ring, "blue") if ring else self._terminal.glyph(state)
        self._rewrite(f"{sign} {fitted(one_line(text), self._terminal.width - 3)}")

    def clear(self) -> None:
        """Take the line away, so that what follows stands in its place."""
        if self._terminal.live and self._shown:
            self._rewrite("")

    def _rewrite(self, line: str) -> None:
        self._terminal.stream.write(f"\r\x1b[K{line}")
        self._terminal.stream.flush()
        self._shown = line
