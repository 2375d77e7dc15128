"""Writes how tests ended, one JSON object a line, one file per process: for the pytest plugin and the unittest watch.

The keys are those of `mainstay.wire.runner.TestReport`. Standard library only, Python 3.8 to 3.14. Nothing here raises.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

FOLDER = "MAINSTAY_TESTS_DIR"
MAX_ID = 4000
MAX_MESSAGE = 4 << 10
MAX_TEXT = 64 << 10
MAX_FILE_BYTES = 64 << 20
"""Beyond it only ids and outcomes are written."""


def claim() -> str | None:
    """The folder to write to, for the outermost test run only: what it starts itself does not find it any more.

    So a project that tests pytest plugins does not count the runs inside its tests. Undone by `give_back`.
    """
    return os.environ.pop(FOLDER, None)


def only(folder: str) -> list[str] | None:
    """The names of the tests that a run is limited to, when a culprit is searched for; None: all of them."""
    try:
        with open(os.path.join(folder, "only.json"), encoding="utf-8") as file:
            return [str(name) for name in json.load(file)]
    except (OSError, ValueError, TypeError):
        return None


def give_back(folder: str) -> None:
    """The run is over: the next one in this process may be counted again."""
    os.environ.setdefault(FOLDER, folder)


class Writer:
    """The file of this process. That it is there says that a run of tests began; its last line says how it ended."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pid = os.getpid()
        self._fd: int | None = None
        self._bytes = 0

    def begin(self) -> None:
        """Make the file."""
        try:
            if self._fd is None:
                name = f"{self._pid}-{os.urandom(4).hex()}.jsonl"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self._fd = os.open(os.path.join(self._folder, name), flags, 0o644)
        except OSError:
            pass

    def end(self, exit_code: int) -> None:
        """The run came to its own end, with this exit code; without this line it crashed."""
        if self._fd is not None and os.getpid() == self._pid:
            with suppress(OSError):
                os.write(self._fd, b'{"end": %d}\n' % exit_code)

    def write(self, report: dict[str, Any]) -> None:
        """Write one report; nothing in a process that was forked off within a test."""
        if os.getpid() != self._pid:
            return
        try:
            self.begin()
            if self._fd is None:
                return
            if self._bytes > MAX_FILE_BYTES:
                report = {key: report[key] for key in ("id", "outcome", "duration_s") if key in report}
            line = json.dumps({key: value for key, value in report.items() if value is not None}) + "\n"
            data = line.encode("ascii", "replace")
            self._bytes += len(data)
            os.write(self._fd, data)
        except (OSError, ValueError, TypeError):
            pass

    def close(self) -> None:
        """No more reports."""
        if self._fd is not None and os.getpid() == self._pid:
            with suppress(OSError):
                os.close(self._fd)
        self._fd = None


def cut(text: str, most: int = MAX_TEXT) -> str:
    """A long text without its middle, without halves of surrogate pairs that JSON readers refuse."""
    if len(text) > most:
        head = most // 4
        text = f"{text[:head]}\n... {len(text) - most} characters left out ...\n{text[head - most :]}"
    return text.encode("utf-8", "replace").decode("utf-8")


def first_lines(text: str) -> str:
    """What is shown of a failure in one look."""
    return cut("\n".join(text.strip().splitlines()[:20]), MAX_MESSAGE)
