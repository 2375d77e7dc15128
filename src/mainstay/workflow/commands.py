"""What a step says to the runner in its output: workflow commands (`::error file=a.py,line=3::text`).

The files that it writes (GITHUB_ENV and the like) are in `command_files`. Source: GitHub's "Workflow commands", and its
runner where that is silent. Bytes come in as they were printed; what is not UTF-8 is replaced.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from mainstay.model.job import Annotation

MAX_LINE = 1024 * 1024
"""Bytes of a line that is still read as a command."""
MAX_MESSAGE = 64 * 1024
"""Characters of an annotation's or debug message; what is beyond is cut with a mark."""
MAX_NAME = 1024
"""Characters of a title, group, name or token."""


@dataclass(frozen=True, slots=True)
class Annotate:
    """`::error ...::`, `::warning`, `::notice`. The path is as it was printed, absolute or not."""

    annotation: Annotation


@dataclass(frozen=True, slots=True)
class Debug:
    """`::debug::text`."""

    message: str


@dataclass(frozen=True, slots=True)
class Group:
    """`::group::title`: the lines that follow belong together."""

    title: str


@dataclass(frozen=True, slots=True)
class EndGroup:
    """`::endgroup::`."""


@dataclass(frozen=True, slots=True)
class AddMask:
    """`::add-mask::value`: never print it again. The line itself must not be shown."""

    value: str


@dataclass(frozen=True, slots=True)
class SetOutput:
    """`::set-output name=N::V`: deprecated, still obeyed; tell the user once with `DEPRECATED["set-output"]`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SaveState:
    """`::save-state name=N::V`: deprecated, still obeyed; tell the user once with `DEPRECATED["save-state"]`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Echo:
    """`::echo::on`: from now on the commands themselves are shown as well."""

    on: bool


@dataclass(frozen=True, slots=True)
class StopCommands:
    """`::stop-commands::TOKEN`: until `::TOKEN::`, lines are only text."""

    token: str


@dataclass(frozen=True, slots=True)
class ResumeCommands:
    """`::TOKEN::`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that is known and not obeyed: `set-env`, `add-path`, one without its name or with a bad value."""

    name: str
    message: str
    """What is wrong and what to do; never holds the command's value."""


Command: TypeAlias = (
    Annotate
    | Debug
    | Group
    | EndGroup
    | AddMask
    | SetOutput
    | SaveState
    | Echo
    | StopCommands
    | ResumeCommands
    | Refused
)

DEPRECATED = {
    "set-output": 'the command set-output is deprecated; write echo "name=value" >> "$GITHUB_OUTPUT"',
    "save-state": 'the command save-state is deprecated; write echo "name=value" >> "$GITHUB_STATE"',
}

_NOT_OBEYED = {
    "set-env": 'set-env is switched off, because any printed line could change the environment; write echo "N=value" '
    '>> "$GITHUB_ENV"',
    "add-path": 'add-path is switched off, because any printed line could change PATH; write echo "folder" >> '
    '"$GITHUB_PATH"',
    "add-matcher": "problem matchers are not supported; print ::error file=...,line=...::text instead",
    "remove-matcher": "problem matchers are not supported",
}

_LEVELS = frozenset({"error", "warning", "notice"})
_PLAIN = frozenset({"debug", "group", "endgroup", "add-mask", "echo", "stop-commands"})
NAMES = _LEVELS | _PLAIN | DEPRECATED.keys() | _NOT_OBEYED.keys()
"""Every command. A line with another name between its colons is only text."""

_AT_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*::")
_AT_LINE = re.compile(rb"\n(?:\xef\xbb\xbf)?\s*::")
"""It begins with one certain byte, so that the search goes from line end to line end."""


def may_hold_commands(output: bytes) -> bool:
    """Whether it is worth looking at the lines of this piece of output one by one. It begins at a line's beginning."""
    return b"##[" in output or _AT_START.match(output) is not None or _AT_LINE.search(output) is not None


