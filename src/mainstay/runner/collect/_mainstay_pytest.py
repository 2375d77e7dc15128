"""A pytest plugin that writes down how each test ended. Found by its entry point, so it is there only with this folder.

For pytest 6 to 9, with xdist (the controller writes), subtests and reruns. It prints nothing, changes no exit code, and
whatever goes wrong in it is its own business.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import _mainstay_reports as reports  # type: ignore[import-not-found]
import _mainstay_split as division  # type: ignore[import-not-found]
import pytest

SEVERITY = {"passed": 0, "skipped": 1, "error": 2, "failed": 3}


def pytest_addoption(parser: Any) -> None:
    """One option, for suites that are divided among jobs."""
    with suppress(Exception):
        words = "run only the tests of shard I of N, divided by measured durations (or set MAINSTAY_SHARD)"
        parser.getgroup("mainstay").addoption("--mainstay-shard", metavar="I/N", default=None, help=words)


def pytest_configure(config: Any) -> None:
    """Begin to record, unless this is a worker of xdist or a run inside a test."""
    folder: str | None = None
    with suppress(Exception):
        _hide_from_header(config)
        folder = None if hasattr(config, "workerinput") else reports.claim()
        if folder:
            config.pluginmanager.register(Recorder(folder), "mainstay-recorder")
    choose(config, folder)  # what goes wrong here must be told: else every shard would run the whole suite


def choose(config: Any, folder: str | None) -> None:
    """Limit the run to the tests that are wanted; workers of xdist are told by the controller."""
    told = getattr(config, "workerinput", {}).get("mainstay_only")
    names = reports.only(folder) if folder else told
    if names is not None:
        config.pluginmanager.register(Chooser(frozenset(names)), "mainstay-chooser")
        return
    divided = shard_of(config, folder)
    if divided is not None:
        sharder = Sharder(*divided)
        sharder.folder = folder
        config.pluginmanager.register(sharder, "mainstay-sharder")


def shard_of(config: Any, folder: str | None) -> tuple[int, int, dict[str, float]] | None:
    """Shard, number of shards and durations; None: the run is not divided. A run within a test never is."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        told = worker.get("mainstay_shard")
        return None if told is None else (told[0], told[1], division.read(told[2]))
    asked = config.getoption("--mainstay-shard", None) or (folder and os.environ.get(division.SHARD))
    if not asked:
        return None
    try:
        index, shards = division.parse(asked)
    except division.BadShard as error:
        raise pytest.UsageError(str(error)) from None
    return index, shards, division.read(folder)


