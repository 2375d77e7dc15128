"""The program that makes containers, and how it is called. Nothing of a job's environment reaches the program."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mainstay.model.errors import BadInput, MainstayError
from mainstay.wire.variables import ENGINE

ASK_S: Final = 120.0
"""Far above what any answer takes; pulling images and running steps have limits of their own."""
PASSED: Final = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    *ENGINE,
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""What the program needs of the machine's environment."""


class ContainerRefused(BadInput):
    """What the workflow asks for cannot be: the job fails with this message."""

    code = "container-refused"


class EngineFailed(MainstayError):
    """Podman or docker did not do what it should: not the code's fault."""

    code, status = "engine-failed", 503


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """The last lines of what it said about its failure."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip() and "level=warning" not in line]
        return "; ".join(lines[-3:])[-600:] or f"it ended with {self.code}"


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that was seen to work here, and with which options it did."""

    kind: str
    """`podman` or `docker`; docker's command may be podman in disguise."""
    program: str
    ahead: tuple[str, ...] = ()
    """Options before the command: another runtime."""
    extra: tuple[str, ...] = ()
    """Options of every `run`: limits that this machine grants."""
    limits: bool = True
    """Whether memory and processes of a container can be limited."""
    version: str = ""

    def argv(self, *words: str) -> tuple[str, ...]:
        """The whole command."""
        return (self.program, *self.ahead, *words)

    async def ask(self, *words: str, env: Mapping[str, str] = {}, limit_s: float = ASK_S) -> Answer:
        """Run one of its commands to its end. Raises EngineFailed when it cannot be run or does not end."""
        process = await self.start(*words, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(limit_s):
                out, err = await process.communicate()
        except TimeoutError:
            raise EngineFailed(f"{self.kind} {words[0]} did not end within {limit_s:.0f} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        return Answer(process.returncode or 0, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    async def do(self, *words: str, env: Mapping[str, str] = {}, limit_s: float = ASK_S) -> str:
        """As `ask`, for what has to succeed: what it printed. Raises EngineFailed with its words."""
        answer = await self.ask(*words, env=env, limit_s=limit_s)
        if answer.code:
            raise EngineFailed(f"{self.kind} {words[0]} failed: {answer.words}")
        return answer.out.strip()

    async def start(
        self, *words: str, env: Mapping[str, str] = {}, stdout: int | None = None, stderr: int | None = None
    ) -> asyncio.subprocess.Process:
        """Start one of its commands. Raises EngineFailed."""
        quiet = asyncio.subprocess.DEVNULL
        try:
            return await asyncio.create_subprocess_exec(
                *self.argv(*words),
                stdin=quiet,
                stdout=quiet if stdout is None else stdout,
                stderr=quiet if stderr is None else stderr,
                env=environment(env),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise EngineFailed(f"{self.program} could not be started: {error.strerror}") from error

    def removal(self, names: Sequence[str]) -> tuple[str, ...]:
        """The command that ends containers at once and removes them with their nameless volumes."""
        soon = ("-t", "0") if self.kind == "podman" else ()
        return ("rm", "--force", "--volumes", *soon, *names)


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """The program's own environment."""
    return {**{name: os.environ[name] for name in PASSED if name in os.environ}, **more}
