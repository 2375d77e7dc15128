"""Keeping the engine's loops alive: a loop that fails is logged and started again, never silently gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""Pause before a failed loop is started again."""


class Loops:
    """The long-running tasks of a process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_name: dict[str, asyncio.Task[None]] = {}
        self.failures: dict[str, str] = {}
        """The last failure of each loop by its name, for `/healthz` and `doctor`."""

    def start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run `loop` until `stop`; start it again when it fails."""
        task = asyncio.create_task(self._forever(name, loop), name=name)
        self._by_name[name] = task
        self._keep(task)

    def once(self, name: str, work: Coroutine[object, object, None]) -> None:
        """Run something on the side; its failure is logged."""
        self._keep(asyncio.create_task(self._logged(name, work), name=name))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forever(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await loop()
                return
            except Exception as error:
                self.failures[name] = f"{type(error).__name__}: {error}"
                log.exception("The loop %s failed; it starts again in %.0f s", name, AGAIN_S)
                await asyncio.sleep(AGAIN_S)

    async def _logged(self, name: str, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except Exception as error:
            self.failures[name] = f"{type(error).__name__}: {error}"
            log.exception("%s failed", name)

    async def end(self, name: str) -> None:
        """End one loop and wait until it has ended."""
        task = self._by_name.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """End all of them and wait until they have ended."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
