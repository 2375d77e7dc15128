"""Reads JUnit XML, written by anybody: as a stream, without document types and entities, within bounds.

One dialect is no other: pytest, unittest-xml-reporting, Surefire (`rerunFailure`, `flakyFailure`) and their like are
read by what they have in common, and what is missing is left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import IO
from xml.parsers import expat

from mainstay.wire.runner import TestReport

READ_BYTES = 1 << 16
MAX_FILE_BYTES = 256 << 20
MAX_DEPTH = 100
MAX_TESTS = 200_000
MAX_SILENT_BYTES = 8 << 20
"""Of one tag or comment, which is held in memory until it ends."""
MAX_NAME = 2000
MAX_MESSAGE = 4 << 10
MAX_TEXT = 64 << 10
ROOTS = ("testsuites", "testsuite")
OUTCOMES = {"failure": "failed", "error": "error", "skipped": "skipped"}
TRIES = {"rerunFailure": "failed", "rerunError": "error", "flakyFailure": "failed", "flakyError": "error"}
NOT_RUN = frozenset({"notrun", "disabled", "suppressed", "skipped"})
"""Attributes `status` and `result`."""
RANK = {"passed": 0, "skipped": 1, "error": 2, "failed": 3}
TEXTS = frozenset((*OUTCOMES, *TRIES, "system-out", "system-err"))


class BadReport(Exception):
    """A file that is no report, with the line where that was seen."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(slots=True)
class _Case:
    """A test that is being read."""

    attributes: dict[str, str]
    suite: str
    outcome: str = "passed"
    message: str | None = None
    trace: str | None = None
    output: str = ""
    tries: list[tuple[str, bool, str | None, str | None]] = field(default_factory=list)
    """Outcome, whether it passed in the end, message and trace of each further try."""


