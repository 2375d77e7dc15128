"""The test reports that a job's processes wrote, as one file: what the server gets as the attempt's tests."""

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mainstay.wire.runner import TestReport

MAX_TESTS = 200_000
MAX_LINE_BYTES = 512 << 10
MAX_BYTES = 48 << 20
"""Of all reports together; beyond it, only how a test ended is kept."""
MAX_FILES = 2_000
TEXTS = ("id", "file", "suite", "message", "trace", "output")
OUTCOMES = ("passed", "failed", "error", "skipped")
RANK = {"error": 3, "failed": 3, "passed": 2, "skipped": 1}

END = re.compile(rb'\{"end": (-?\d{1,9})\}\n')

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a job's tests reported."""

    counts: dict[str, int] = field(default_factory=dict)
    """Tests by how they ended; empty: there are no reports."""
    complete: bool = False
    """Every run of tests wrote down that it came to its end, some with failed tests, and no report was left out."""


def silent(folder: Path | None) -> bool:
    """Whether no test has reported anything there: most jobs test nothing, and a look is quicker than a thread."""
    if folder is None:
        return True
    try:
        with os.scandir(folder) as found:
            return next(found, None) is None
    except OSError:
        return False  # `gather` finds out


def gather(
    folder: Path | None, target: Path, mask: Callable[[str], str] = str, reported: Sequence[TestReport] = ()
) -> Gathered:
    """Merge the reports in `folder` into `target` (JSON lines). No reports, no file.

    A test that ran in several processes (the same suite under several interpreters) is there once, with its worst
    outcome. `reported` comes from report files: a test among them that is known from its process already is left out.
    `mask` hides secrets. Blocking; raises OSError when `target` cannot be written.
    """
    tests: dict[str, list[TestReport]] = {}
    dropped = 0
    ends: list[int | None] = []
    for path in _files(folder):
        own: dict[str, list[TestReport]] = {}
        end: int | None = None
        for report in _reports(path):
            if isinstance(report, int):
                end = report
                continue
            if report is None or (report.id not in tests and len(tests) + len(own) >= MAX_TESTS):
                dropped += 1
            else:
                own.setdefault(report.id, []).append(report)
        ends.append(end)
        for name, tries in own.items():
            before = tests.get(name)
            if before is None or RANK[tries[-1].outcome] > RANK[before[-1].outcome]:
                tests[name] = tries
    if reported:
        _add_reported(tests, reported)
    if dropped:
        log.warning("%d test reports could not be read or were too many", dropped)
    complete = not dropped and 1 in ends and all(end in (0, 1) for end in ends)
    if not tests:
        return Gathered()
    _write(tests, target, mask)
    counts = Counter(tries[-1].outcome for tries in tests.values())
    return Gathered({outcome: counts[outcome] for outcome in OUTCOMES}, complete)


def _add_reported(tests: dict[str, list[TestReport]], reported: Sequence[TestReport]) -> None:
    """Files name a test by its class or by its file: `tests.test_a.Case.test_x` is `tests/test_a.py::Case::test_x`."""
    known = {_dotted(name) for name in tests}
    tries: list[list[TestReport]] = []
    for report in reported:
        if report.rerun and tries and tries[-1][-1].id == report.id:
            tries[-1].append(report)
        elif _dotted(report.id) not in known:
            tries.append([report])
    for each in tries:
        before = tests.get(each[0].id)
        if before is None:
            if len(tests) < MAX_TESTS:
                tests[each[0].id] = each
        elif RANK[each[-1].outcome] > RANK[before[-1].outcome]:
            tests[each[0].id] = each


def _dotted(name: str) -> str:
    """A test's id without regard to how its parts are put together; the parameters stay as they are."""
    path, bracket, parameters = name.partition("[")
    file, colons, rest = path.partition("::")
    file = file.removesuffix(".py").replace("/", ".") if colons else file
    return f"{file}.{rest.replace('::', '.')}{bracket}{parameters}" if colons else name


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        found = [path for path in folder.iterdir() if path.suffix == ".jsonl"]
    except OSError:
        return []  # the job took its own folder away
    return sorted(found, key=lambda path: path.name)[:MAX_FILES]


def _reports(path: Path) -> Iterator[TestReport | int | None]:
    """The reports of one process, tries of one test numbered; None for each that cannot be read.

    A number is the exit code that a run of tests ended with.
    """
    decoder = msgspec.json.Decoder(TestReport)
    tries: Counter[str] = Counter()
    try:
        # The job may have put anything here.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            yield None
            return
        while line := file.readline(MAX_LINE_BYTES):
            if (ended := END.fullmatch(line)) is not None:
                yield int(ended[1])
                continue
            try:
                report = decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                yield None
                continue
            if report.outcome not in RANK or not report.id:
                yield None
                continue
            yield msgspec.structs.replace(report, rerun=tries[report.id])
            tries[report.id] += 1


def _write(tests: dict[str, list[TestReport]], target: Path, mask: Callable[[str], str]) -> None:
    encoder = msgspec.json.Encoder()
    size = 0
    with target.open("wb") as file:
        for tries in tests.values():
            for report in tries:
                line = encoder.encode(_masked(report, mask))
                if size + len(line) > MAX_BYTES:
                    line = encoder.encode(msgspec.structs.replace(report, message=None, trace=None, output=None))
                size += len(line) + 1
                file.write(line + b"\n")


def _masked(report: TestReport, mask: Callable[[str], str]) -> TestReport:
    """All texts of a report are hidden at once: a suite has up to 200,000 of them, and each look costs."""
    texts = {name: text for name in TEXTS if (text := getattr(report, name)) is not None}
    joined = "\0".join(texts.values())
    hidden = mask(joined)
    if hidden == joined:
        return report
    parts = hidden.split("\0")
    if len(parts) != len(texts):  # a secret with a NUL in it
        parts = [mask(text) for text in texts.values()]
    return msgspec.structs.replace(report, **dict(zip(texts, parts, strict=True)))