class CommandReader:
    """Reads the lines of one step's output; knows whether commands are stopped."""

    def __init__(self) -> None:
        self._token: str | None = None
        """What ends the stop, in lower case. None: commands are obeyed."""

    def read(self, line: bytes) -> Command | None:
        """The command in one line (with or without its line end), or None: only text."""
        if not may_hold_commands(line):
            return None
        found = _split(line[:MAX_LINE].decode("utf-8", "replace").rstrip("\r\n"))
        if found is None:
            return None
        name, properties, value = found
        if self._token is not None:
            return self._resume(name)
        if name not in NAMES:
            return None
        if len(line) > MAX_LINE:
            return Refused(name, f"the command's line has {len(line)} bytes, more than the limit of {MAX_LINE}")
        if name == "stop-commands":
            return self._stop(value)
        return _command(name, properties, value)

    def _resume(self, name: str) -> ResumeCommands | None:
        if name != self._token:
            return None
        self._token = None
        return ResumeCommands()

    def _stop(self, token: str) -> StopCommands | Refused:
        lower = token.lower()
        if not lower.strip() or lower in NAMES or lower == "pause-logging" or " " in lower or len(lower) > MAX_NAME:
            return Refused(
                "stop-commands",
                "stop-commands needs a token that nobody can guess: no command's name, without blanks, "
                f"up to {MAX_NAME} characters",
            )
        self._token = lower
        return StopCommands(token)


def _split(text: str) -> tuple[str, dict[str, str], str] | None:
    """Name in lower case, properties by lower name, and value of a line in the new or the old (`##[...]`) form."""
    text = text.lstrip("\ufeff \t\r\n\v\f")
    if text.startswith("::"):
        head, separator, value = text[2:].partition("::")
        between, escapes = ",", _PROPERTY_ESCAPES
        value = _unescape(value, _VALUE_ESCAPES)
    else:
        head, separator, value = text.partition("##[")[2].partition("]")
        between, escapes = ";", _OLD_ESCAPES
        value = _unescape(value, _OLD_ESCAPES)
    if not separator:
        return None
    name, _, rest = head.partition(" ")
    properties = {}
    for pair in rest.strip().split(between, 50):
        key, _, text = pair.partition("=")
        if text:
            properties[key.strip().lower()] = _unescape(text, escapes)
    return name.lower(), properties, value


_VALUE_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))
_PROPERTY_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
_OLD_ESCAPES = (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%"))
"""In this order: `%250A` is the text `%0A`."""


def _unescape(text: str, escapes: tuple[tuple[str, str], ...]) -> str:
    if "%" in text:
        for escaped, character in escapes:
            text = text.replace(escaped, character)
    return text


def _command(name: str, properties: dict[str, str], value: str) -> Command:
    if name in _LEVELS:
        return Annotate(_annotation(name, properties, value))
    if name in _NOT_OBEYED:
        return Refused(name, _NOT_OBEYED[name])
    if name in DEPRECATED:
        return _pair(name, properties, value)
    match name:
        case "debug":
            return Debug(_cut(value, MAX_MESSAGE))
        case "group":
            return Group(_cut(value, MAX_NAME))
        case "endgroup":
            return EndGroup()
        case "add-mask":
            return (
                AddMask(value) if value.strip() else Refused(name, "add-mask needs a value; an empty one hides nothing")
            )
        case _:
            state = value.strip().lower()
            return Echo(state == "on") if state in ("on", "off") else Refused(name, "echo is either on or off")


def _pair(name: str, properties: dict[str, str], value: str) -> SetOutput | SaveState | Refused:
    key = properties.get("name", "")
    if not key or len(key) > MAX_NAME:
        return Refused(name, f"{name} needs a name of up to {MAX_NAME} characters: ::{name} name=NAME::value")
    return SetOutput(key, value) if name == "set-output" else SaveState(key, value)


def _annotation(level: str, properties: dict[str, str], message: str) -> Annotation:
    """Line numbers that make no sense are left out, as on GitHub; an end without a beginning is the beginning."""
    line, end_line = _number(properties.get("line")), _number(properties.get("endline"))
    line = line or end_line
    if line is None or end_line is None or end_line < line:
        end_line = None
    column = _number(properties.get("col")) or _number(properties.get("endcolumn"))
    title, path = properties.get("title"), properties.get("file")
    return Annotation(
        level,
        _cut(message, MAX_MESSAGE),
        title=_cut(title, MAX_NAME) if title else None,
        path=_cut(path, 4 * MAX_NAME) if path else None,
        line=line,
        end_line=end_line,
        column=column if line else None,
    )


def _number(text: str | None) -> int | None:
    """From 1 to 9 digits: lines and columns count from 1."""
    text = (text or "").strip()
    return int(text) or None if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} [cut: {len(text) - limit} more characters]"
