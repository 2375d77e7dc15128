"""Watches unittest: the result of the outermost run in a process is listened to, whatever class it is of.

Standard library only, Python 3.8 to 3.14. Whatever goes wrong in it is its own business.
"""

from __future__ import annotations

import os
import time
import traceback
from contextlib import suppress
from typing import Any

import _mainstay_reports as reports  # type: ignore[import-not-found]

SEVERITY = {"passed": 0, "skipped": 1, "failed": 2, "error": 3}


def patch(runner: Any) -> None:
    """`runner` is the module unittest.runner, just imported."""
    import unittest.suite as suite  # noqa: PLC0415  (imported by the runner already)

    plain_run, plain_suite = runner.TextTestRunner.run, suite.TestSuite.run

    def run(self: Any, test: Any) -> Any:
        folder = _claimed()
        if folder is None:
            return plain_run(self, test)
        test = _chosen(test, folder)
        make = self._makeResult
        listener = Listener(folder)

        def make_result() -> Any:
            return listener.attach(make())

        self._makeResult = make_result
        try:
            result = plain_run(self, test)
            listener.end(result)
            return result
        finally:
            listener.close()
            self.__dict__.pop("_makeResult", None)

    def run_suite(self: Any, result: Any, debug: bool = False) -> Any:
        folder = _claimed()
        if folder is None:
            return plain_suite(self, result, debug)
        self = _chosen(self, folder)
        listener = Listener(folder)
        listener.attach(result)
        try:
            done = plain_suite(self, result, debug)
            listener.end(result)
            return done
        finally:
            listener.close()

    runner.TextTestRunner.run = run
    setattr(suite.TestSuite, "run", run_suite)  # noqa: B010  (mypy takes it for a mistake otherwise)


def _chosen(test: Any, folder: str) -> Any:
    """The tests that the run is limited to, when a culprit is searched for; else all of them."""
    try:
        names = reports.only(folder)
        if names is None or not hasattr(test, "_tests"):
            return test
        wanted = frozenset(names)
        return type(test)([case for case in _cases(test) if str(case.id()) in wanted])
    except Exception:  # noqa: BLE001  (a suite of somebody else's: all of it is run)
        return test


def _cases(test: Any) -> Any:
    """The single tests of a suite."""
    if not hasattr(test, "_tests"):
        yield test
        return
    for each in test:
        yield from _cases(each)


def _claimed() -> str | None:
    try:
        return reports.claim()  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001
        return None


class Listener:
    """Hears what the result is told."""

    HEARD = (
        "startTest",
        "stopTest",
        "addSuccess",
        "addError",
        "addFailure",
        "addSkip",
        "addExpectedFailure",
        "addUnexpectedSuccess",
        "addSubTest",
    )

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._writer = reports.Writer(folder)
        self._writer.begin()
        self._open: dict[int, dict[str, Any]] = {}
        self._result: Any = None

    def attach(self, result: Any) -> Any:
        """Listen to this result; gives it back."""
        with suppress(Exception):
            for name in self.HEARD:
                self._wrap(result, name)
            self._result = result
        return result

    def end(self, result: Any) -> None:
        """The tests came to their end."""
        with suppress(Exception):
            self._writer.end(0 if result.wasSuccessful() else 1)

    def close(self) -> None:
        """The run is over."""
        for name in self.HEARD:
            getattr(self._result, "__dict__", {}).pop(name, None)
        self._writer.close()
        reports.give_back(self._folder)

    def _wrap(self, result: Any, name: str) -> None:
        plain = getattr(result, name, None)
        if plain is None:
            return
        hear = getattr(self, "_" + name)

        def told(*args: Any, **kwargs: Any) -> Any:
            with suppress(Exception):
                hear(*args, **kwargs)
            return plain(*args, **kwargs)

        setattr(result, name, told)

    def _startTest(self, test: Any) -> None:  # noqa: N802
        self._open[id(test)] = {"outcome": "passed", "began": time.perf_counter()}

    def _stopTest(self, test: Any) -> None:  # noqa: N802
        known = self._open.pop(id(test), None)
        if known is not None:
            self._write(test, known, time.perf_counter() - known["began"])

    def _addSuccess(self, test: Any) -> None:  # noqa: N802
        pass

    def _addError(self, test: Any, err: Any) -> None:  # noqa: N802
        self._note(test, "error", err)

    def _addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self._note(test, "failed", err)

    def _addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        self._note(getattr(test, "test_case", test), "skipped", None, reason)

    def _addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self._note(test, "skipped", None, "expected to fail")

    def _addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        self._note(test, "failed", None, "it passed, although it was expected to fail")

    def _addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self._note(test, "failed" if failed else "error", err, str(subtest))

    def _note(self, test: Any, outcome: str, err: Any, words: str | None = None) -> None:
        """Keep the worst that is said of a test. One that was never started (a class, a module) is written at once."""
        known = self._open.get(id(test))
        about: dict[str, Any] = {"outcome": outcome, "message": words}
        if err is not None:
            text = "".join(traceback.format_exception(*err))
            last = "".join(traceback.format_exception_only(err[0], err[1]))
            about["message"] = reports.first_lines(f"{words}\n{last}" if words else last)
            about["trace"] = reports.cut(text)
        if known is None:
            self._write(test, about, 0.0)
        elif SEVERITY[outcome] > SEVERITY[known["outcome"]]:
            known.update(about)

    def _write(self, test: Any, known: dict[str, Any], duration: float) -> None:
        file, line = _place(test)
        name = str(test.id())
        self._writer.write(
            {
                "id": reports.cut(name, reports.MAX_ID),
                "outcome": known["outcome"],
                "duration_s": round(duration, 6),
                "file": file,
                "line": line,
                "suite": reports.cut(_suite(name), 1000),
                "message": known.get("message"),
                "trace": known.get("trace"),
            }
        )


def _place(test: Any) -> tuple[str | None, int | None]:
    """Where the test is written, the file relative to the folder the run was started in."""
    method: Any = getattr(test, getattr(test, "_testMethodName", ""), None)
    while hasattr(method, "__wrapped__"):
        method = method.__wrapped__
    code = getattr(getattr(method, "__func__", method), "__code__", None)
    if code is None:
        return None, None
    path = os.path.relpath(code.co_filename)
    return (path if not path.startswith("..") else code.co_filename), code.co_firstlineno


def _suite(name: str) -> str:
    """The class or module: of `module.Class.test`, and of `setUpClass (module.Class)`."""
    if name.endswith(")") and "(" in name:
        return name[name.index("(") + 1 : -1]
    return name.rpartition(".")[0] or name
