"""What a job's report files say (`reports:`), when its steps have run: tests of JUnit XML, coverage as an artifact."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mainstay.model.errors import MainstayError
from mainstay.model.job import Annotation
from mainstay.runner import below, junit
from mainstay.runner.hashing import files_below
from mainstay.runner.steps import Site
from mainstay.wire.runner import TestReport
from mainstay.workflow.globs import GlobError, select_files

MAX_FILES = 2_000
MAX_TEXT = 48 << 20
"""Characters of all messages, traces and outputs; what comes after goes without."""
TITLE = "Reports"


async def collect(site: Site) -> tuple[TestReport, ...]:
    """The tests of all report files; what cannot be read becomes a warning. Coverage is kept."""
    wanted = site.assignment.plan.reports
    if not wanted or site.situation.stop is not None:
        return ()
    run = site.machine.threads.run
    found: tuple[TestReport, ...] = ()
    try:
        if wanted.get("junit"):
            found, remarks = await run(_junit, site.place.work, wanted["junit"])
            for remark in remarks:
                site.situation.remark(remark)
        if wanted.get("coverage"):
            await _keep_coverage(site, wanted["coverage"])
    except GlobError as error:
        site.situation.remark(Annotation("warning", f"reports: {error}", title=TITLE))
    return found


async def _keep_coverage(site: Site, patterns: tuple[str, ...]) -> None:
    work = site.place.work
    chosen = await site.machine.threads.run(_choose, work, patterns)
    if not chosen:
        site.situation.remark(Annotation("warning", _nothing("coverage", patterns), title=TITLE))
        return
    try:
        await site.keep("coverage-report", lambda target: _zip(work, chosen, target), None, "coverage")
    except (MainstayError, OSError, ValueError) as error:  # ValueError: a name that no zip can have
        site.situation.remark(Annotation("warning", f"reports.coverage: {error}", title=TITLE))


def _choose(work: Path, patterns: tuple[str, ...]) -> tuple[str, ...]:
    return select_files(patterns, files_below(work), str(work))[:MAX_FILES]


def _nothing(what: str, patterns: tuple[str, ...]) -> str:
    return f"reports.{what}: no file was found for {' '.join(patterns)}"


def _zip(work: Path, files: tuple[str, ...], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as bundle:
        for path in files:
            below.into_zip(bundle, work, work / path, path)


def _junit(work: Path, patterns: tuple[str, ...]) -> tuple[tuple[TestReport, ...], list[Annotation]]:
    """All tests of all files that match, and what is to be said of those that cannot be read."""
    files = _choose(work, patterns)
    if not files:
        return (), [Annotation("warning", _nothing("junit", patterns), title=TITLE)]
    found: list[TestReport] = []
    remarks: list[Annotation] = []
    left = MAX_TEXT
    for name in files:
        try:
            for report in _read(work, work / name):
                left -= sum(len(text) for text in (report.message, report.trace, report.output) if text)
                found.append(report if left > 0 else _bare(report))
                if len(found) > junit.MAX_TESTS:
                    words = f"reports.junit: more than {junit.MAX_TESTS} tests; those from {name} on are left out"
                    return tuple(found), [*remarks, Annotation("warning", words, title=TITLE)]
        except junit.BadReport as error:
            remarks.append(_unreadable(name, error.message, error.line))
        except OSError as error:
            remarks.append(_unreadable(name, error.strerror or str(error)))
    return tuple(found), remarks


def _unreadable(name: str, why: str, line: int | None = None) -> Annotation:
    shown = name.encode("utf-8", "replace").decode()
    return Annotation("warning", f"the report {shown} cannot be read: {why}", title=TITLE, path=shown, line=line)


def _read(work: Path, path: Path) -> Iterator[TestReport]:
    """The tests up to its end or to a mistake: what could be read before that did run."""
    with below.opened(work, path) as fd, os.fdopen(os.dup(fd), "rb") as file:
        yield from junit.read(file)


def _bare(report: TestReport) -> TestReport:
    return TestReport(
        report.id, report.outcome, report.duration_s, report.file, report.line, report.suite, rerun=report.rerun
    )
