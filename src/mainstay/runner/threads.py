"""Blocking calls of the runner, in threads that never hold up its end.

An executor's threads are joined when the process ends, so one request that hangs in a dead network would keep a runner
from stopping. These are daemons: whatever they were doing is idempotent or journaled.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Call = tuple["asyncio.Future[Any]", asyncio.AbstractEventLoop, Callable[[], Any]]


class Threads:
    """A crowd of threads that grows with what is asked of it, up to `most`; beyond that, calls wait their turn."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._idle = 0
        self._count = 0

    async def run(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
        """What `function` returns or raises. When the caller is cancelled, the call goes on and is forgotten."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._waiting += 1
            grow = self._waiting > self._idle and self._count < self._most
            if grow:
                self._count += 1
                self._idle += 1
        if grow:
            threading.Thread(target=self._work, name="mainstay-call", daemon=True).start()
        self._calls.put((future, loop, lambda: function(*args)))
        return await future

    def _work(self) -> None:
        while True:
            future, loop, call = self._calls.get()
            with self._lock:
                self._idle -= 1
                self._waiting -= 1
            result: Any = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001  (it is handed to the caller)
                error = raised
            with self._lock:
                self._idle += 1
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                return  # the loop is closed: the process is about to end
            del future, call, result, error


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