class Sharder:
    """Leaves out the tests of the other shards."""

    def __init__(self, index: int, shards: int, durations: dict[str, float]) -> None:
        self._index = index
        self._shards = shards
        self._durations = durations
        self.folder: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """All tests are known: each is in one shard, in the order it was in."""
        shards = division.divided([item.nodeid for item in items], self._shards, self._durations)
        left_out = [item for item in items if shards[item.nodeid] != self._index]
        items[:] = [item for item in items if shards[item.nodeid] == self._index]
        if left_out:
            config.hook.pytest_deselected(items=left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """A worker of xdist is about to start."""
        node.workerinput["mainstay_shard"] = [self._index, self._shards, self.folder]


class Chooser:
    """Leaves out the tests that nobody asks for."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """All tests are known: the others are deselected."""
        left_out = [item for item in items if item.nodeid not in self._names]
        items[:] = [item for item in items if item.nodeid in self._names]
        if left_out:
            config.hook.pytest_deselected(items=left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """A worker of xdist is about to start."""
        node.workerinput["mainstay_only"] = sorted(self._names)


def _hide_from_header(config: Any) -> None:
    """The list of plugins that pytest prints stays what it is without us."""
    known = config.pluginmanager._plugin_distinfo
    known[:] = [entry for entry in known if entry[0] is not sys.modules[__name__]]


class _Test:
    """What is known of one test so far."""

    __slots__ = ("duration", "message", "outcome", "output", "trace")

    def __init__(self) -> None:
        self.outcome = "passed"
        self.duration = 0.0
        self.message: str | None = None
        self.trace: str | None = None
        self.output: str | None = None


class Recorder:
    """Takes the reports of setup, call and teardown of each test and writes one line."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._writer = reports.Writer(folder)
        self._writer.begin()
        self._exit_code: int | None = None
        self._open: dict[tuple[str, int], _Test] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A phase of a test has ended."""
        with suppress(Exception):
            self._take(report)

    def pytest_collectreport(self, report: Any) -> None:
        """A file has been collected: only errors are of interest."""
        with suppress(Exception):
            if report.failed:
                text = _text(report)
                self._write(report, "error", 0.0, reports.first_lines(text), reports.cut(text), None)

    def pytest_sessionfinish(self, session: Any, exitstatus: Any) -> None:
        """The tests are over."""
        with suppress(Exception):
            self._exit_code = int(exitstatus)

    def pytest_unconfigure(self) -> None:
        """The run is over."""
        if self._exit_code is not None:
            self._writer.end(self._exit_code)
        self._writer.close()
        reports.give_back(self._folder)

    def _take(self, report: Any) -> None:
        key = (report.nodeid, id(getattr(report, "node", None)))
        test = self._open.get(key)
        if test is None:
            test = self._open[key] = _Test()
        subtest = type(report).__name__.lower().startswith("subtest")
        if not subtest:
            test.duration += getattr(report, "duration", 0.0) or 0.0
        outcome = self._outcome(report, subtest)
        if outcome is not None and SEVERITY[outcome] > SEVERITY[test.outcome]:
            test.outcome = outcome
            self._explain(test, report)
        if report.outcome == "rerun" or (report.when == "teardown" and not subtest):
            del self._open[key]
            self._write(report, test.outcome, test.duration, test.message, test.trace, test.output)

    @staticmethod
    def _outcome(report: Any, subtest: bool) -> str | None:
        """What this phase says of the test; None: nothing."""
        if report.outcome == "rerun":
            return "failed"
        if report.outcome == "failed":
            return "failed" if report.when == "call" else "error"
        if report.outcome == "skipped" and not subtest:
            return "skipped"
        return None

    @staticmethod
    def _explain(test: _Test, report: Any) -> None:
        if report.outcome == "skipped":
            expected = getattr(report, "wasxfail", None)
            if expected is not None:
                test.message = reports.cut(f"expected to fail: {expected}", reports.MAX_MESSAGE)
            elif isinstance(report.longrepr, tuple):
                test.message = reports.cut(str(report.longrepr[2]), reports.MAX_MESSAGE)
            return
        text = _text(report)
        crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
        test.message = reports.first_lines(getattr(crash, "message", None) or text)
        test.trace = reports.cut(text)
        printed = "\n".join(f"--- {title} ---\n{content}" for title, content in report.sections if content)
        test.output = reports.cut(printed) if printed else None

    def _write(
        self, report: Any, outcome: str, duration: float, message: str | None, trace: str | None, output: str | None
    ) -> None:
        location = getattr(report, "location", None)
        parts = (report.nodeid or "collection").split("[", 1)[0].split("::")
        line = location[1] if location else None
        self._writer.write(
            {
                "id": reports.cut(report.nodeid or "collection", reports.MAX_ID),
                "outcome": outcome,
                "duration_s": round(duration, 6),
                "file": reports.cut(location[0] if location else parts[0], 1000),
                "line": line + 1 if line is not None else None,
                "suite": reports.cut("::".join(parts[1:-1]) or parts[0], 1000),
                "message": message,
                "trace": trace,
                "output": output,
            }
        )


def _text(report: Any) -> str:
    return str(getattr(report, "longreprtext", "") or report.longrepr or "")