def read(file: IO[bytes]) -> Iterator[TestReport]:
    """The tests of a report in its order; several reports with one id are the tries of one test. Raises BadReport."""
    reader = _Reader()
    size = 0
    while piece := file.read(READ_BYTES):
        size += len(piece)
        if size > MAX_FILE_BYTES:
            raise BadReport(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        reader.feed(piece)
        yield from reader.done()
    reader.end()
    yield from reader.done()


class _Reader:
    """Turns what the parser sees into reports."""

    def __init__(self) -> None:
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.CommentHandler = lambda _: self._hear()
        parser.ProcessingInstructionHandler = lambda *_: self._hear()
        self._depth = self._count = self._silent = 0
        self._suites: list[str] = []
        self._case: _Case | None = None
        self._inner: tuple[str, str | None, list[str]] | None = None
        """Tag, message and text of the part of a test that is being read."""
        self._length = 0
        self._inner_depth = 0
        self._ready: list[TestReport] = []

    def feed(self, piece: bytes) -> None:
        """Take some more of the file. Raises BadReport."""
        self._silent += len(piece)
        self._guarded(lambda: self._parser.Parse(piece, False))
        if self._silent > MAX_SILENT_BYTES:
            raise BadReport(f"it has a tag of more than {MAX_SILENT_BYTES >> 20} MiB", self._parser.CurrentLineNumber)

    def end(self) -> None:
        """That was all of it. Raises BadReport."""
        self._guarded(lambda: self._parser.Parse(b"", True))

    def done(self) -> list[TestReport]:
        """The tests that have been read since."""
        ready, self._ready = self._ready, []
        return ready

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except expat.ExpatError as error:
            raise BadReport(f"it is not well-formed XML: {expat.ErrorString(error.code)}", error.lineno) from None
        except (ValueError, LookupError) as error:  # an encoding that is not known, or that is none
            raise BadReport(f"it cannot be decoded: {error}", 1) from None

    def _hear(self) -> None:
        self._silent = 0

    def _refuse(self, message: str) -> BadReport:
        return BadReport(message, self._parser.CurrentLineNumber)

    def _doctype(self, *_: object) -> None:
        raise self._refuse("it has a document type, which reports do not have; it is not read")

    def _entity(self, *_: object) -> None:
        raise self._refuse("it declares entities, which reports do not have; it is not read")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._silent = 0
        self._depth += 1
        tag = tag.rpartition(":")[2]
        if self._depth > MAX_DEPTH:
            raise self._refuse(f"it is more than {MAX_DEPTH} levels deep")
        if self._depth == 1 and tag not in ROOTS:
            raise self._refuse(f"it is no JUnit report: it begins with <{tag[:50]}>, not <testsuites> or <testsuite>")
        if tag == "testsuite":
            self._suites.append(attributes.get("name", ""))
        elif tag == "testcase" and self._case is None:
            self._count += 1
            if self._count > MAX_TESTS:
                raise self._refuse(f"it has more than {MAX_TESTS} tests")
            self._case = _Case(attributes, self._suites[-1] if self._suites else "", _at_first(attributes))
        elif self._case is not None and self._inner is None and tag in TEXTS:
            message = attributes.get("message") or attributes.get("type")
            self._inner, self._length, self._inner_depth = (tag, message, []), 0, self._depth

    def _text(self, text: str) -> None:
        self._silent = 0
        if self._inner is not None and self._length < MAX_TEXT:
            self._inner[2].append(text)
            self._length += len(text)

    def _end(self, tag: str) -> None:
        self._silent = 0
        tag = tag.rpartition(":")[2]
        if self._inner is not None and self._depth == self._inner_depth:
            if self._case is not None:
                _close_part(self._case, *self._inner)
            self._inner = None
        elif tag == "testcase" and self._case is not None and self._inner is None:
            self._ready += _reports(self._case)
            self._case = None
        elif tag == "testsuite" and self._suites:
            self._suites.pop()
        self._depth -= 1


def _at_first(attributes: dict[str, str]) -> str:
    """What a test without a part that tells otherwise is: GoogleTest and CTest say of one that it was not run."""
    words = {attributes.get("status", "").lower(), attributes.get("result", "").lower()}
    return "skipped" if words & NOT_RUN else "passed"


def _close_part(case: _Case, tag: str, message: str | None, texts: list[str]) -> None:
    text = "".join(texts).strip()
    if tag in ("system-out", "system-err"):
        case.output = f"{case.output}\n{text}".strip()[:MAX_TEXT]
        return
    words = (message or text.partition("\n")[0])[:MAX_MESSAGE] or None
    trace = text[:MAX_TEXT] or None
    if tag in TRIES:
        if len(case.tries) < 100:
            case.tries.append((TRIES[tag], tag.startswith("flaky"), words, trace))
    elif RANK[OUTCOMES[tag]] > RANK[case.outcome]:
        case.outcome, case.message, case.trace = OUTCOMES[tag], words, trace


def _reports(case: _Case) -> Iterator[TestReport]:
    """The tries of one test: those before a flaky one passed, the test itself, those after it failed."""
    given = case.attributes
    file = (given.get("file") or given.get("filepath") or "")[:MAX_NAME] or None
    known = (_id(case, file), _seconds(given.get("time")), file, _number(given.get("line")))
    suite = (given.get("classname") or case.suite)[:MAX_NAME] or None
    before = [each for each in case.tries if each[1]]
    after = [each for each in case.tries if not each[1]]
    own = (case.outcome, False, case.message, case.trace)
    for number, (outcome, _, message, trace) in enumerate((*before, own, *after)):
        name, duration, file, line = known
        output = case.output or None if number == len(before) else None
        yield TestReport(
            name, outcome, duration, file, line, suite, message=message, trace=trace, output=output, rerun=number
        )


def _id(case: _Case, file: str | None) -> str:
    """As pytest names it where the file is known, else `class.test`."""
    name = case.attributes.get("name") or "(no name)"
    group = case.attributes.get("classname") or case.suite
    if file is not None and file.endswith(".py"):
        module = file.removesuffix(".py").replace("/", ".")
        if group == module or group.startswith(module + "."):
            return "::".join((file, *group[len(module) + 1 :].split("."), name) if group != module else (file, name))[
                :MAX_NAME
            ]
    return (f"{group}.{name}" if group else name)[:MAX_NAME]


def _seconds(text: str | None) -> float:
    try:
        value = float((text or "0").replace(",", ""))
    except ValueError:
        return 0.0
    return value if isfinite(value) and 0 <= value < 1e7 else 0.0


def _number(text: str | None) -> int | None:
    value = (text or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 8 else None
