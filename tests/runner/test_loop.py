"""The runner's loop by itself: what it tells the server, and when."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.runner.config import Config
from mainstay.runner.loop import CONTAINER, Runner
from mainstay.wire.runner import Hello, Welcome

pytestmark = pytest.mark.anyio


async def test_an_engine_that_is_found_while_hello_is_on_its_way_is_offered_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, looked = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    hellos: list[Hello] = []

    async def found() -> Any:
        await asked.wait()
        loop.call_soon(looked.set)
        return SimpleNamespace(engine=SimpleNamespace(kind="podman", version="5"))

    def hello(message: Hello) -> Welcome:
        hellos.append(message)
        loop.call_soon_threadsafe(asked.set)
        assert looked.wait(60)
        return Welcome(runner=7, lease_s=60.0, poll_s=10.0, log_limit_bytes=1)

    machine = SimpleNamespace(engines=SimpleNamespace(get=found, image=None), executor=SimpleNamespace(name="process"))
    premises: Any = SimpleNamespace(machine=machine)
    attempts: Any = SimpleNamespace(held=())
    runner = Runner(Config("http://127.0.0.1:1", "token", "r1", tmp_path))
    monkeypatch.setattr(runner._calls, "hello", hello)
    looking = asyncio.create_task(runner._look_for_engine(premises))
    assert await runner._greet_first(premises, attempts)
    await looking
    assert runner._welcome is None, "it has to say hello again"
    await runner._greet(premises, attempts)
    assert runner._welcome is not None
    assert [CONTAINER in each.labels for each in hellos] == [False, True]
