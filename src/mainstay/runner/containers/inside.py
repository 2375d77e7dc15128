"""Programs within a job's container: `Processes` for jobs that have one. Each is entered by the engine's `exec`.

What a program prints goes into the runner's own pipe, which is shown to the container, and not through the engine: so
its order holds, and a step ends when its own process does, whatever it left in the background.
"""

import asyncio
import os
import posixpath
import re
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mainstay.model.errors import BadInput
from mainstay.runner.containers.engine import Answer, Engine, EngineFailed
from mainstay.runner.executors import JobPlace
from mainstay.runner.keeper import StepExit
from mainstay.runner.processes import GRACE_S, MAX_READ, Run

LOOKED_FOR: Final = ("bash", "sh", "env", "python", "python3", "pwsh", "git", "uv", "node")
"""Programs that the runner wants to know of before it starts them."""
KILL_S: Final = 10.0
"""Between SIGKILL and giving the container up."""
PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
PYTHONS: Final = """IFS=:
for folder in $PATH; do
  for file in "$folder"/python3* "$folder"/python; do [ -x "$file" ] && echo "$file"; done
done"""


class ContainerGone(BadInput):
    """The job's container ended while a step ran in it: something in it ended its first process."""

    code = "container-gone"


@dataclass(frozen=True, slots=True)
class Inside:
    """A job's container, once it runs."""

    engine: Engine
    name: str
    place: JobPlace
    pipe: Path
    """What programs print into, as the container sees it."""
    scripts: Path
    """Where commands are written for the container to read."""
    answers: Path
    """A folder the container may write to, for what is read and not logged."""
    found: Mapping[str, str]
    """Where its own programs are, of those LOOKED_FOR."""
    stopping: asyncio.Event
    _count: list[int] = field(default_factory=lambda: [0])

    async def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        *,
        limit_s: float | None = None,
        heed_stop: bool = True,
    ) -> Run:
        """As `Processes.run`. Raises EngineFailed, ContainerGone."""
        return await self._run(argv, env, cwd, self.pipe, limit_s, heed_stop)

    async def read(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, limit_s: float) -> tuple[int, str]:
        """As `Processes.read`."""
        self._count[0] += 1
        path = self.answers / f"answer-{self._count[0]}"
        path.touch(mode=0o600)
        path.chmod(0o666)
        run = await self._run(argv, env, cwd, path, limit_s, heed_stop=True)
        return run.code, _content(path)

    def find(self, name: str, path: str) -> str | None:
        """As `Processes.find`: what earlier steps brought, else what is in the image."""
        own = (self.place.work, self.place.home, self.place.temp, *self.place.writable)
        brought = [each for each in path.split(":") if any(Path(each).is_relative_to(folder) for folder in own)]
        return shutil.which(name, path=":".join(brought)) or self.found.get(name) if brought else self.found.get(name)

    async def pythons(self, env: Mapping[str, str]) -> list[str]:
        """As `Processes.pythons`."""
        _, text = await self.read(["sh", "-c", PYTHONS], env, self.place.temp, 60.0)
        return [line for line in dict.fromkeys(text.splitlines()) if re.search(r"/python(3(\.\d+)?t?)?$", line)]

    async def _run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        into: Path,
        limit_s: float | None,
        heed_stop: bool,
    ) -> Run:
        self._count[0] += 1
        script = self.scripts / f"enter-{self._count[0]}.sh"
        own = {**env, "HOME": str(self.place.home), "TMPDIR": str(self.place.temp)}
        script.write_bytes(command(argv, own, cwd, into))
        pipe = asyncio.subprocess.PIPE
        process = await self.engine.start("exec", self.name, "sh", str(script), stdout=pipe, stderr=pipe)
        ended = asyncio.ensure_future(process.communicate())
        stopped = asyncio.ensure_future(self.stopping.wait())
        cause = None
        try:
            awaited = {ended, stopped} if heed_stop else {ended}
            await asyncio.wait(awaited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                cause = "stopped" if heed_stop and stopped.done() else "time"
                await self._terminate(ended)
            said = await ended
        finally:
            stopped.cancel()
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
            ended.cancel()
            script.unlink(missing_ok=True)
        code = process.returncode or 0
        if code and cause is None:
            await self._look(Answer(code, "", said[1].decode("utf-8", "replace")))
        return Run(StepExit(code=code), cause)

    async def _terminate(self, ended: "asyncio.Future[tuple[bytes, bytes]]") -> None:
        """SIGTERM to everything in the container but its first process, SIGKILL to what is left."""
        for name, wait_s in (("TERM", GRACE_S), ("KILL", KILL_S)):
            await self.engine.ask("exec", self.name, "sh", "-c", f"kill -{name} -1")
            await asyncio.wait({ended}, timeout=wait_s)
            if name == "KILL" or not await self._busy():
                break
        if not ended.done():
            await self.engine.ask("kill", self.name)

    async def _busy(self) -> bool:
        """Whether anything but the first process and what it waits with is left."""
        told = await self.engine.ask("top", self.name, *(("pid",) if self.engine.kind == "podman" else ("-eo", "pid")))
        return told.code == 0 and len(told.out.split()) > 3

    async def _look(self, answer: Answer) -> None:
        """After a failure: was it the program's, or the container's?"""
        state = await self.engine.ask("inspect", "--format", "{{.State.Running}}", self.name)
        if state.code:
            raise EngineFailed(f"{self.engine.kind} lost the job's container: {answer.words}")
        if state.out.strip() != "true":
            raise ContainerGone("the job's container has ended: a step ended its first process")


def command(argv: Sequence[str], env: Mapping[str, str], cwd: Path, into: Path) -> bytes:
    """A script that becomes this command. The environment stands in it: an argument list is for everybody to read."""
    lines = [f"exec >{_quoted(str(into))} 2>&1"]
    words = f"Error: the working directory {cwd} does not exist in the container"
    lines.append(f"cd {_quoted(str(cwd))} 2>/dev/null || {{ echo {_quoted(words)}; exit 1; }}")
    lines += [f"export {name}={_quoted(value)}" for name, value in env.items() if PLAIN.match(name)]
    odd = [f"{name}={value}" for name, value in env.items() if not PLAIN.match(name) and name]
    lines.append(" ".join(["exec", *(["env", *map(_quoted, odd)] if odd else []), *map(_quoted, argv)]))
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def programs(text: str) -> dict[str, str]:
    """What `command -v` printed: by name, where."""
    return {posixpath.basename(line): line for line in map(str.strip, text.splitlines()) if line.startswith("/")}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _content(path: Path) -> str:
    """The job may have put anything in the file's place."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_READ).decode("utf-8", "replace") if stat.S_ISREG(os.fstat(fd).st_mode) else ""
