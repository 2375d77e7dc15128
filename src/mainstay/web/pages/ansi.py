"""A log's bytes as HTML: colours become classes, everything else that terminals obey is taken out or made visible.

Nothing a job prints can reach the page but as text: no links, no titles, no moved cursors, no turned writing direction.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

LONGEST_LINE = 4096
"""Bytes of one line that are shown; the raw log has them all."""

_ESCAPES = re.compile(
    rb"\x1b\[([0-9;:]*)m"  # colours: kept
    rb"|\x1b\[[0-?]*[ -/]*[@-~]"  # other control sequences
    rb"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # titles, links, device strings
    rb"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = {code: 0x2400 + code for code in range(32) if code != 9} | {127: 0x2421}
TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C], 0xFFFD)
"""Marks that turn the writing direction of what stands around them."""
_SIGNS = {**_CONTROLS, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD), **TURNING, 0x2028: 0xFFFD, 0x2029: 0xFFFD}

_BASIC = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_STYLES = ("bold", "faint", "italic", "underline", "struck")
_SWITCHES = {
    1: (("bold", True),),
    2: (("faint", True),),
    3: (("italic", True),),
    4: (("underline", True),),
    7: (("turned", True),),
    9: (("struck", True),),
    22: (("bold", False), ("faint", False)),
    23: (("italic", False),),
    24: (("underline", False),),
    27: (("turned", False),),
    29: (("struck", False),),
}


@dataclass(slots=True)
class Look:
    """What the terminal would print with."""

    colour: str = ""
    ground: str = ""
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    struck: bool = False
    turned: bool = False
    """Colour and ground change places."""

    def classes(self) -> str:
        """The classes that give this look; empty for plain text."""
        ground = self.colour or "ink" if self.turned else self.ground
        found = [f"b-{ground}"] if ground else [f"c-{self.colour}"] if self.colour else []
        found.extend(f"t-{name}" for name in _STYLES if getattr(self, name))
        return " ".join(found)

    def obey(self, codes: bytes) -> None:
        """Change by the numbers of a colour sequence; unknown ones change nothing."""
        numbers = [int(part) if part else 0 for part in codes.replace(b":", b";").split(b";")[:32] if len(part) < 4]
        index = 0
        while index < len(numbers):
            number = numbers[index]
            if number in (38, 48):
                name, used = _extended(numbers[index + 1 :])
                if number == 38:
                    self.colour = name
                else:
                    self.ground = name
                index += used
            else:
                self._one(number)
            index += 1

    def _one(self, number: int) -> None:
        if number == 0:
            self.colour = self.ground = ""
            self.bold = self.faint = self.italic = self.underline = self.struck = self.turned = False
        elif number in _SWITCHES:
            for name, on in _SWITCHES[number]:
                setattr(self, name, on)
        elif 30 <= number <= 37 or 90 <= number <= 97:
            self.colour = _BASIC[number % 10]
        elif 40 <= number <= 47 or 100 <= number <= 107:
            self.ground = _BASIC[number % 10]
        elif number == 39:
            self.colour = ""
        elif number == 49:
            self.ground = ""


def _extended(numbers: list[int]) -> tuple[str, int]:
    """The nearest of our colours for `5;N` or `2;R;G;B`, and how many numbers that took."""
    if len(numbers) >= 2 and numbers[0] == 5:
        return _of_256(numbers[1]), 2
    if len(numbers) >= 4 and numbers[0] == 2:
        return _of_rgb(*numbers[1:4]), 4
    return "", len(numbers)


def _of_256(number: int) -> str:
    if number < 16:
        return _BASIC[number % 8]
    if number < 232:
        number -= 16
        return _of_rgb(number // 36 * 51, number // 6 % 6 * 51, number % 6 * 51)
    return "white" if number > 243 else "black"


def _of_rgb(red: int, green: int, blue: int) -> str:
    middle = max(red, green, blue) // 2 + 1
    return (
        _BASIC[(red >= middle) + 2 * (green >= middle) + 4 * (blue >= middle)]
        if max(red, green, blue) > 40
        else "black"
    )


_COMMAND = re.compile(rb"(?:\x1b\[[0-9;]*m)*(?:::|##\[)(group|endgroup|error|warning|notice)\b[^\n]*?(?:::|\])")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: where it begins in the log, and how it looks."""

    offset: int
    html: Markup
    hidden: int = 0
    """Bytes of it that are not shown: it is too long."""
    kind: str = ""
    """Of a workflow command: `group` (its html is the title), `endgroup`, `error`, `warning`, `notice`."""
    number: int | None = None
    """From 1; None: not known, in the depth of a log of an older version."""
    here: bool = False
    """Whether the page was asked to open at it."""


def lines(data: bytes, start: int, first: int | None = None, look: Look | None = None) -> Iterator[LogLine]:
    """The lines of a part of a log that begins at byte `start`, with line `first`.

    Colours go on over line ends, as in a terminal.
    """
    look = look or Look()
    place = 0
    while place < len(data):
        end = data.find(b"\n", place)
        after = len(data) if end < 0 else end + 1
        yield _line(data[place : len(data) if end < 0 else end], start + place, first, look)
        first = None if first is None else first + 1
        place = after


def _line(raw: bytes, offset: int, number: int | None, look: Look) -> LogLine:
    command = _COMMAND.match(raw, 0, 500) if b"::" in raw[:60] or b"##[" in raw[:60] else None
    kind = command[1].decode() if command else ""
    if command and kind == "group":
        raw = raw[command.end() :]
    raw = last_written(raw, look)
    return LogLine(offset, line(raw[:LONGEST_LINE], look), max(0, len(raw) - LONGEST_LINE), kind, number)


def last_written(raw: bytes, look: Look) -> bytes:
    """Of a line that was written over (`\r`), as progress bars do, what was written last."""
    over, _, raw = raw.rstrip(b"\r").rpartition(b"\r")
    for match in _ESCAPES.finditer(over[-LONGEST_LINE:]):
        if match[1] is not None:
            look.obey(match[1])
    return raw


def line(raw: bytes, look: Look) -> Markup:
    """One line, or the part of it that is shown, without its end."""
    found: list[str] = []
    place = 0
    for match in _ESCAPES.finditer(raw):
        found.append(_text(raw[place : match.start()], look))
        if match.group(1) is not None:
            look.obey(match.group(1))
        place = match.end()
    found.append(_text(raw[place:], look))
    return Markup("").join(Markup(each) for each in found)  # noqa: S704 - each was escaped by _text


def plain(raw: bytes) -> str:
    """A line's text without its looks, for searching and marking."""
    return _ESCAPES.sub(b"", raw).decode("utf-8", "replace").translate(_SIGNS)


def _text(raw: bytes, look: Look) -> str:
    if not raw:
        return ""
    text = escape(raw.decode("utf-8", "replace").translate(_SIGNS))
    classes = look.classes()
    return f'<span class="{classes}">{text}</span>' if classes else str(text)
