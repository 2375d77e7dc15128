"""Nothing of a job's containers stays when its runner dies: a small shell waits beside each job for that.

The engine's daemon, not the runner, is the parent of what runs in containers, so no keeper could end it.
"""

import asyncio
from contextlib import suppress
from typing import Final

from mainstay.runner.containers.engine import Engine, environment

JOB: Final = "mainstay.job"
"""The label of everything that belongs to one job: `OWNER:ATTEMPT`."""
OWNER: Final = "mainstay.runner"
"""The label of everything that belongs to one runner's folder."""
REMOVE: Final = """
ids=$("$@" ps --all --quiet --filter "label=$LABEL") && [ -n "$ids" ] && "$@" rm --force --volumes $SOON $ids
ids=$("$@" volume ls --quiet --filter "label=$LABEL") && [ -n "$ids" ] && "$@" volume rm --force $ids
ids=$("$@" network ls --quiet --filter "label=$LABEL") && [ -n "$ids" ] && "$@" network rm $ids
"""
WATCH: Final = f"""
read -r word; [ "$word" = done ] && exit 0
for again in 1 2; do {REMOVE}
sleep 3; done
"""
"""Twice: the engine may have been about to make another one."""


class Watch:
    """The shell beside one job."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def done(self) -> None:
        """All is removed already."""
        with suppress(ConnectionError):
            if self._process.stdin is not None:
                self._process.stdin.write(b"done\n")
                await self._process.stdin.drain()
                self._process.stdin.close()
        await self._process.wait()


async def watch(engine: Engine, job: str) -> Watch:
    """Start it. Raises OSError."""
    quiet = asyncio.subprocess.DEVNULL
    return Watch(
        await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", WATCH, "mainstay-watch", *engine.argv()),
            stdin=asyncio.subprocess.PIPE,
            stdout=quiet,
            stderr=quiet,
            env=environment(_about(engine, f"{JOB}={job}")),
            cwd="/",
            start_new_session=True,
        )
    )


async def remove(engine: Engine, label: str) -> None:
    """Remove every container, volume and network with this label. Raises OSError."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", REMOVE, "mainstay-remove", *engine.argv()),
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        env=environment(_about(engine, label)),
        cwd="/",
        start_new_session=True,
    )
    await process.wait()


def _about(engine: Engine, label: str) -> dict[str, str]:
    return {"LABEL": label, "SOON": "-t 0" if engine.kind == "podman" else ""}
