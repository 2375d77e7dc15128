"""Looks at what a job printed, in the log file, after it was captured: workflow commands, and secrets to be hidden.

Output without `::` and without secrets, the common case, is searched once and never copied. Commands are lines, so the
last line is kept back as long as it may still become one.
"""

from collections.abc import Iterable

from mainstay.runner.logfile import LogFile
from mainstay.workflow.commands import MAX_LINE, AddMask, Command, CommandReader, may_hold_commands
from mainstay.workflow.masks import MIN_LENGTH, Masker

SLICE_BYTES = 4 << 20
BLOCK_BYTES = 64 << 10
"""Commands are looked for line by line only in blocks that may hold some."""


class Reading:
    """How far one job's log has been looked at, and what came of it."""

    def __init__(self, log: LogFile, masks: Iterable[str] = ()) -> None:
        """`masks`: values that are hidden from the first byte on."""
        self._log = log
        self._reader = CommandReader()
        self._masker: Masker | None = None
        self.done_bytes = 0
        """How much of what was printed has been looked at."""
        self._inside_line = False
        """Whether the next byte belongs to a line whose beginning has been let through as text."""
        self.ready_bytes = 0
        """How much of the log may leave the runner."""
        self.refused: str | None = None
        """Why one of `masks` cannot be hidden though it is long enough to be one, in words."""
        for value in masks:
            refused = self.hide(value)
            if refused is not None and len(value.strip()) >= MIN_LENGTH:
                self.refused = refused

    def begin_step(self) -> None:
        """Commands that an earlier step stopped are obeyed again."""
        self._reader = CommandReader()

    def hide(self, value: str) -> str | None:
        """Hide a value from here on. Returns why it is not hidden, in words, if so."""
        if self._masker is None:
            masker = Masker()
            refused = masker.add(value)
            if refused is None:
                self._masker = masker
                self._log.mask_from(self.done_bytes)
            return refused
        return self._masker.add(value)

    def holds_secret(self, text: str) -> bool:
        """Whether a value that must be hidden is in `text`."""
        return self.masked(text) != text

    def masked(self, text: str) -> str:
        """`text` with secrets hidden: for names, messages and summaries."""
        return text if self._masker is None else self._masker.mask_text(text)

    def advance(self, until: int, *, final: bool = False) -> tuple[list[Command], bool]:
        """Look at the next slice of the bytes printed, up to `until`; the commands found, and whether more is to do.

        `final`: nothing follows for now (a step has ended), so nothing is kept back either. Blocking; raises OSError
        when hidden bytes cannot be written.
        """
        size = min(until - self.done_bytes, SLICE_BYTES)
        data = self._log.read_raw(self.done_bytes, size) if size > 0 else b""
        last = final and self.done_bytes + len(data) >= until
        cut = len(data) if last else self._cut(data)
        if not cut:
            if last:
                self._flush()
            return [], False
        commands = self._scan(data[:cut] if cut < len(data) else data)
        self._inside_line = data[cut - 1] not in b"\r\n"
        if last:
            self._flush()
            self._inside_line = False
        return commands, self.done_bytes < until and len(data) == SLICE_BYTES

    def _cut(self, data: bytes) -> int:
        """Where to stop so that no line is let through of which a command may still come."""
        start = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        rest = data[start:]
        if not rest or (start == 0 and self._inside_line) or len(rest) > MAX_LINE:
            return len(data)
        beginning = rest[:64].lstrip()
        may_become = beginning[:1] in (b"", b":") if len(beginning) < 2 else beginning.startswith(b"::")
        return start if may_become or b"##[" in rest else len(data)

    def _scan(self, data: bytes) -> list[Command]:
        """Obey masks, collect the other commands, and make all of `data` ready."""
        if b"::" not in data and b"##[" not in data:
            self._let(data)
            return []
        commands: list[Command] = []
        let, start = 0, 0
        if self._inside_line:
            start = _line_end(data, 0)
        while start < len(data):
            end = _line_end(data, min(start + BLOCK_BYTES, len(data)))
            block = data[start:end]
            if may_hold_commands(block):
                for offset, line in _lines(block):
                    command = self._reader.read(line)
                    if isinstance(command, AddMask):
                        self._let(data[let : start + offset])
                        let = start + offset
                        self._hide_here(command)
                    if command is not None:
                        commands.append(command)
            start = end
        self._let(data[let:] if let else data)
        return commands

    def _hide_here(self, command: AddMask) -> None:
        # A value of several lines was printed with escapes; what can be printed later are its lines and itself.
        self.hide(command.value)

    def _let(self, data: bytes) -> None:
        self.done_bytes += len(data)
        if self._masker is None:
            self.ready_bytes += len(data)
        else:
            self._put(self._masker.feed(data))

    def _flush(self) -> None:
        if self._masker is not None:
            self._put(self._masker.flush())

    def _put(self, hidden: bytes) -> None:
        if hidden:
            self._log.append_masked(hidden)
            self.ready_bytes += len(hidden)


def _line_end(data: bytes, start: int) -> int:
    """Behind the line end at or after `start`."""
    found = data.find(b"\n", start)
    return len(data) if found < 0 else found + 1


def _lines(block: bytes) -> Iterable[tuple[int, bytes]]:
    """The lines that may be commands, with their offsets."""
    offset = 0
    for line in block.replace(b"\r", b"\n").split(b"\n"):
        if b"::" in line or b"##[" in line:
            yield offset, line
        offset += len(line) + 1
